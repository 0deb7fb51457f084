// From the sites of a line to a ProbePlan.
#ifndef STILLFRAME_SYMBOLIZER_PLAN_BUILDER_H_
#define STILLFRAME_SYMBOLIZER_PLAN_BUILDER_H_

#include <vector>

#include "base/status.h"
#include "plan/plan.h"
#include "symbolizer/line_sites.h"
#include "symbolizer/module_debug.h"
#include "symbolizer/symbolizer.h"

namespace stillframe {

// Fills plan.unit, plan.sites and plan.refused. A site where the condition cannot be evaluated is
// refused; when all are, the most telling error is returned (kBadExpression, kUnknownVariable,
// kRedacted, then the first other). An expression that works at no site is an error for the same
// three codes; otherwise it is a variable that says why it is unavailable.
Status BuildSites(ModuleDebug& debug, const std::vector<LineSite>& line_sites,
                  const PlanRequest& request, const RedactionPolicy* redaction, ProbePlan& plan);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_PLAN_BUILDER_H_
