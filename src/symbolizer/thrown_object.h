// Conditions and watches over a thrown object, in the plan of its throws.
#ifndef STILLFRAME_SYMBOLIZER_THROWN_OBJECT_H_
#define STILLFRAME_SYMBOLIZER_THROWN_OBJECT_H_

#include "base/status.h"
#include "plan/plan.h"
#include "symbolizer/module_debug.h"
#include "symbolizer/symbolizer.h"

namespace stillframe {

// Adds to a plan of CompileThrow (`as_is`), which may be another module's, with the type from
// `debug`. kNotFound when that does not define it; else errors as of Compile.
Status AddThrownObject(ModuleDebug& debug, const ThrownRequest& request,
                       const RedactionPolicy* redaction, ProbePlan& plan);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_THROWN_OBJECT_H_
