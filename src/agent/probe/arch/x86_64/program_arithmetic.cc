// Arithmetic and comparison.
#include <cstring>

#include "agent/probe/arch/x86_64/program_compiler_impl.h"

namespace stillframe::probe::arch {

void Compiler::ShiftCell(Shift op) {
  const size_t left = depth() - 2;
  if (cells_.back().kind == Cell::kConst) {
    const auto count = static_cast<uint64_t>(cells_.back().value);
    const Register reg = Materialize(left);
    if (count < 64) {
      code_.ShiftImmediate(op, reg, static_cast<uint8_t>(count));
    } else if (op == kSar) {
      code_.ShiftImmediate(op, reg, 63);
    } else {
      code_.MoveImmediate(reg, 0);
    }
    cells_.pop_back();
    return;
  }
  const Register reg = Materialize(left);
  const Register count = Materialize(left + 1);
  code_.Move(kRax, kRcx);
  code_.Move(kRcx, count);
  code_.ShiftByCl(op, reg);  // by the count modulo 64
  code_.Move(kRcx, kRax);
  if (op == kSar) {  // from 64 on: the sign, by shifting once more
    code_.Move(kRax, reg);
    code_.ShiftImmediate(kSar, kRax, 63);
    code_.OperateImmediate(kCmp, count, 64);
    code_.MoveIf(kAboveEqual, reg, kRax);
  } else {  // from 64 on: zero
    code_.MoveImmediate(kRax, 0);
    code_.OperateImmediate(kCmp, count, 64);
    code_.MoveIf(kAboveEqual, reg, kRax);
  }
  cells_.pop_back();
}

// Divisors for which x86 would trap are the interpreter's to report.
Status Compiler::Divide(const Insn& insn) {
  const bool is_signed = insn.op == Op::kDivS || insn.op == Op::kModS;
  const bool wants_quotient = insn.op == Op::kDivS || insn.op == Op::kDivU;
  const Register left = Materialize(depth() - 2);
  const Cell divisor = cells_.back();
  if (divisor.kind == Cell::kConst) {
    if (divisor.value == 0 || divisor.value == -1) return Unsupported("that division");
    const auto shift = static_cast<uint8_t>(__builtin_ctzll(static_cast<uint64_t>(divisor.value)));
    if (insn.op == Op::kDivS && divisor.value == int64_t{1} << shift && shift < 31) {
      // Rounds toward zero: what the shift would lose is added to negative numbers first.
      code_.Move(kRax, left);
      code_.ShiftImmediate(kSar, kRax, 63);
      code_.OperateImmediate(kAnd, kRax, static_cast<int32_t>(divisor.value - 1));
      code_.Operate(kAdd, left, kRax);
      code_.ShiftImmediate(kSar, left, shift);
      cells_.pop_back();
      return Status();
    }
  } else {
    const Register reg = Materialize(depth() - 1);
    code_.Test(reg, reg);
    code_.JumpIf(kEqual, labels_.bail);
    if (is_signed) {
      code_.OperateImmediate(kCmp, reg, -1);
      code_.JumpIf(kEqual, labels_.bail);
    }
  }
  code_.Move(kRax, left);
  code_.Push(kRcx);
  if (left != kRdx) code_.Push(kRdx);
  if (divisor.kind == Cell::kConst) {
    code_.MoveImmediate(kRcx, static_cast<uint64_t>(divisor.value));
  } else {
    code_.Move(kRcx, CellRegister(depth() - 1));
  }
  code_.DivideByRcx(is_signed);
  if (!wants_quotient) code_.Move(kRax, kRdx);
  if (left != kRdx) code_.Pop(kRdx);
  code_.Pop(kRcx);
  code_.Move(left, kRax);
  cells_.pop_back();
  cells_.back() = Cell{};
  return Status();
}

// Turns the bits of a double into an integer of the same order (float_ops.h); infinities and NaN
// are left to the interpreter.
void Compiler::FloatOrder(Register reg) {
  constexpr int32_t kSpecialExponent = 0x7FF;
  code_.Move(kRax, reg);
  code_.ShiftImmediate(kShl, kRax, 1);
  code_.ShiftImmediate(kShr, kRax, 53);
  code_.OperateImmediate(kCmp, kRax, kSpecialExponent);
  code_.JumpIf(kEqual, labels_.bail);
  code_.Move(kRax, reg);
  code_.ShiftImmediate(kSar, kRax, 63);
  code_.ClearSign(reg);
  code_.Operate(kXor, reg, kRax);
  code_.Operate(kSub, reg, kRax);
}

// Literals only: `price > 100` compares with the double 100.
Status Compiler::ConvertToFloat(Op op) {
  Cell& cell = cells_.back();
  if (cell.kind != Cell::kConst) return Unsupported("a conversion to floating point");
  const double value = op == Op::kS64ToF64 ? static_cast<double>(cell.value)
                                           : static_cast<double>(static_cast<uint64_t>(cell.value));
  std::memcpy(&cell.value, &value, sizeof value);
  return Status();
}

Status Compiler::Binary(const Insn& insn) {
  if (insn.op == Op::kShl || insn.op == Op::kShrU || insn.op == Op::kShrS) {
    ShiftCell(insn.op == Op::kShl ? kShl : insn.op == Op::kShrU ? kShr : kSar);
    return Status();
  }
  const size_t left = depth() - 2;
  if (insn.op == Op::kAdd && cells_.back().kind == Cell::kConst) {
    const int64_t value = cells_.back().value;
    cells_.pop_back();
    AddImmediate(value);
    return Status();
  }
  const Register reg = Materialize(left);
  const Register right = Materialize(left + 1);
  switch (insn.op) {
    case Op::kAdd:
      code_.Operate(kAdd, reg, right);
      break;
    case Op::kSub:
      code_.Operate(kSub, reg, right);
      break;
    case Op::kMul:
      code_.Multiply(reg, right);
      break;
    case Op::kAnd:
      code_.Operate(kAnd, reg, right);
      break;
    case Op::kOr:
      code_.Operate(kOr, reg, right);
      break;
    default:
      code_.Operate(kXor, reg, right);
      break;
  }
  cells_.pop_back();
  cells_.back().is_frame = false;
  return Status();
}

std::optional<Condition> Compiler::ConditionOf(Op op) {
  switch (op) {
    case Op::kEq:
    case Op::kFEq:
      return kEqual;
    case Op::kNe:
    case Op::kFNe:
      return kNotEqual;
    case Op::kLtS:
    case Op::kFLt:
      return kLess;
    case Op::kLtU:
      return kBelow;
    case Op::kLeS:
    case Op::kFLe:
      return kLessEqual;
    case Op::kLeU:
      return kBelowEqual;
    case Op::kLogicalNot:
      return kEqual;
    case Op::kBool:
      return kNotEqual;
    default:
      return std::nullopt;
  }
}

Condition Compiler::CompareTop(Op op) {
  if (op == Op::kLogicalNot || op == Op::kBool) {
    const Register reg = Materialize(depth() - 1);
    code_.Test(reg, reg);
    cells_.pop_back();
    return *ConditionOf(op);
  }
  const Register left = Materialize(depth() - 2);
  if (op == Op::kFEq || op == Op::kFNe || op == Op::kFLt || op == Op::kFLe) {
    FloatOrder(left);
    FloatOrder(Materialize(depth() - 1));
  }
  const Cell right = cells_.back();
  if (right.kind == Cell::kConst && right.value == static_cast<int32_t>(right.value)) {
    code_.OperateImmediate(kCmp, left, static_cast<int32_t>(right.value));
  } else {
    code_.Operate(kCmp, left, Materialize(depth() - 1));
  }
  cells_.pop_back();
  cells_.pop_back();
  return *ConditionOf(op);
}

// A comparison whose result only decides where to go on needs no result.
Status Compiler::Compare(const Insn& insn) {
  const size_t next = position_ + 1;
  const bool fusable = next < input_.code.size() && is_target_[next] == 0;
  const Op then = fusable ? input_.code[next].op : Op::kDup;
  if (then == Op::kReturn && !input_.result_slot) {
    const Condition condition = CompareTop(insn.op);
    ++position_;
    Return(condition);
    return Status();
  }
  if (then == Op::kJumpIfZero || then == Op::kJumpIfNonZero) {
    const Condition condition = CompareTop(insn.op);
    const size_t target = next + static_cast<size_t>(input_.code[next].imm);
    ++position_;
    SF_RETURN_IF_ERROR(JumpTo(target));  // moves only: the flags stay
    JumpToLabelOf(target, then == Op::kJumpIfZero ? Inverse(condition) : condition);
    return Status();
  }
  const Condition condition = CompareTop(insn.op);
  SF_RETURN_IF_ERROR(Push(Cell{}));
  code_.SetIf(condition, CellRegister(depth() - 1));
  return Status();
}

}  // namespace stillframe::probe::arch
