#include "plan/verifier.h"

#include <array>
#include <string>
#include <vector>

namespace stillframe {
namespace {

Status Corrupt(const std::string& what) { return Status(Code::kCorrupt, what); }

bool IsAccessSize(uint8_t size_bytes) {
  return size_bytes == 1 || size_bytes == 2 || size_bytes == 4 || size_bytes == 8;
}

// What an instruction needs on the stack and what it leaves there instead.
struct Effect {
  uint32_t pops;
  uint32_t pushes;
};

Effect EffectOf(const Insn& insn) {
  switch (insn.op) {
    case Op::kReturn:
      return {1, 0};
    case Op::kFail:
    case Op::kJump:
      return {0, 0};
    case Op::kConst:
    case Op::kRegister:
    case Op::kCfa:
    case Op::kModuleAddress:
    case Op::kXmm:
    case Op::kEntryValue:
    case Op::kThreadLocal:
    case Op::kGetLocal:
    case Op::kFact:
      return {0, 1};
    case Op::kLoop:
      return {0, 0};
    case Op::kTextTest:
      return {insn.imm < 0 ? 4u : 2u, 1};
    case Op::kDup:
      return {1, 2};
    case Op::kPick:
      return {uint32_t{insn.a} + 1, uint32_t{insn.a} + 2};
    case Op::kDrop:
    case Op::kSetLocal:
    case Op::kJumpIfZero:
    case Op::kJumpIfNonZero:
      return {1, 0};
    case Op::kSwap:
      return {2, 2};
    case Op::kOver:
      return {2, 3};
    case Op::kRot:
      return {3, 3};
    case Op::kLoad:
    case Op::kAddImm:
    case Op::kNeg:
    case Op::kNot:
    case Op::kLogicalNot:
    case Op::kBool:
    case Op::kExtend:
    case Op::kFNeg:
    case Op::kF32ToF64:
    case Op::kF64ToF32:
    case Op::kS64ToF64:
    case Op::kU64ToF64:
    case Op::kF64ToS64:
    case Op::kF64ToU64:
    case Op::kCStringEq:
    case Op::kTextLength:
    case Op::kTreeNext:
    case Op::kThreadBlock:
    case Op::kThreadOffset:
      return {1, 1};
    default:
      return {2, 1};  // the binary operators, kStringEq and kNameTest
  }
}

bool IsKnownCode(uint8_t value) {
  return value != 0 && value <= static_cast<uint8_t>(Code::kThreadLocalNotAllocated);
}

// Operands that do not depend on the stack. nullptr when they are legal, else what is wrong.
const char* OperandFault(const Insn& insn, size_t string_count) {
  if (insn.op > Op::kThreadOffset) return "unknown operation";
  switch (insn.op) {
    case Op::kFail:
      return IsKnownCode(insn.a) ? nullptr : "not an error code";
    case Op::kRegister:
      return insn.a < kRegisterCount ? nullptr : "no such register";
    case Op::kEntryValue:
      return insn.a < kAllEntryCells ? nullptr : "no such register";
    case Op::kXmm:
      if (insn.a >= kXmmCount) return "no such register";
      return insn.b == 4 || insn.b == 8 ? nullptr : "bad size";
    case Op::kLoad:
    case Op::kExtend:
      return IsAccessSize(insn.a) ? nullptr : "bad size";
    case Op::kStringEq:
    case Op::kCStringEq:
    case Op::kNameTest:
      return insn.imm >= 0 && static_cast<uint64_t>(insn.imm) < string_count ? nullptr
                                                                             : "no such string";
    case Op::kGetLocal:
    case Op::kSetLocal:
      return insn.a < kMaxLocals ? nullptr : "no such local";
    case Op::kFact:
      return insn.a < kFactCount ? nullptr : "no such fact";
    case Op::kTextTest:
      if (insn.a >= kTextTestCount) return "no such test";
      return insn.imm < 0 || static_cast<uint64_t>(insn.imm) < string_count ? nullptr
                                                                            : "no such string";
    case Op::kTextLength:
      return insn.imm >= 0 ? nullptr : "bad size";
    default:
      return nullptr;
  }
}

// Follows every path at once: jumps go forward, so each instruction is met after all that can lead
// to it. A loop goes back to what is known already, and must not bring anything new.
class ProgramVerifier {
 public:
  ProgramVerifier(std::span<const Insn> code, size_t string_count, uint16_t locals)
      : code_(code), string_count_(string_count) {
    depth_.fill(kNeverRuns);
    locals_.fill(0);
    locals_[0] = locals;
  }

