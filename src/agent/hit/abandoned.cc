// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/ and
// ring/; general registers only.
#include "agent/hit/abandoned.h"

#include <sys/syscall.h>

#include "agent/hit/arch.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

// stack_t of the kernel (include/uapi/asm-generic/signal.h).
struct SignalStack {
  uint64_t address;
  int32_t flags;
  int32_t pad;
  uint64_t size_bytes;
};
constexpr int32_t kOnSignalStack = 1;  // SS_ONSTACK

}  // namespace

bool IsAbandoned(uint64_t running_at, const RegisterFile* registers) {
  constexpr uint64_t kLeastSignalFrameBytes = 512;  // siginfo_t and ucontext_t alone take more
  const auto begins_at = reinterpret_cast<uint64_t>(registers);
  if (running_at == 0 || begins_at + kLeastSignalFrameBytes <= running_at) return false;
  SignalStack stack{};
  return stillframe_syscall(SYS_sigaltstack, 0, reinterpret_cast<uint64_t>(&stack), 0, 0, 0, 0) ==
             0 &&
         (stack.flags & kOnSignalStack) == 0;
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
