// Where a SPAN tracepoint begins and ends in one module.
#ifndef STILLFRAME_AGENT_SPAN_PLAN_H_
#define STILLFRAME_AGENT_SPAN_PLAN_H_

#include <vector>

#include "base/status.h"
#include "plan/plan.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::agent {

// The places where functions that begin at the plan's sites are left: their return instructions,
// and the jumps by which they end in another function. Errors: kUnsafeSite when a function's code
// is not understood.
Result<std::vector<LinkAddress>> FunctionExits(SymbolModule& module, const ProbePlan& entries);

// Spans show where they were, not what was there.
void DropVariables(ProbePlan& plan);

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_SPAN_PLAN_H_
