// Whether two sites of one part of a line are copies of it, or one that was cut.
#ifndef STILLFRAME_AGENT_LINE_COPIES_H_
#define STILLFRAME_AGENT_LINE_COPIES_H_

#include <cstdint>
#include <span>
#include <vector>

#include "agent/line_executions.h"

namespace stillframe::agent {

// For each site, as bits by index (at most 64 sites), those of the same part that are copies of it,
// itself too (unrolled and peeled loops): each runs in an execution of its own. Where the compiler
// marks each statement once, the same part is enough. Else one statement's code may have been cut
// in two by that of other lines; copies are told from pieces by what their instructions do. Code
// without optimization has no copies. Pure.
std::vector<uint64_t> FindCopies(const FunctionCode& code, std::span<const LinePart> sites);

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_LINE_COPIES_H_
