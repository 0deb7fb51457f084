#include "symbolizer/cfa_machine.h"

#include <dwarf.h>

#include <array>
#include <limits>
#include <vector>

#include "symbolizer/cfi_expression.h"

namespace stillframe {
namespace {

constexpr uint64_t kStackPointer = 7;  // psABI figure 3.36
constexpr uint64_t kReturnAddress = 16;
constexpr size_t kColumns = 17;
constexpr size_t kMaxRemembered = 64;
// Rows per frame entry; the largest functions known have some ten thousand.
constexpr size_t kMaxRows = 1u << 20;

// Where a signal frame keeps the interrupted rsp: ucontext_t.uc_mcontext.gregs[REG_RSP] above the
// kernel's frame, at whose ucontext rsp points in the restorer (arch/x86/include/asm/sigframe.h).
constexpr int64_t kSignalFrameRspOffset = 160;

struct RegisterRule {
  enum Kind : uint8_t { kUnspecified, kSame, kUndefined, kAtOffset, kIsOffset, kAtTerm, kOther };
  Kind kind = kUnspecified;
  uint64_t reg = 0;    // kAtTerm: saved at register + offset
  int64_t offset = 0;  // kAtOffset, kIsOffset: from the CFA
};

struct CfaRule {
  enum Kind : uint8_t { kNone, kRegister, kExpression };
  Kind kind = kNone;
  uint64_t reg = 0;
  int64_t offset = 0;
  ByteSpan expression;
};

struct State {
  CfaRule cfa;
  std::array<RegisterRule, kColumns> registers;
};

bool FitsInt32(int64_t value) {
  return value >= std::numeric_limits<int32_t>::min() &&
         value <= std::numeric_limits<int32_t>::max();
}

// Fills rule.cfa_*; leaves kUndefined when the shape is not known.
void SetCfa(const CfaRule& cfa, bool signal_frame, UnwindRule& rule) {
  if (cfa.kind == CfaRule::kRegister) {
    if (cfa.reg >= kReturnAddress || !FitsInt32(cfa.offset)) return;
    rule.cfa_kind = CfaKind::kRegisterOffset;
    rule.cfa_register = static_cast<uint8_t>(cfa.reg);
    rule.cfa_offset = static_cast<int32_t>(cfa.offset);
    return;
  }
  if (cfa.kind != CfaRule::kExpression) return;
  const auto term = ParseRegisterTerm(cfa.expression);
  if (!term || term->reg >= kReturnAddress || !FitsInt32(term->offset)) return;
  rule.cfa_register = static_cast<uint8_t>(term->reg);
  rule.cfa_offset = static_cast<int32_t>(term->offset);
  if (!signal_frame) {
    rule.cfa_kind = term->dereferenced ? CfaKind::kDerefOffset : CfaKind::kRegisterOffset;
  } else if (term->dereferenced && term->reg == kStackPointer &&
             term->offset == kSignalFrameRspOffset) {
    rule.cfa_kind = CfaKind::kSignalFrame;
  }
}

// The rule's offset from the CFA when the register is saved in memory at one.
bool CfaOffsetOf(const RegisterRule& saved, const UnwindRule& rule, int64_t& offset) {
  offset = saved.offset;
  if (saved.kind == RegisterRule::kAtOffset) return FitsInt32(offset);
  // Saved at register + n while the CFA is the same register + m: at CFA + (n - m).
  if (saved.kind != RegisterRule::kAtTerm || rule.cfa_kind != CfaKind::kRegisterOffset ||
      saved.reg != rule.cfa_register || !FitsInt32(saved.offset)) {
    return false;
  }
  offset = saved.offset - rule.cfa_offset;
  return FitsInt32(offset);
}

void SetSaves(const State& state, UnwindRule& rule) {
  for (int i = 0; i < kSavedRegisterCount; ++i) {
    const RegisterRule& saved = state.registers[kSavedRegisters[i]];
    int64_t offset = 0;
    if (saved.kind == RegisterRule::kUnspecified || saved.kind == RegisterRule::kSame) {
      rule.save[i] = SaveKind::kSame;  // psABI §3.2.1: these six belong to the caller
    } else if (CfaOffsetOf(saved, rule, offset)) {
      rule.save[i] = SaveKind::kAtCfaOffset;
      rule.save_offset[i] = static_cast<int32_t>(offset);
    } else {
      rule.save[i] = SaveKind::kUndefined;
    }
  }
}

UnwindRule MakeRule(const State& state, bool signal_frame) {
  UnwindRule rule;
  SetCfa(state.cfa, signal_frame, rule);
  if (rule.cfa_kind == CfaKind::kUndefined) return UnwindRule();
  if (rule.cfa_kind == CfaKind::kSignalFrame) {
    rule.return_address_offset = 0;  // every register comes from the ucontext
    return rule;
  }
  // The caller's rsp is the CFA; a frame that says otherwise cannot be described.
  const RegisterRule& stack_pointer = state.registers[kStackPointer];
  if (stack_pointer.kind != RegisterRule::kUnspecified &&
      !(stack_pointer.kind == RegisterRule::kIsOffset && stack_pointer.offset == 0)) {
    return UnwindRule();
  }
  const RegisterRule& caller = state.registers[kReturnAddress];
  int64_t offset = 0;
  if (caller.kind == RegisterRule::kUndefined) {
    rule.return_address_offset = 0;
  } else if (CfaOffsetOf(caller, rule, offset) && offset != 0) {
    rule.return_address_offset = static_cast<int32_t>(offset);
  } else {
    return UnwindRule();
  }
  SetSaves(state, rule);
  return rule;
}

class CfaMachine {
 public:
  using Emit = std::function<void(LinkAddress, const UnwindRule&)>;
  CfaMachine(const CfiSection& section, const FrameEntry& frame, const Emit& emit)
      : section_(section), frame_(frame), emit_(emit), pc_(frame.start) {}

