#include "tests/agent/probe/discarded_copy.h"

namespace stillframe::probe {

#if defined(__GNUC__) && !defined(__clang__)
__attribute__((noinline)) inline void StillframeTestCopy() {
  asm volatile("addq $16, %rax");  // 48 83 c0 10
}
uint64_t DiscardedCopyAddress() { return reinterpret_cast<uint64_t>(&StillframeTestCopy); }
#else
uint64_t DiscardedCopyAddress() { return 0; }
#endif

}  // namespace stillframe::probe
