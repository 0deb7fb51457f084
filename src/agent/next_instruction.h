// Where a line can be probed when the instruction that begins it cannot.
#ifndef STILLFRAME_AGENT_NEXT_INSTRUCTION_H_
#define STILLFRAME_AGENT_NEXT_INSTRUCTION_H_

#include <optional>

#include "symbolizer/symbolizer.h"

namespace stillframe::agent {

// How many instructions behind the one that is meant are tried.
inline constexpr int kMaxInstructionsAway = 3;

// The first instruction behind the one at `site` that runs exactly when that one does and belongs
// to the same line: nothing before it goes elsewhere, and nothing else leads to it. Behind a
// landing pad (endbr64) any line will do. nullopt when there is none. Agent thread.
std::optional<LinkAddress> NextOfSameLine(SymbolModule& module, LinkAddress site);

// The same backwards: the instruction before, which runs exactly when the one at `site` does.
std::optional<LinkAddress> PreviousInSequence(SymbolModule& module, LinkAddress site);

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_NEXT_INSTRUCTION_H_
