#include "tests/agent/probe/discarded_copy.h"

namespace stillframe::probe {

#if defined(__GNUC__) && !defined(__clang__)
__attribute__((noinline)) inline void StillframeTestCopy() {
  // 0f 1f 00, and a row of the line table for the 90 behind it.
  asm volatile("nopl (%rax)\n.loc 1 30\nnop");
}
uint64_t OtherDiscardedCopyAddress() { return reinterpret_cast<uint64_t>(&StillframeTestCopy); }
#else
uint64_t OtherDiscardedCopyAddress() { return 0; }
#endif

}  // namespace stillframe::probe
