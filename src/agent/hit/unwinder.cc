// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded loops; general registers only.
#include "agent/hit/unwinder.h"

#include "agent/hit/bytes.h"
#include "agent/hit/memory.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

constexpr uint8_t kRspRegister = 7;

// Offsets in the ucontext at rsp in a signal return trampoline (Linux x86-64: uc_mcontext is at 40;
// r8..r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip). In the order of kSavedRegisters.
constexpr uint64_t kSignalSaved[kSavedRegisterCount] = {128, 120, 72, 80, 88, 96};
constexpr uint64_t kSignalRsp = 160;
constexpr uint64_t kSignalRip = 168;

// Position of a DWARF register among the saved ones; kSavedRegisterCount when it is none.
SF_HIT_INLINE int SavedIndex(uint8_t dwarf_register) {
  int i = 0;
  while (i < kSavedRegisterCount && kSavedRegisters[i] != dwarf_register) ++i;
  return i;
}

// What FrameRecord says about a register: only rsp and the saved ones are known in every frame.
bool RegisterOf(const FrameRecord& frame, uint8_t dwarf_register, uint64_t& out) {
  if (dwarf_register == kRspRegister) {
    out = frame.rsp;
    return true;
  }
  const int i = SavedIndex(dwarf_register);
  if (i == kSavedRegisterCount || (frame.valid >> i & 1) == 0) return false;
  out = frame.saved[i];
  return true;
}

SF_HIT_INLINE uint64_t PltOffset(uint64_t pc) { return 8 + ((pc & 15) >= 11 ? 8 : 0); }

SF_HIT_INLINE uint64_t Add(uint64_t base, int32_t offset) {
  return base + static_cast<uint64_t>(static_cast<int64_t>(offset));
}

bool FrameCfa(const UnwindRule& rule, const FrameRecord& frame, const RegisterFile* innermost,
              StackCopy& stack, uint64_t& cfa) {
  if (rule.cfa_kind == CfaKind::kPlt) {
    cfa = frame.rsp + PltOffset(frame.pc);
    return true;
  }
  uint64_t base = 0;
  if (innermost != nullptr && rule.cfa_register < kRegisterCount) {
    base = innermost->gpr[rule.cfa_register];
  } else if (!RegisterOf(frame, rule.cfa_register, base)) {
    return false;
  }
  cfa = Add(base, rule.cfa_offset);
  return rule.cfa_kind == CfaKind::kDerefOffset ? stack.Read(cfa, cfa) : true;
}

// RestoreSaved for a rule whose saves are near: `below` holds the kNearBytes below the CFA. Without
// branches on what the rule says: it differs from frame to frame, and no processor foresees it.
void RestoreNear(const UnwindRule& rule, const FrameRecord& frame, const uint8_t* below,
                 FrameRecord& caller) {
  uint32_t valid = 0;
  for (int i = 0; i < kSavedRegisterCount; ++i) {
    const bool is_saved = rule.save[i] == SaveKind::kAtCfaOffset;
    const int32_t at = is_saved ? kNearBytes + rule.save_offset[i] : 0;
    const uint64_t saved = Load64(below + at);
    const uint64_t same = rule.save[i] == SaveKind::kSame ? ~uint64_t{0} : uint64_t{0};
    caller.saved[i] = is_saved ? saved : frame.saved[i] & same;
    valid |=
        (static_cast<uint32_t>(is_saved) | (frame.valid >> i & static_cast<uint32_t>(same & 1)))
        << i;
  }
  caller.valid = static_cast<uint8_t>(valid);
}

// Registers of the caller by `rule`, whose CFA is known.
void RestoreSaved(const UnwindRule& rule, const FrameRecord& frame, StackCopy& stack,
                  FrameRecord& caller) {
  caller.valid = 0;
  for (int i = 0; i < kSavedRegisterCount; ++i) {
    caller.saved[i] = 0;
    bool known = false;
    if (rule.save[i] == SaveKind::kSame) {
      caller.saved[i] = frame.saved[i];
      known = (frame.valid >> i & 1) != 0;
    } else if (rule.save[i] == SaveKind::kAtCfaOffset) {
      known = stack.Read(Add(frame.cfa, rule.save_offset[i]), caller.saved[i]);
    }
    if (known) caller.valid |= static_cast<uint8_t>(1u << i);
  }
}

