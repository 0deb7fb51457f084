// Where functions are left: the ends of spans, and tracepoints on returns.
#ifndef STILLFRAME_AGENT_FUNCTION_EXITS_H_
#define STILLFRAME_AGENT_FUNCTION_EXITS_H_

#include <functional>
#include <optional>
#include <vector>

#include "base/status.h"
#include "plan/plan.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::agent {

// The places where functions that begin at the plan's sites are left: their return instructions,
// and the jumps by which they end in another function. Errors: kUnsafeSite when a function's code
// is not understood.
Result<std::vector<LinkAddress>> FunctionExits(SymbolModule& module, const ProbePlan& entries);

// The same for who wants to see the result: returns are moved up to where the frame begins to be
// released. Errors: also kLineHasNoCode when they never return.
// `has_frame_pointer`: whether the published unwind tables say so of a place.
Result<std::vector<ReturnSite>> FunctionReturns(
    SymbolModule& module, const ProbePlan& entries,
    const std::function<bool(LinkAddress)>& has_frame_pointer);

// Where a return can be probed instead that allows no jump: at the next instruction that releases
// the frame, or the return itself. nullopt: there is none.
std::optional<ReturnSite> NextOfReturn(SymbolModule& module, const ReturnSite& site);

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_FUNCTION_EXITS_H_
