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
  uint32_t length = 0;    // 0: not understood
  bool goes_on = true;    // to the next instruction; a call comes back to it
  bool anywhere = false;  // an indirect jump
  bool is_call = false;
  bool is_filler = false;          // does nothing: fills the room up to an aligned address
  std::optional<uint64_t> target;  // of a direct jump
  std::optional<uint64_t> callee;  // of a direct call
  // What the instruction does, whatever its registers and numbers: equal in copies of one piece of
  // code. A direct call's says whom it calls.
  uint64_t operation = 0;
};
// Of the first instruction in `text`, which stands at `address`.
ControlFlow ReadControlFlow(std::span<const uint8_t> text, uint64_t address);

// The instruction that ends at `address`, if it is plain (see above) and `text` is understood so
// far.
std::optional<uint64_t> PlainInstructionBefore(std::span<const uint8_t> text, uint64_t text_address,
                                               uint64_t address);
// Where a function is left.
struct FunctionExit {
  uint64_t address = 0;
  bool is_tail_call = false;  // a jump out of the function; else a return instruction
};
// Where the function with this part ends: return instructions, and jumps to where `inside` says
// that it is not. nullopt when not all of `text` is understood.
std::optional<std::vector<FunctionExit>> FindExits(std::span<const uint8_t> text,
                                                   uint64_t text_address,
                                                   const std::function<bool(uint64_t)>& inside);

// Length of the instruction if it is one that functions begin with and leaves the registers alone
// that pass arguments: endbr64, no-operations, pushes, and what makes room on the stack or sets up
// the frame pointer. Else 0.
uint32_t EntryInstructionBytes(std::span<const uint8_t> text);

// Length of the instruction if it only marks where indirect branches may land (endbr64); else 0.
uint32_t LandingPadBytes(std::span<const uint8_t> text);

// A jump by which code may come back to a place in its own function.
struct BackJump {
  uint64_t address = 0;
  uint64_t next = 0;       // of the instruction behind it
  bool is_direct = false;  // it does go there
};
// The jumps of this part of a function that go to an address of [first, last], and all indirect
// ones but those through a fixed word. nullopt when not all of `text` is understood.
std::optional<std::vector<BackJump>> FindBackJumps(std::span<const uint8_t> text,
                                                   uint64_t text_address, uint64_t first,
                                                   uint64_t last);

// The instructions before a return that only release the frame: from the first of them on the
// result stands where the caller finds it.
struct Epilogue {
  uint64_t first = 0;  // the return itself when nothing is released before it
  // Nothing of the frame is released before `first`: what lies in it is still there.
  bool frame_is_intact = false;
  // The same, if whoever jumps to `first` has the frame, too.
  bool begins_release = false;
  // What the instruction before `first`, which leads to it, computes into, and does nothing else.
  bool sets_integer = false;  // rax
  bool sets_float = false;    // xmm0
};
// Length of the instruction if it does nothing but release a frame; else 0.
uint32_t FrameReleaseBytes(std::span<const uint8_t> text);
// Of the return at `exit`, in a part of a function that begins at `text_address`. nullopt when not
// all of `text` is understood.
std::optional<Epilogue> FindEpilogue(std::span<const uint8_t> text, uint64_t text_address,
                                     uint64_t exit);

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_PLAIN_CODE_H_