  void Run() {
    const CommonEntry& common = *frame_.common;
    if (common.return_address_register != kReturnAddress) return Break();
    in_common_ = true;
    if (!RunProgram(common.program_start, common.program_end)) return Break();
    in_common_ = false;
    initial_ = state_;
    if (!RunProgram(frame_.program_start, frame_.program_end)) return Break();
    EmitRow();
  }

 private:
  void Break() { emit_(pc_, UnwindRule()); }

  void EmitRow() {
    // The PLT's two states are told apart by the low bits of the pc; kPlt says 11, which is where
    // the push ends in the usual slot. Others (slots with endbr64) get rows of their own.
    if (state_.cfa.kind == CfaRule::kExpression) {
      if (const auto threshold = ParsePltExpression(state_.cfa.expression)) {
        return EmitPlt(*threshold);
      }
    }
    emit_(pc_, MakeRule(state_, frame_.common->signal_frame));
  }

  void EmitPlt(uint8_t threshold) {
    State plain = state_;
    plain.cfa = CfaRule{CfaRule::kRegister, kStackPointer, 8, {}};
    UnwindRule rule = MakeRule(plain, false);
    if (threshold == 11) {
      if (rule.cfa_kind != CfaKind::kUndefined) rule.cfa_kind = CfaKind::kPlt;
      return emit_(pc_, rule);
    }
    plain.cfa.offset = 16;
    const UnwindRule pushed = MakeRule(plain, false);
    constexpr uint64_t kMaxExpandedBytes = 1u << 20;
    if (frame_.end.value - pc_.value > kMaxExpandedBytes) return Break();
    emit_(pc_, (pc_.value & 15) >= threshold ? pushed : rule);
    for (uint64_t slot = pc_.value & ~uint64_t{15}; slot < frame_.end.value; slot += 16) {
      if (slot > pc_.value) emit_(LinkAddress(slot), rule);
      const uint64_t change = slot + threshold;
      if (change > pc_.value && change < frame_.end.value) emit_(LinkAddress(change), pushed);
    }
  }

  bool RunProgram(uint64_t start, uint64_t end) {
    if (start > end || end > section_.bytes.size()) return false;
    ByteReader reader(section_.bytes.first(end), start);
    while (!reader.AtEnd() && !finished_) {
      if (!Step(reader) || !reader.ok()) return false;
    }
    return reader.ok();
  }

  bool Step(ByteReader& reader) {
    const uint8_t opcode = reader.U8();
    const uint8_t low = opcode & 0x3f;
    switch (opcode & 0xc0) {
      case DW_CFA_advance_loc:
        return Advance(low);
      case DW_CFA_offset:
        return SetFactored(low, reader.Uleb(), RegisterRule::kAtOffset);
      case DW_CFA_restore:
        return Restore(low);
      default:
        break;
    }
    if (opcode <= DW_CFA_advance_loc4) return StepLocation(opcode, reader);
    if (opcode == DW_CFA_remember_state || opcode == DW_CFA_restore_state) return Stack(opcode);
    if ((opcode >= DW_CFA_def_cfa && opcode <= DW_CFA_def_cfa_expression) ||
        opcode == DW_CFA_def_cfa_sf || opcode == DW_CFA_def_cfa_offset_sf) {
      return StepCfa(opcode, reader);
    }
    return StepRegister(opcode, reader);
  }

  bool StepLocation(uint8_t opcode, ByteReader& reader) {
    switch (opcode) {
      case DW_CFA_nop:
        return true;
      case DW_CFA_set_loc: {
        const uint64_t target =
            ReadEncodedPointer(reader, section_, frame_.common->pointer_encoding);
        return reader.ok() && target >= pc_.value && MoveTo(LinkAddress(target));
      }
      case DW_CFA_advance_loc1:
        return Advance(reader.U8());
      case DW_CFA_advance_loc2:
        return Advance(reader.U16());
      case DW_CFA_advance_loc4:
        return Advance(reader.U32());
      default:
        return false;
    }
  }

