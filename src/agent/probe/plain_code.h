// What can be said about code from its bytes alone. Pure; any thread. Implemented by the
// architecture.
#ifndef STILLFRAME_AGENT_PROBE_PLAIN_CODE_H_
#define STILLFRAME_AGENT_PROBE_PLAIN_CODE_H_

#include <cstdint>
#include <span>

namespace stillframe::probe {

// Length of the instruction if it always goes on with the one behind it and does nothing but
// compute; 0 for branches, calls, system calls and what is not understood.
uint32_t PlainInstructionBytes(std::span<const uint8_t> text);
// Whether a direct branch in `text`, which begins at `text_address` with an instruction, goes to
// the address; also true when not all of it is understood.
bool MayBeBranchTarget(std::span<const uint8_t> text, uint64_t text_address, uint64_t address);

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_PLAIN_CODE_H_
