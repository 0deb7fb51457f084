// What can be said about code from its bytes alone. Pure; any thread. Implemented by the
// architecture.
#ifndef STILLFRAME_AGENT_PROBE_PLAIN_CODE_H_
#define STILLFRAME_AGENT_PROBE_PLAIN_CODE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace stillframe::probe {

// Length of the instruction if it always goes on with the one behind it and does nothing but
// compute; 0 for branches, calls, system calls and what is not understood.
uint32_t PlainInstructionBytes(std::span<const uint8_t> text);
// Whether a direct branch in `text`, which begins at `text_address` with an instruction, goes to
// the address; also true when not all of it is understood.
bool MayBeBranchTarget(std::span<const uint8_t> text, uint64_t text_address, uint64_t address);

// Where control goes behind an instruction.
struct ControlFlow {
  uint32_t length = 0;             // 0: not understood
  bool goes_on = true;             // to the next instruction; a call comes back to it
  bool anywhere = false;           // an indirect jump
  bool is_filler = false;          // does nothing: fills the room up to an aligned address
  std::optional<uint64_t> target;  // of a direct jump
};
// Of the first instruction in `text`, which stands at `address`.
ControlFlow ReadControlFlow(std::span<const uint8_t> text, uint64_t address);

// The instruction that ends at `address`, if it is plain (see above) and `text` is understood so
// far.
std::optional<uint64_t> PlainInstructionBefore(std::span<const uint8_t> text, uint64_t text_address,
                                               uint64_t address);
// Where the function with this part ends: return instructions, and jumps to where `inside` says
// that it is not. nullopt when not all of `text` is understood.
std::optional<std::vector<uint64_t>> FindExits(std::span<const uint8_t> text, uint64_t text_address,
                                               const std::function<bool(uint64_t)>& inside);

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_PLAIN_CODE_H_
