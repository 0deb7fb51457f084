// Comparisons of texts, and the way through a tree, for the interpreter. Hit-path contract as in
// interpreter.h; every byte and node is paid for from the evaluation's work, so nothing runs away.
#ifndef STILLFRAME_AGENT_HIT_TEXT_OPS_H_
#define STILLFRAME_AGENT_HIT_TEXT_OPS_H_

#include <cstdint>

#include "agent/hit/interpreter.h"
#include "base/name_list.h"
#include "plan/program.h"

namespace stillframe::hit {

// A text of ours when `literal` is not null, else one in the target's memory.
struct Text {
  uint64_t address;
  const char* literal;
  uint64_t size_bytes;
};

// In memory of the caller's and not in registers or on the application's stack, which may be small.
struct SideWork {
  uint64_t left;  // work that may still be done
  // Texts are read in pieces that never cross a page, so that a short one at the end of a mapping
  // is not taken for unreadable.
  uint8_t window[kMaxHitNameBytes];
  uint8_t pieces[2][32];
  Text one;
  Text other;
  uint64_t at;  // where in `one` the other is looked for
};
static_assert(sizeof(SideWork) <= (kSideCells - kMaxLocals) * sizeof(uint64_t));

inline SideWork& SideOf(uint64_t* cells) {
  return *reinterpret_cast<SideWork*>(cells + kMaxStack + kMaxLocals);
}

// work.one and work.other are given. kOk, kUnreadable or kLimit.
Code TestTexts(const MemoryReader& memory, SideWork& work, TextTest test, uint64_t& result);
// Whether the name work.one is on the list work.other. The same results.
Code TestName(const MemoryReader& memory, SideWork& work, uint64_t& result);
// `address` becomes the length. The same results.
Code MeasureText(const MemoryReader& memory, SideWork& work, uint64_t max_bytes, bool is_array,
                 uint64_t& address);
// `node` becomes the next one. kOk, kUnreadable or kLimit; behind the last one whatever the links
// say, which is for who counts to know.
Code NextInOrder(const MemoryReader& memory, SideWork& work, const Insn& insn, uint64_t& node);

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_TEXT_OPS_H_
