#include <algorithm>

#include "agent/probe/arch/x86_64/program_compiler_impl.h"

namespace stillframe::probe::arch {

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

}  // namespace stillframe::probe::arch