enum class Step : uint8_t { kNext, kOutermost, kLost };

Step StepSignalFrame(FrameRecord& frame, StackCopy& stack, FrameRecord& caller) {
  caller.valid = 0;
  for (int i = 0; i < kSavedRegisterCount; ++i) {
    caller.saved[i] = 0;
    if (stack.Read(frame.rsp + kSignalSaved[i], caller.saved[i])) {
      caller.valid |= static_cast<uint8_t>(1u << i);
    }
  }
  if (!stack.Read(frame.rsp + kSignalRsp, caller.rsp) ||
      !stack.Read(frame.rsp + kSignalRip, caller.pc)) {
    return Step::kLost;
  }
  frame.cfa = caller.rsp;
  caller.pc_is_exact = 1;
  return caller.pc == 0 ? Step::kOutermost : Step::kNext;
}

Step StepFrame(const UnwindRule& rule, FrameRecord& frame, const RegisterFile* innermost,
               StackCopy& stack, FrameRecord& caller) {
  if (rule.cfa_kind == CfaKind::kSignalFrame) return StepSignalFrame(frame, stack, caller);
  uint64_t cfa = 0;
  if (!FrameCfa(rule, frame, innermost, stack, cfa)) return Step::kLost;
  frame.cfa = cfa;
  if (rule.return_address_offset == 0) return Step::kOutermost;
  // Stacks grow down, so a caller's frame lies strictly above: anything else is a cycle or garbage.
  if (cfa <= frame.rsp) return Step::kLost;
  const uint8_t* const below = rule.saves_are_near != 0 ? stack.Below(cfa) : nullptr;
  if (below != nullptr) {
    caller.pc = Load64(below + kNearBytes + rule.return_address_offset);
  } else if (!stack.Read(Add(cfa, rule.return_address_offset), caller.pc)) {
    return Step::kLost;
  }
  if (caller.pc == 0) return Step::kOutermost;
  caller.rsp = cfa;
  caller.pc_is_exact = 0;
  if (below != nullptr) {
    RestoreNear(rule, frame, below, caller);
  } else {
    RestoreSaved(rule, frame, stack, caller);
  }
  return Step::kNext;
}

void StartFrame(const RegisterFile& registers, FrameRecord& frame) {
  frame.pc = registers.rip;
  frame.cfa = 0;
  for (int i = 0; i < kSavedRegisterCount; ++i) frame.saved[i] = registers.gpr[kSavedRegisters[i]];
  frame.valid = (1u << kSavedRegisterCount) - 1;
  frame.pc_is_exact = 1;
  frame.rsp = registers.gpr[kRspRegister];
}

const UnwindModule* FindModule(const UnwindModules* modules, uint64_t pc) {
  if (modules == nullptr) return nullptr;
  uint32_t low = 0;
  uint32_t high = modules->count;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    const UnwindModule& module = modules->modules[middle];
    if (pc < module.start) {
      high = middle;
    } else if (pc >= module.end) {
      low = middle + 1;
    } else {
      return &module;
    }
  }
  return nullptr;
}

}  // namespace

uint64_t RelativePc(const UnwindModules* modules, uint64_t pc) {
  const UnwindModule* const module = FindModule(modules, pc);
  return module == nullptr ? pc : pc - module->load_bias;
}

const uint8_t* StackCopy::Below(uint64_t cfa) const {
  const uint64_t first = cfa - kNearBytes;
  if (first - slice_address < slice_bytes && slice_bytes - (first - slice_address) >= kNearBytes) {
    return slice + (first - slice_address);
  }
  if (first - window_address < window_bytes &&
      window_bytes - (first - window_address) >= kNearBytes) {
    return window + (first - window_address);
  }
  return nullptr;
}

