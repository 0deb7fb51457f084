// What `stillframe check` tells before anything is armed: an expression at each site of a line.
#ifndef STILLFRAME_SYMBOLIZER_EXPRESSION_CHECK_H_
#define STILLFRAME_SYMBOLIZER_EXPRESSION_CHECK_H_

#include <string_view>
#include <vector>

#include "symbolizer/line_sites.h"
#include "symbolizer/module_debug.h"
#include "symbolizer/scope.h"
#include "symbolizer/symbolizer.h"

namespace stillframe {

// The expression where `scope` is; address and function stay empty. `unit` is the scope's.
CheckedExpression CheckExpression(std::string_view text, Scope& scope, PlanUnit& unit);

std::vector<CheckedExpression> CheckSites(ModuleDebug& debug, const std::vector<LineSite>& sites,
                                          std::string_view text, const RedactionPolicy* redaction);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_EXPRESSION_CHECK_H_
