// Conditions and watches over a thrown object, in the plan of its throws.
#ifndef STILLFRAME_SYMBOLIZER_THROWN_OBJECT_H_
#define STILLFRAME_SYMBOLIZER_THROWN_OBJECT_H_

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "plan/plan.h"
#include "symbolizer/module_debug.h"
#include "symbolizer/symbolizer.h"

namespace stillframe {

// Adds to a plan of CompileThrow (`as_is`), which may be another module's, with the type from
// `debug`. kNotFound when that does not define it; else errors as of Compile.
Status AddThrownObject(ModuleDebug& debug, const ThrownRequest& request,
                       const RedactionPolicy* redaction, ProbePlan& plan);

// What `text` will be where a `type` is thrown: one site, whose address and function are not known.
// kNotFound when `debug` does not define the type.
Result<std::vector<CheckedExpression>> CheckThrownObject(ModuleDebug& debug,
                                                         const std::string& type,
                                                         std::string_view text,
                                                         const RedactionPolicy* redaction);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_THROWN_OBJECT_H_