bool StackCopy::Read(uint64_t address, uint64_t& out) {
  if (address - slice_address < slice_bytes && slice_bytes - (address - slice_address) >= 8) {
    out = Load64(slice + (address - slice_address));
    return true;
  }
  const bool in_window =
      address - window_address < window_bytes && window_bytes - (address - window_address) >= 8;
  if (!in_window) {
    if (refills_left == 0) return false;
    --refills_left;
    // From a little below, because the saved registers are below the return address.
    window_address = (address & ~uint64_t{7}) - 64;
    window_bytes = ReadSome(window_address, window, window_capacity);
    if (window_bytes < 64 + 16) {  // the bytes below may be another mapping, or none
      window_address = address;
      window_bytes = ReadSome(window_address, window, window_capacity);
    }
    if (address - window_address >= window_bytes || window_bytes - (address - window_address) < 8) {
      return false;
    }
  }
  out = Load64(window + (address - window_address));
  return true;
}

const UnwindRule* FindRuleIn(const UnwindModule& unwind_module, uint64_t pc) {
  const UnwindModule* const module = &unwind_module;
  if (module->row_count == 0 || pc < module->table_base) return nullptr;
  const uint64_t offset = pc - module->table_base;
  if (offset > 0xffffffff || offset < module->pcs[0]) return nullptr;
  // The last row whose pc is not above.
  uint32_t low = 0;
  uint32_t count = module->row_count;
  const uint64_t block = offset / kUnwindBlockBytes;
  if (block < module->block_count) {
    low = module->blocks[block];
    // One more than the next block's first row: it may begin behind that block's start.
    if (block + 1 < module->block_count) count = module->blocks[block + 1] + 1;
    count -= low;
  }
  while (count > 1) {
    const uint32_t half = count / 2;
    if (module->pcs[low + half] <= offset) low += half;
    count -= half;
  }
  const uint16_t index = module->row_rules[low];
  if (index >= module->rule_count) return nullptr;
  const UnwindRule* const rule = module->rules + index;
  return rule->cfa_kind == CfaKind::kUndefined ? nullptr : rule;
}

const UnwindRule* FindRule(const UnwindModules* modules, uint64_t pc) {
  const UnwindModule* const module = FindModule(modules, pc);
  return module == nullptr ? nullptr : FindRuleIn(*module, pc);
}

bool IsText(const UnwindModules* modules, uint64_t address) {
  return FindModule(modules, address) != nullptr;
}

bool SiteCfa(const UnwindRule& rule, const RegisterFile& registers, const MemoryReader& read,
             uint64_t& cfa) {
  if (rule.cfa_kind == CfaKind::kPlt) {
    cfa = registers.gpr[kRspRegister] + PltOffset(registers.rip);
    return true;
  }
  if (rule.cfa_kind == CfaKind::kSignalFrame || rule.cfa_register >= kRegisterCount) return false;
  cfa = Add(registers.gpr[rule.cfa_register], rule.cfa_offset);
  if (rule.cfa_kind == CfaKind::kDerefOffset) return read.read(read.self, cfa, &cfa, 8);
  return true;
}

UnwindResult Unwind(const UnwindModules* modules, const RegisterFile& registers, StackCopy& stack,
                    FrameRecord* frames, uint32_t max_frames) {
  StartFrame(registers, frames[0]);
  const UnwindModule* module = nullptr;  // the frame before's: mostly this one's, too
  FrameRecord overflow;  // where the last frame's caller goes: only its CFA is wanted
  for (uint32_t i = 0;; ++i) {
    FrameRecord& frame = frames[i];
    // A return address may be the first byte after a call at its function's end.
    const uint64_t pc = frame.pc_is_exact ? frame.pc : frame.pc - 1;
    if (module == nullptr || pc < module->start || pc >= module->end)
      module = FindModule(modules, pc);
    const UnwindRule* const rule = module == nullptr ? nullptr : FindRuleIn(*module, pc);
    if (rule == nullptr) return {i + 1, true};
    FrameRecord& caller = i + 1 < max_frames ? frames[i + 1] : overflow;
    caller.cfa = 0;
    const Step step = StepFrame(*rule, frame, i == 0 ? &registers : nullptr, stack, caller);
    if (step != Step::kNext) return {i + 1, step == Step::kLost};
    if (i + 1 >= max_frames) return {i + 1, false};
  }
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