  bool StepCfa(uint8_t opcode, ByteReader& reader) {
    CfaRule& cfa = state_.cfa;
    switch (opcode) {
      case DW_CFA_def_cfa: {
        const uint64_t reg = reader.Uleb();
        cfa = CfaRule{CfaRule::kRegister, reg, static_cast<int64_t>(reader.Uleb()), {}};
        return true;
      }
      case DW_CFA_def_cfa_sf: {
        const uint64_t reg = reader.Uleb();
        cfa = CfaRule{CfaRule::kRegister, reg, Factored(reader.Sleb()), {}};
        return true;
      }
      case DW_CFA_def_cfa_register:
        cfa.reg = reader.Uleb();
        return cfa.kind == CfaRule::kRegister;
      case DW_CFA_def_cfa_offset:
        cfa.offset = static_cast<int64_t>(reader.Uleb());
        return cfa.kind == CfaRule::kRegister;
      case DW_CFA_def_cfa_offset_sf:
        cfa.offset = Factored(reader.Sleb());
        return cfa.kind == CfaRule::kRegister;
      default:
        cfa = CfaRule{CfaRule::kExpression, 0, 0, reader.Bytes(reader.Uleb())};
        return true;
    }
  }

  bool StepRegister(uint8_t opcode, ByteReader& reader) {
    if (opcode == DW_CFA_GNU_args_size) {  // for exception handling only
      reader.Uleb();
      return true;
    }
    const uint64_t reg = reader.Uleb();
    switch (opcode) {
      case DW_CFA_offset_extended:
        return SetFactored(reg, reader.Uleb(), RegisterRule::kAtOffset);
      case DW_CFA_offset_extended_sf:
        return SetFactored(reg, static_cast<uint64_t>(reader.Sleb()), RegisterRule::kAtOffset);
      case DW_CFA_val_offset:
        return SetFactored(reg, reader.Uleb(), RegisterRule::kIsOffset);
      case DW_CFA_val_offset_sf:
        return SetFactored(reg, static_cast<uint64_t>(reader.Sleb()), RegisterRule::kIsOffset);
      case DW_CFA_restore_extended:
        return Restore(reg);
      case DW_CFA_undefined:
        return Set(reg, {RegisterRule::kUndefined, 0, 0});
      case DW_CFA_same_value:
        return Set(reg, {RegisterRule::kSame, 0, 0});
      case DW_CFA_register:
        reader.Uleb();
        return Set(reg, {RegisterRule::kOther, 0, 0});
      case DW_CFA_expression:
        return SetExpression(reg, reader.Bytes(reader.Uleb()));
      case DW_CFA_val_expression:
        reader.Skip(reader.Uleb());
        return Set(reg, {RegisterRule::kOther, 0, 0});
      default:
        return false;  // unknown: its operands and effect are unknown too
    }
  }

  bool SetExpression(uint64_t reg, ByteSpan expression) {
    const auto term = ParseRegisterTerm(expression);
    if (!term || term->dereferenced) return Set(reg, {RegisterRule::kOther, 0, 0});
    return Set(reg, {RegisterRule::kAtTerm, term->reg, term->offset});
  }

  // Modulo 2^64: hostile factors must not be undefined behaviour; the result is range-checked.
  int64_t Factored(int64_t count) const {
    return static_cast<int64_t>(static_cast<uint64_t>(count) *
                                static_cast<uint64_t>(frame_.common->data_alignment));
  }

  bool SetFactored(uint64_t reg, uint64_t count, RegisterRule::Kind kind) {
    return Set(reg, {kind, 0, Factored(static_cast<int64_t>(count))});
  }

  // Columns past the return address are vector registers, which nobody asks for.
  bool Set(uint64_t reg, RegisterRule rule) {
    if (reg < kColumns) state_.registers[reg] = rule;
    return true;
  }

  bool Restore(uint64_t reg) {
    if (in_common_) return false;
    if (reg < kColumns) state_.registers[reg] = initial_.registers[reg];
    return true;
  }

  bool Stack(uint8_t opcode) {
    if (opcode == DW_CFA_remember_state) {
      if (remembered_.size() >= kMaxRemembered) return false;
      remembered_.push_back(state_);
      return true;
    }
    if (remembered_.empty()) return false;
    state_ = remembered_.back();
    remembered_.pop_back();
    return true;
  }

  bool Advance(uint64_t count) { return MoveTo(pc_ + count * frame_.common->code_alignment); }

  bool MoveTo(LinkAddress target) {
    if (in_common_ || target < pc_ || ++rows_ > kMaxRows) return false;
    if (target == pc_) return true;
    EmitRow();
    pc_ = target;
    if (pc_ >= frame_.end) finished_ = true;
    return true;
  }

  const CfiSection& section_;
  const FrameEntry& frame_;
  const Emit& emit_;
  LinkAddress pc_;
  State state_;
  State initial_;
  std::vector<State> remembered_;
  size_t rows_ = 0;
  bool in_common_ = false;
  bool finished_ = false;
};

}  // namespace

void RunFrameEntry(const CfiSection& section, const FrameEntry& frame,
                   const std::function<void(LinkAddress, const UnwindRule&)>& emit) {
  CfaMachine(section, frame, emit).Run();
}

}  // namespace stillframe