  Status Run() {
    depth_[0] = 0;
    for (uint32_t i = 0; i < code_.size(); ++i) SF_RETURN_IF_ERROR(Step(i));
    return Status();
  }

  std::vector<uint8_t> depths() const {
    return std::vector<uint8_t>(depth_.begin(), depth_.begin() + code_.size());
  }

 private:
  static Status Fault(uint32_t index, const char* what) {
    return Corrupt("instruction " + std::to_string(index) + ": " + what);
  }

  Status Step(uint32_t index) {
    const Insn& insn = code_[index];
    if (const char* fault = OperandFault(insn, string_count_)) return Fault(index, fault);
    // No path leads here, so it never runs; compilers of programs may leave such tails.
    if (depth_[index] == kNeverRuns) return Status();
    const Effect effect = EffectOf(insn);
    if (effect.pops > depth_[index]) return Fault(index, "stack underflow");
    const uint32_t depth = depth_[index] - effect.pops + effect.pushes;
    if (depth > kMaxStack) return Fault(index, "stack overflow");
    const uint32_t local = insn.op == Op::kGetLocal || insn.op == Op::kSetLocal ? 1u << insn.a : 0;
    if (insn.op == Op::kGetLocal && (locals_[index] & local) == 0) {
      return Fault(index, "local that may not be set");
    }
    after_ = static_cast<uint16_t>(locals_[index] | local);
    return Flow(index, depth);
  }

  Status Flow(uint32_t index, uint32_t depth) {
    const Insn& insn = code_[index];
    if (insn.op == Op::kReturn || insn.op == Op::kFail) return Status();
    if (insn.op == Op::kLoop) return Back(index, depth);
    const bool always = insn.op == Op::kJump;
    if (always || insn.op == Op::kJumpIfZero || insn.op == Op::kJumpIfNonZero) {
      if (insn.imm <= 0) return Fault(index, "jump that does not go forward");
      SF_RETURN_IF_ERROR(Reach(index, static_cast<uint64_t>(insn.imm), depth));
    }
    return always ? Status() : Reach(index, 1, depth);
  }

  Status Back(uint32_t from, uint32_t depth) {
    const int64_t target = int64_t{from} + code_[from].imm;
    if (code_[from].imm >= 0 || target < 0) return Fault(from, "loop that does not go back");
    if (depth_[target] != depth) return Fault(from, "stack depth differs between paths");
    if ((locals_[target] & ~after_) != 0) return Fault(from, "local that may not be set");
    return Status();
  }

  Status Reach(uint32_t from, uint64_t distance, uint32_t depth) {
    if (distance >= code_.size() - from) return Fault(from, "control leaves the program");
    uint8_t& known = depth_[from + distance];
    if (known != kNeverRuns && known != depth) {
      return Fault(static_cast<uint32_t>(from + distance), "stack depth differs between paths");
    }
    uint16_t& locals = locals_[from + distance];
    locals = known == kNeverRuns ? after_ : static_cast<uint16_t>(locals & after_);
    known = static_cast<uint8_t>(depth);
    return Status();
  }

  std::span<const Insn> code_;
  size_t string_count_;
  std::array<uint8_t, kMaxProgramLength> depth_;
  std::array<uint16_t, kMaxProgramLength> locals_;  // bit i: local i is set before it
  uint16_t after_ = 0;                              // the same, after the instruction looked at
};

}  // namespace

namespace {

Result<std::vector<uint8_t>> Verified(std::span<const Insn> code, const Program& program,
                                      size_t string_count, uint16_t locals) {
  if (program.empty()) return Corrupt("empty program");
  if (program.count > kMaxProgramLength) return Corrupt("program too long");
  if (program.first > code.size() || program.count > code.size() - program.first) {
    return Corrupt("program outside the code");
  }
  ProgramVerifier verifier(code.subspan(program.first, program.count), string_count, locals);
  SF_RETURN_IF_ERROR(verifier.Run());
  return verifier.depths();
}

}  // namespace

Result<std::vector<uint8_t>> StackDepths(std::span<const Insn> code, const Program& program,
                                         size_t string_count) {
  return Verified(code, program, string_count, 0);
}

Status VerifyProgram(std::span<const Insn> code, const Program& program, size_t string_count,
                     uint16_t locals) {
  return Verified(code, program, string_count, locals).status();
}

}  // namespace stillframe
