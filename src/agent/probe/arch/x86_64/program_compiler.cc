#include "agent/probe/arch/x86_64/program_compiler.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

namespace stillframe::probe::arch {
namespace {

// Reads this far above the site's stack pointer are taken for reads of frames that are alive, and
// those in the red zone for the function's own. A fault there is caught like any other.
constexpr int32_t kFrameReach = 32 * 1024;
constexpr int32_t kRedZone = 128;

// The stack of the program at compile time: what is not in a register yet costs no instruction.
struct Cell {
  enum Kind : uint8_t { kRegister, kConst, kBase } kind = kRegister;
  Register base = kRsp;   // kBase: RSP stands for the site's stack pointer
  bool is_frame = false;  // derived from the CFA or the stack pointer
  int64_t value = 0;      // kConst, or what is added to the base
};

class Compiler {
 public:
  Compiler(const ProgramInput& input, const SavedRegisters& saved, Assembler& code,
           ProgramLabels& labels)
      : input_(input), saved_(saved), code_(code), labels_(labels) {}

  Status Run();
  const ProgramNeeds& needs() const { return needs_; }

 private:
  Status Step(const Insn& insn);
  Status FindTargets();
  Status Unsupported(const char* what) const {
    return Status(Code::kUnsupported, std::string(what) + " is not compiled");
  }

  size_t depth() const { return cells_.size(); }
  static Register CellRegister(size_t index) { return kCellRegisters[index]; }
  Status Push(const Cell& cell);
  // Makes sure that the cell is in its register.
  Register Materialize(size_t index);
  void MaterializeAll();
  // Register that holds the cell's value now, for reading only.
  void LoadSite(Register to, Register from);
  bool IsPreserved(Register reg) const;
  int32_t FrameOffset(int64_t from_site_rsp) const {
    return static_cast<int32_t>(from_site_rsp) + saved_.rsp_at_site;
  }

  Status PushRegister(uint8_t dwarf_register);
  Status PushCfa();
  void AddImmediate(int64_t value);
  Status LoadMemory(uint8_t size_bytes, bool is_signed);
  void CheckFrame(Register base, int64_t offset);
  void CheckRange(Register address);
  void Fixup() {
    code_.Put({0x0F, 0x1F, 0x80});  // nop dword [rax+rel32]: where a fault in what follows goes on
    code_.Refer(labels_.bail);
  }
  Status Binary(const Insn& insn);
  void ShiftCell(Shift op);
  Status Divide(const Insn& insn);
  Status CompareString(const Insn& insn);
  void FloatOrder(Register reg);
  Status ConvertToFloat(Op op);
  void Rotate();
  Status Duplicate(size_t below_top);
  void Swap();
  // Sets the flags from the two top cells and pops them. Falls through.
  Condition CompareTop(Op op);
  static std::optional<Condition> ConditionOf(Op op);
  Status Compare(const Insn& insn);
  Status JumpTo(size_t target);
  void JumpToLabelOf(size_t target, std::optional<Condition> condition);
  void Return(std::optional<Condition> condition);

