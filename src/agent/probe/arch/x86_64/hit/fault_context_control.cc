// Where a fault happened, from the signal's context. Runs in a signal handler.
#include <ucontext.h>

#include <cstring>

#include "agent/hit/arch.h"
#include "agent/hit/fault.h"
#include "agent/hit/process_state.h"

namespace stillframe::hit {
namespace {

// Compiled conditions put this in front of each read, where the rel32 tells the way out:
//   0f 1f 80 rel32    nop dword [rax+rel32]
//   48 8b 52 08       mov rdx, [rdx+8]        <- pc of a fault; pc + rel32 is where it goes on
constexpr uint8_t kFixup[] = {0x0F, 0x1F, 0x80};
constexpr uint64_t kFixupBytes = sizeof kFixup + 4;

bool SkipFaultOfProbeCode(uint64_t pc, uint64_t& go_on) {
  for (const std::atomic<uint64_t>& region : g_process.code_regions) {
    const uint64_t start = region.load(std::memory_order_acquire);
    if (start == 0) return false;
    if (pc - start >= kCodeRegionBytes || pc - start < kFixupBytes) continue;
    const auto* const fixup = reinterpret_cast<const uint8_t*>(pc - kFixupBytes);
    if (std::memcmp(fixup, kFixup, sizeof kFixup) != 0) return false;
    int32_t distance = 0;
    std::memcpy(&distance, fixup + sizeof kFixup, sizeof distance);
    go_on = pc + static_cast<uint64_t>(static_cast<int64_t>(distance));
    return true;
  }
  return false;
}

}  // namespace

bool ReadFault(const void* context, RegisterFile& registers, const void*& vectors) {
  // In DWARF order, as RegisterFile has them.
  constexpr int kOrder[kRegisterCount] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                          REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                          REG_R12, REG_R13, REG_R14, REG_R15};
  const mcontext_t& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
  if (machine.fpregs == nullptr) return false;
  for (int i = 0; i < kRegisterCount; ++i) {
    registers.gpr[i] = static_cast<uint64_t>(machine.gregs[kOrder[i]]);
  }
  registers.rip = static_cast<uint64_t>(machine.gregs[REG_RIP]);
  registers.rflags = static_cast<uint64_t>(machine.gregs[REG_EFL]);
  vectors = machine.fpregs->_xmm;
  static_assert(sizeof machine.fpregs->_xmm == kXmmCount * 16);
  return true;
}

bool SkipGuardedFault(void* context) {
  auto* const machine = &static_cast<ucontext_t*>(context)->uc_mcontext;
  const auto pc = static_cast<uint64_t>(machine->gregs[REG_RIP]);
  uint64_t go_on = 0;
  if (SkipFaultOfProbeCode(pc, go_on)) {
    machine->gregs[REG_RIP] = static_cast<greg_t>(go_on);
    return true;
  }
  if (pc < reinterpret_cast<uint64_t>(&stillframe_guarded_begin) ||
      pc >= reinterpret_cast<uint64_t>(&stillframe_guarded_end)) {
    return false;
  }
  machine->gregs[REG_RIP] = reinterpret_cast<greg_t>(&stillframe_guarded_failed);
  return true;
}

}  // namespace stillframe::hit
