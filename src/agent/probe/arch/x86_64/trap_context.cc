// INT3 and what the kernel hands to the handler of SIGTRAP. Runs in a signal handler.
#include <ucontext.h>

#include "agent/probe/arch/arch.h"

namespace stillframe::probe::arch {

std::span<const uint8_t> TrapBytes() {
  static constexpr uint8_t kInt3[] = {0xCC};
  return kInt3;
}

// A trap, not a fault: RIP is behind the byte (SDM volume 3, §6.5).
uint64_t TrapAddress(const void* context) {
  const auto& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
  return static_cast<uint64_t>(machine.gregs[REG_RIP]) - 1;
}

void ResumeAt(void* context, uint64_t address) {
  auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
  machine.gregs[REG_RIP] = static_cast<greg_t>(address);
}

}  // namespace stillframe::probe::arch