  const ProgramInput& input_;
  const SavedRegisters& saved_;
  Assembler& code_;
  ProgramLabels& labels_;
  ProgramNeeds needs_;
  std::vector<Cell> cells_;
  size_t position_ = 0;
  bool reachable_ = true;
  std::vector<char> is_target_;
  std::vector<int> target_depth_;  // -1 = not known yet
  std::vector<Label> target_labels_;
};

Status Compiler::FindTargets() {
  const size_t count = input_.code.size();
  is_target_.assign(count + 1, 0);
  target_depth_.assign(count + 1, -1);
  target_labels_.resize(count + 1);
  for (size_t i = 0; i < count; ++i) {
    const Insn& insn = input_.code[i];
    if (insn.op != Op::kJump && insn.op != Op::kJumpIfZero && insn.op != Op::kJumpIfNonZero) {
      continue;
    }
    if (insn.imm <= 0 || static_cast<uint64_t>(insn.imm) >= count - i) {
      return Status(Code::kInternal, "a jump out of the program");
    }
    is_target_[i + static_cast<size_t>(insn.imm)] = 1;
  }
  return Status();
}

Status Compiler::Run() {
  SF_RETURN_IF_ERROR(FindTargets());
  for (position_ = 0; position_ < input_.code.size(); ++position_) {
    if (is_target_[position_] != 0) {
      if (reachable_) SF_RETURN_IF_ERROR(JumpTo(position_));
      if (target_depth_[position_] >= 0) {
        cells_.assign(static_cast<size_t>(target_depth_[position_]), Cell{});
        reachable_ = true;
      }
      code_.Bind(target_labels_[position_]);
    }
    if (reachable_) SF_RETURN_IF_ERROR(Step(input_.code[position_]));
  }
  if (reachable_) return Status(Code::kInternal, "the program runs off its end");
  return Status();
}

// Control goes on at `target` with everything in registers.
Status Compiler::JumpTo(size_t target) {
  MaterializeAll();
  int& depth_there = target_depth_[target];
  if (depth_there < 0) depth_there = static_cast<int>(depth());
  if (depth_there != static_cast<int>(depth())) {
    return Status(Code::kInternal, "a jump changes the depth of the stack");
  }
  return Status();
}

void Compiler::JumpToLabelOf(size_t target, std::optional<Condition> condition) {
  if (condition) {
    code_.JumpIf(*condition, target_labels_[target]);
  } else {
    code_.Jump(target_labels_[target]);
  }
}

bool Compiler::IsPreserved(Register reg) const {
  return reg == kRbx || reg == kRbp || (reg >= kR12 && reg <= kR15);
}

void Compiler::LoadSite(Register to, Register from) {
  if (from == kRsp) return code_.LoadAddress(to, kRsp, saved_.rsp_at_site);
  if (from == kRax) return code_.Load(to, kRsp, saved_.rax);
  if (from == kRcx) return code_.Load(to, kRsp, saved_.rcx);
  for (uint32_t i = 0; i < saved_.cells; ++i) {
    if (kCellRegisters[i] == from) {
      return code_.Load(to, kRsp, saved_.first_cell - static_cast<int32_t>(8 * i));
    }
  }
  code_.Move(to, from);
}

Status Compiler::Push(const Cell& cell) {
  if (depth() == kMaxCells) return Unsupported("an expression this deep");
  cells_.push_back(cell);
  needs_.cells = std::max(needs_.cells, static_cast<uint32_t>(depth()));
  return Status();
}

Register Compiler::Materialize(size_t index) {
  Cell& cell = cells_[index];
  const Register reg = CellRegister(index);
  if (cell.kind == Cell::kConst) {
    code_.MoveImmediate(reg, static_cast<uint64_t>(cell.value));
  } else if (cell.kind == Cell::kBase && cell.base == kRsp) {
    code_.LoadAddress(reg, kRsp, FrameOffset(cell.value));
  } else if (cell.kind == Cell::kBase) {
    if (cell.value == 0) {
      code_.Move(reg, cell.base);
    } else {
      code_.LoadAddress(reg, cell.base, static_cast<int32_t>(cell.value));
    }
  }
  cell.kind = Cell::kRegister;
  return reg;
}

void Compiler::MaterializeAll() {
  for (size_t i = 0; i < depth(); ++i) {
    Materialize(i);
    cells_[i].is_frame = false;
  }
}

Status Compiler::PushRegister(uint8_t dwarf_register) {
  if (dwarf_register >= kRegisterCount) return Unsupported("that register");
  const Register reg = kDwarfOrder[dwarf_register];
  Cell cell;
  if (IsPreserved(reg) || reg == kRsp) {
    cell.kind = Cell::kBase;
    cell.base = reg;
    cell.is_frame = reg == kRsp;
    return Push(cell);
  }
  SF_RETURN_IF_ERROR(Push(cell));
  LoadSite(CellRegister(depth() - 1), reg);
  return Status();
}

Status Compiler::PushCfa() {
  if (!input_.cfa.known) return Unsupported("a frame address that takes more than a register");
  SF_RETURN_IF_ERROR(PushRegister(input_.cfa.dwarf_register));
  AddImmediate(input_.cfa.offset);
  cells_.back().is_frame = true;
  return Status();
}

void Compiler::AddImmediate(int64_t value) {
  Cell& cell = cells_.back();
  const auto sum =
      static_cast<int64_t>(static_cast<uint64_t>(cell.value) + static_cast<uint64_t>(value));
  if (cell.kind == Cell::kConst) {
    cell.value = sum;
    return;
  }
  // Far from the ends of 32 bits, so that the frame's own offset can still be added.
  constexpr int64_t kReach = int64_t{1} << 30;
  if (cell.kind == Cell::kBase && sum > -kReach && sum < kReach) {
    cell.value = sum;
    return;
  }
  const Register reg = Materialize(depth() - 1);
  if (value == static_cast<int32_t>(value)) {
    code_.LoadAddress(reg, reg, static_cast<int32_t>(value));
  } else {
    code_.MoveImmediate(kRax, static_cast<uint64_t>(value));
    code_.Operate(kAdd, reg, kRax);
  }
}

// base + offset lies in [site RSP - red zone, site RSP + reach), else bail.
void Compiler::CheckFrame(Register base, int64_t offset) {
  code_.LoadAddress(kRax, base, static_cast<int32_t>(offset) + kRedZone - saved_.rsp_at_site);
  code_.Operate(kSub, kRax, kRsp);
  code_.OperateImmediate(kCmp, kRax, kFrameReach);
  code_.JumpIf(kAboveEqual, labels_.bail);
}

void Compiler::CheckRange(Register address) {
  needs_.guarded_reads = true;
  EmitRangeCheck(*input_.layout, address, code_, labels_);
}

Status Compiler::LoadMemory(uint8_t size_bytes, bool is_signed) {
  if (size_bytes != 1 && size_bytes != 2 && size_bytes != 4 && size_bytes != 8) {
    return Unsupported("a read of that size");
  }
  const size_t top = depth() - 1;
  const Cell cell = cells_[top];
  const Register to = CellRegister(top);
  const bool frame = cell.kind == Cell::kBase && cell.is_frame;
  if (frame && cell.base == kRsp && cell.value >= -kRedZone && cell.value < kFrameReach) {
    Fixup();
    code_.Load(to, kRsp, FrameOffset(cell.value), size_bytes, is_signed);
  } else if (frame && cell.base != kRsp) {
    CheckFrame(cell.base, cell.value);
    Fixup();
    code_.Load(to, cell.base, static_cast<int32_t>(cell.value), size_bytes, is_signed);
  } else {
    Materialize(top);
    CheckRange(to);
    Fixup();
    code_.Load(to, to, 0, size_bytes, is_signed);
  }
  cells_[top] = Cell{};
  return Status();
}

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

// Length first: most strings differ in it and are not read at all.
Status Compiler::CompareString(const Insn& insn) {
  constexpr uint64_t kLongest = 32;
  const hit::StringRef& literal = input_.strings[insn.imm];
  if (literal.size_bytes > kLongest) return Unsupported("a comparison with a text this long");
  const auto size = static_cast<int32_t>(literal.size_bytes);
  const Register address = Materialize(depth() - 2);
  const Register length = Materialize(depth() - 1);
  Label differs, done;
  code_.OperateImmediate(kCmp, length, size);
  code_.JumpIf(kNotEqual, differs);
  if (size != 0) CheckRange(address);
  if (size > 8) {
    code_.LoadAddress(length, address, size - 8);
    CheckRange(length);
  }
  for (int32_t at = 0; at < size;) {
    const int32_t left = size - at;
    const uint8_t piece = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
    uint64_t expected = 0;
    std::memcpy(&expected, literal.data + at, piece);
    Fixup();
    code_.Load(kRax, address, at, piece);
    code_.MoveImmediate(length, expected);
    code_.Operate(kCmp, kRax, length);
    code_.JumpIf(kNotEqual, differs);
    at += piece;
  }
  code_.MoveImmediate(address, 1);
  code_.Jump(done);
  code_.Bind(differs);
  code_.MoveImmediate(address, 0);
  code_.Bind(done);
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

// The end of the program. Most hits are declined: that way falls through at the last instruction.
void Compiler::Return(std::optional<Condition> condition) {
  reachable_ = false;
  const bool is_last = position_ + 1 == input_.code.size();
  if (input_.result_slot) {
    code_.Store(kRsp, *input_.result_slot, Materialize(depth() - 1));
    if (!is_last) code_.Jump(labels_.is_true);
    return;
  }
  if (!condition) {
    const Register reg = Materialize(depth() - 1);
    code_.Test(reg, reg);
    condition = kNotEqual;
  }
  code_.JumpIf(*condition, labels_.is_true);
  if (!is_last) code_.Jump(labels_.is_false);
}

void Compiler::Swap() {
  Cell& a = cells_[depth() - 2];
  Cell& b = cells_[depth() - 1];
  if (a.kind != Cell::kRegister && b.kind != Cell::kRegister) return std::swap(a, b);
  code_.Exchange(Materialize(depth() - 2), Materialize(depth() - 1));
  std::swap(a.is_frame, b.is_frame);
}

void Compiler::Rotate() {
  const size_t top = depth() - 1;
  for (size_t i = top - 2; i <= top; ++i) {
    Materialize(i);
    cells_[i].is_frame = false;
  }
  code_.Move(kRax, CellRegister(top));
  code_.Move(CellRegister(top), CellRegister(top - 1));
  code_.Move(CellRegister(top - 1), CellRegister(top - 2));
  code_.Move(CellRegister(top - 2), kRax);
}

Status Compiler::Duplicate(size_t below_top) {
  if (below_top >= depth()) return Status(Code::kInternal, "a cell below the stack");
  const size_t source = depth() - 1 - below_top;
  const Cell cell = cells_[source];
  SF_RETURN_IF_ERROR(Push(cell));
  if (cell.kind == Cell::kRegister) code_.Move(CellRegister(depth() - 1), CellRegister(source));
  return Status();
}

Status Compiler::Step(const Insn& insn) {
  switch (insn.op) {
    case Op::kReturn:
      Return(std::nullopt);
      return Status();
    case Op::kFail:
      code_.Jump(labels_.bail);
      reachable_ = false;
      return Status();
    case Op::kConst:
      return Push(Cell{Cell::kConst, kRsp, false, insn.imm});
    case Op::kModuleAddress:
      return Push(Cell{Cell::kConst, kRsp, false,
                       static_cast<int64_t>(static_cast<uint64_t>(insn.imm) + input_.load_bias)});
    case Op::kRegister:
      return PushRegister(insn.a);
    case Op::kCfa:
      return PushCfa();
    case Op::kLoad:
      return LoadMemory(insn.a, insn.b != 0);
    case Op::kDup:
      return Duplicate(0);
    case Op::kOver:
      return Duplicate(1);
    case Op::kPick:
      return Duplicate(insn.a);
    case Op::kDrop:
      cells_.pop_back();
      return Status();
    case Op::kSwap:
      Swap();
      return Status();
    case Op::kRot:
      Rotate();
      return Status();
    case Op::kAddImm:
      AddImmediate(insn.imm);
      return Status();
    case Op::kAdd:
    case Op::kSub:
    case Op::kMul:
    case Op::kAnd:
    case Op::kOr:
    case Op::kXor:
    case Op::kShl:
    case Op::kShrU:
    case Op::kShrS:
      return Binary(insn);
    case Op::kDivS:
    case Op::kDivU:
    case Op::kModS:
    case Op::kModU:
      return Divide(insn);
    case Op::kStringEq:
      return CompareString(insn);
    case Op::kS64ToF64:
    case Op::kU64ToF64:
      return ConvertToFloat(insn.op);
    case Op::kNeg:
      code_.Negate(Materialize(depth() - 1));
      cells_.back().is_frame = false;
      return Status();
    case Op::kNot:
      code_.Not(Materialize(depth() - 1));
      cells_.back().is_frame = false;
      return Status();
    case Op::kExtend: {
      const Register reg = CellRegister(depth() - 1);
      const Cell cell = cells_.back();
      const bool in_place = cell.kind == Cell::kBase && cell.base != kRsp && cell.value == 0;
      code_.Extend(reg, in_place ? cell.base : Materialize(depth() - 1), insn.a, insn.b != 0);
      cells_.back() = Cell{};
      return Status();
    }
    case Op::kLogicalNot:
    case Op::kBool:
    case Op::kEq:
    case Op::kNe:
    case Op::kLtS:
    case Op::kLtU:
    case Op::kLeS:
    case Op::kLeU:
    case Op::kFEq:
    case Op::kFNe:
    case Op::kFLt:
    case Op::kFLe:
      return Compare(insn);
    case Op::kJump: {
      const size_t target = position_ + static_cast<size_t>(insn.imm);
      SF_RETURN_IF_ERROR(JumpTo(target));
      JumpToLabelOf(target, std::nullopt);
      reachable_ = false;
      return Status();
    }
    case Op::kJumpIfZero:
    case Op::kJumpIfNonZero: {
      const Register reg = Materialize(depth() - 1);
      cells_.pop_back();
      const size_t target = position_ + static_cast<size_t>(insn.imm);
      SF_RETURN_IF_ERROR(JumpTo(target));
      code_.Test(reg, reg);
      JumpToLabelOf(target, insn.op == Op::kJumpIfZero ? kEqual : kNotEqual);
      return Status();
    }
    default:
      return Unsupported("an operator of the condition");
  }
}

}  // namespace

Result<ProgramNeeds> MeasureProgram(const ProgramInput& input) {
  Assembler scratch(0);
  ProgramLabels labels;
  SavedRegisters saved;
  saved.cells = kMaxCells;
  Compiler compiler(input, saved, scratch, labels);
  SF_RETURN_IF_ERROR(compiler.Run());
  return compiler.needs();
}

Status CompileProgram(const ProgramInput& input, const SavedRegisters& saved, Assembler& code,
                      ProgramLabels& labels) {
  return Compiler(input, saved, code, labels).Run();
}

void EmitRangeCheck(const hit::CodeLayout& layout, Register address, Assembler& code,
                    ProgramLabels& labels) {
  const auto thread = static_cast<int32_t>(layout.thread);
  code.Move(kRax, address);
  code.ArithmeticThread(kSub, kRax, thread + static_cast<int32_t>(layout.range_start));
  code.ArithmeticThread(kCmp, kRax, thread + static_cast<int32_t>(layout.range_limit));
  SecondTry& second = labels.second_tries.emplace_back();
  second.address = address;
  code.JumpIf(kAbove, second.at);
  code.Bind(second.back);
}

void EmitSecondTries(const hit::CodeLayout& layout, Assembler& code, ProgramLabels& labels) {
  const auto thread = static_cast<int32_t>(layout.thread);
  for (SecondTry& second : labels.second_tries) {
    code.Bind(second.at);
    code.Move(kRax, second.address);
    code.ArithmeticThread(kSub, kRax, thread + static_cast<int32_t>(layout.range_start) + 8);
    code.ArithmeticThread(kCmp, kRax, thread + static_cast<int32_t>(layout.range_limit) + 8);
    code.JumpIf(kAbove, labels.bail);
    code.Jump(second.back);
  }
}

}  // namespace stillframe::probe::arch
