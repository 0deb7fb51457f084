// Where a fault happened, from the signal's context. Runs in a signal handler.
#include <ucontext.h>

#include "agent/hit/arch.h"

namespace stillframe::hit {

bool SkipGuardedFault(void* context) {
  auto* const machine = &static_cast<ucontext_t*>(context)->uc_mcontext;
  const auto pc = static_cast<uint64_t>(machine->gregs[REG_RIP]);
  if (pc < reinterpret_cast<uint64_t>(&stillframe_guarded_begin) ||
      pc >= reinterpret_cast<uint64_t>(&stillframe_guarded_end)) {
    return false;
  }
  machine->gregs[REG_RIP] = reinterpret_cast<greg_t>(&stillframe_guarded_failed);
  return true;
}

}  // namespace stillframe::hit
