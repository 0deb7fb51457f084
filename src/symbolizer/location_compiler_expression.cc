#include "symbolizer/location_compiler_expression.h"

#include "symbolizer/call_site_reader.h"
#include "symbolizer/dwarf_util.h"

namespace stillframe::dwarf {
namespace {

constexpr size_t kMaxOps = 400;
constexpr uint8_t kRsp = 7;
constexpr uint8_t kRip = 16;

constexpr CellType kGeneric{};

bool InRange(uint8_t atom, unsigned first, unsigned last) { return atom >= first && atom <= last; }

// The function's first instruction: there every register still has its entry value.
bool AtFunctionEntry(const LocationContext& context) {
  return context.innermost && context.subprogram &&
         FunctionEntryOf(*context.subprogram) == context.pc;
}

}  // namespace

Code RegisterAvailability(uint64_t reg, const LocationContext& context) {
  if (reg > kRip) return Code::kUnsupportedLocation;
  if (context.innermost) return Code::kOk;
  // psABI §3.2.1: rbx, rbp, r12-r15 belong to the caller; rsp and rip follow from the CFA.
  const bool kept = reg == 3 || reg == 6 || reg == kRsp || reg >= 12;
  return kept ? Code::kOk : Code::kNotSaved;
}

std::optional<uint64_t> IndexedNumber(Dwarf_Attribute& attribute, const Dwarf_Op& op) {
  Dwarf_Attribute value;
  const bool is_indexed = op.atom == DW_OP_addrx || op.atom == DW_OP_GNU_addr_index ||
                          op.atom == DW_OP_constx || op.atom == DW_OP_GNU_const_index;
  if (!is_indexed || dwarf_getlocation_attr(&attribute, &op, &value) != 0) return std::nullopt;
  Dwarf_Addr address = 0;
  if (dwarf_formaddr(&value, &address) == 0) return address;
  Dwarf_Word number = 0;
  if (dwarf_formudata(&value, &number) == 0) return number;
  return std::nullopt;
}

void ExpressionCompiler::Emit(Op op, uint8_t a, uint8_t b, int64_t imm) {
  code_.push_back(MakeInsn(op, imm, a, b));
}

bool ExpressionCompiler::Pop(CellType& type) {
  if (cells_.empty()) return false;
  type = cells_.back();
  cells_.pop_back();
  return true;
}

Code ExpressionCompiler::Run(Dwarf_Attribute& attribute, std::span<const Dwarf_Op> ops) {
  attribute_ = &attribute;
  if (ops.empty()) return Code::kOptimizedOut;
  if (ops.size() > kMaxOps || depth_ > kMaxDepth) return Code::kUnsupportedLocation;
  for (const Dwarf_Op& op : ops) {
    // Jumps that end here: every path must bring the same number of cells.
    const auto [first, last] = jumps_.equal_range(op.offset);
    for (auto jump = first; jump != last; ++jump) {
      if (!reachable_) cells_.assign(jump->second.depth, kGeneric);
      reachable_ = true;
      if (cells_.size() != jump->second.depth) return Code::kUnsupportedLocation;
      code_[jump->second.insn].imm = static_cast<int64_t>(code_.size() - jump->second.insn);
    }
    jumps_.erase(first, last);
    if (!reachable_ || is_value_) return Code::kUnsupportedLocation;
    if (const Code code = Step(op); code != Code::kOk) return code;
    if (below_ + cells_.size() + kTemporaries > kMaxStack || code_.size() > kMaxProgramLength - 8) {
      return Code::kUnsupportedLocation;
    }
  }
  return jumps_.empty() && reachable_ && !cells_.empty() ? Code::kOk : Code::kUnsupportedLocation;
}

std::vector<Insn> ExpressionCompiler::TakeProgram() {
  // A float leaves in its own format.
  if (cells_.back().is_float && cells_.back().size_bytes == 4) Emit(Op::kF64ToF32);
  Emit(Op::kReturn);
  return std::move(code_);
}

Code ExpressionCompiler::Step(const Dwarf_Op& op) {
  if (op.atom == DW_OP_nop) return Code::kOk;
  if (op.atom == DW_OP_stack_value) {
    is_value_ = true;
    return Has(1) ? Code::kOk : Code::kUnsupportedLocation;
  }
  for (const Handler handler : {&ExpressionCompiler::Constant, &ExpressionCompiler::Register,
                                &ExpressionCompiler::FrameState, &ExpressionCompiler::Memory,
                                &ExpressionCompiler::StackMove, &ExpressionCompiler::Unary,
                                &ExpressionCompiler::Binary, &ExpressionCompiler::Comparison,
                                &ExpressionCompiler::Typed, &ExpressionCompiler::Control}) {
    const Code code = (this->*handler)(op);
    if (code != Code::kUnsupported) return code;
  }
  return Code::kUnsupportedLocation;  // calls, TLS, implicit pointers, uninitialised, vendors'
}

Code ExpressionCompiler::Constant(const Dwarf_Op& op) {
  if (InRange(op.atom, DW_OP_lit0, DW_OP_lit31)) {
    Emit(Op::kConst, 0, 0, op.atom - DW_OP_lit0);
  } else if (InRange(op.atom, DW_OP_const1u, DW_OP_consts)) {
    Emit(Op::kConst, 0, 0, static_cast<int64_t>(op.number));  // libdw has extended it by its form
  } else if (op.atom == DW_OP_addr) {
    Emit(Op::kModuleAddress, 0, 0, static_cast<int64_t>(op.number));
  } else if (op.atom == DW_OP_addrx || op.atom == DW_OP_GNU_addr_index) {
    const std::optional<uint64_t> address = IndexedNumber(*attribute_, op);
    if (!address) return Code::kUnsupportedLocation;
    Emit(Op::kModuleAddress, 0, 0, static_cast<int64_t>(*address));
  } else {  // DW_OP_constx, the number of a thread-local variable: FollowLoader
    return Code::kUnsupported;
  }
  Push(kGeneric);
  return Code::kOk;
}

Code ExpressionCompiler::PushRegister(uint64_t reg, int64_t offset) {
  const Code code = RegisterAvailability(reg, context_);
  if (code != Code::kOk) return code;
  if (reg == kRip) {
    Emit(Op::kModuleAddress, 0, 0, static_cast<int64_t>(context_.pc.value));
  } else {
    Emit(Op::kRegister, static_cast<uint8_t>(reg));
  }
  if (offset != 0) Emit(Op::kAddImm, 0, 0, offset);
  Push(kGeneric);
  return Code::kOk;
}

Code ExpressionCompiler::Register(const Dwarf_Op& op) {
  if (InRange(op.atom, DW_OP_breg0, DW_OP_breg31)) {
    return PushRegister(op.atom - DW_OP_breg0, static_cast<int64_t>(op.number));
  }
  if (op.atom == DW_OP_bregx) {
    return PushRegister(op.number, static_cast<int64_t>(op.number2));
  }
  return Code::kUnsupported;
}

Code ExpressionCompiler::FrameState(const Dwarf_Op& op) {
  if (op.atom == DW_OP_call_frame_cfa) {
    Emit(Op::kCfa);
    Push(kGeneric);
    return Code::kOk;
  }
  if (op.atom == DW_OP_fbreg) {
    const Code code = FrameBase();
    const auto offset = static_cast<int64_t>(op.number);
    if (code == Code::kOk && offset != 0) Emit(Op::kAddImm, 0, 0, offset);
    return code;
  }
  if (op.atom == DW_OP_entry_value || op.atom == DW_OP_GNU_entry_value) return EntryValue(op);
  if (op.atom == DW_OP_form_tls_address || op.atom == DW_OP_GNU_push_tls_address) {
    return ThreadLocal();
  }
  if (op.atom == DW_OP_GNU_parameter_ref) return ParameterValue(op);
  if (op.atom == DW_OP_GNU_variable_value) return VariableValue(op);
  return Code::kUnsupported;
}

// http://wiki.dwarfstd.org/index.php?title=Parameter_Ref: what the caller would have passed as a
// parameter that the function does without, as its call site tells.
Code ExpressionCompiler::ParameterValue(const Dwarf_Op& op) {
  Dwarf_Die parameter;
  if (!context_.subprogram || dwarf_getlocation_die(attribute_, &op, &parameter) != 0) {
    return Code::kUnsupportedLocation;
  }
  const uint8_t cell = CellOfParameter(*context_.subprogram, parameter);
  if (cell == kAllEntryCells) return Code::kEntryValueUnknown;
  Emit(Op::kEntryValue, cell);
  Push(kGeneric);
  return Code::kOk;
}

// http://dwarfstd.org/ShowIssue.php?issue=161109.2: what the variable holds here.
Code ExpressionCompiler::VariableValue(const Dwarf_Op& op) {
  Dwarf_Die variable;
  if (dwarf_getlocation_die(attribute_, &op, &variable) != 0) return Code::kUnsupportedLocation;
  return PushVariable(variable);
}

// DWARF 5 §3.3.5: a location description; a register stands for the address that it holds.
Code ExpressionCompiler::FrameBase() {
  Dwarf_Attribute base;
  if (!context_.subprogram) return Code::kUnsupportedLocation;
  Dwarf_Die function = *context_.subprogram;
  if (dwarf_attr_integrate(&function, DW_AT_frame_base, &base) == nullptr) {
    return Code::kUnsupportedLocation;
  }
  Dwarf_Op* ops = nullptr;
  size_t count = 0;
  const int found = dwarf_getlocation_addr(&base, context_.lookup_pc.value, &ops, &count, 1);
  if (found < 0) return Code::kUnsupportedLocation;
  if (found == 0 || count == 0) return Code::kOptimizedOut;
  if (count == 1 && InRange(ops[0].atom, DW_OP_reg0, DW_OP_reg31)) {
    return PushRegister(ops[0].atom - DW_OP_reg0, 0);
  }
  if (count == 1 && ops[0].atom == DW_OP_regx) return PushRegister(ops[0].number, 0);
  ExpressionCompiler nested = Inner();
  const Code code = nested.Run(base, std::span(ops, count));
  if (code != Code::kOk) return code;
  std::vector<Insn> program = nested.TakeProgram();
  program.pop_back();  // kReturn: the value stays on the stack
  code_.insert(code_.end(), program.begin(), program.end());
  Push(kGeneric);
  return Code::kOk;
}

// The stack pointer is known anywhere (psABI §3.2.2: CFA - 8 on entry), every register at the first
// instruction; elsewhere the registers that pass arguments, if the caller tells.
Code ExpressionCompiler::EntryValue(const Dwarf_Op& op) {
  Dwarf_Attribute inner;
  Dwarf_Op* ops = nullptr;
  size_t count = 0;
  if (dwarf_getlocation_attr(attribute_, &op, &inner) != 0 ||
      dwarf_getlocation(&inner, &ops, &count) != 0) {
    return Code::kUnsupportedLocation;
  }
  if (count != 1) return Code::kEntryValueUnknown;
  const bool typed = ops[0].atom == DW_OP_regval_type || ops[0].atom == DW_OP_GNU_regval_type;
  if (!typed && !InRange(ops[0].atom, DW_OP_reg0, DW_OP_reg31)) return Code::kEntryValueUnknown;
  const uint64_t reg = typed ? ops[0].number : ops[0].atom - DW_OP_reg0;
  if (reg == kRsp) {
    Emit(Op::kCfa);
    Emit(Op::kAddImm, 0, 0, -8);
    Push(kGeneric);
    return Code::kOk;
  }
  CellType type = kGeneric;
  // Through the outer attribute: libdw knows no unit for the inner one.
  if (typed && !TypeOperand(ops[0], type)) return Code::kUnsupportedLocation;
  if (AtFunctionEntry(context_) && reg <= kRip) {
    const Code code = PushRegister(reg, 0);
    if (code != Code::kOk) return code;
    cells_.pop_back();
  } else if (EntryCellOf(reg) < kEntryCells) {
    Emit(Op::kEntryValue, EntryCellOf(reg));
  } else {
    return Code::kEntryValueUnknown;
  }
  Push(type);
  if (type.is_float && type.size_bytes == 4) Emit(Op::kF32ToF64);
  if (!type.is_float && typed) Normalize(type);
  return Code::kOk;
}

// DWARF 5 §2.5.1.3: the top is an offset into the module's thread-local block.
Code ExpressionCompiler::ThreadLocal() {
  CellType offset;
  if (!Pop(offset) || offset.is_float) return Code::kUnsupportedLocation;
  Emit(Op::kThreadLocal);
  Emit(Op::kAdd);
  Push(kGeneric);
  return Code::kOk;
}

Code ExpressionCompiler::Memory(const Dwarf_Op& op) {
  if (op.atom != DW_OP_deref && op.atom != DW_OP_deref_size) return Code::kUnsupported;
  const uint64_t size = op.atom == DW_OP_deref ? 8 : op.number;
  CellType address;
  if (!Pop(address) || address.is_float) return Code::kUnsupportedLocation;
  if (size != 1 && size != 2 && size != 4 && size != 8) return Code::kUnsupportedLocation;
  Emit(Op::kLoad, static_cast<uint8_t>(size));
  Push(kGeneric);
  return Code::kOk;
}

Code ExpressionCompiler::StackMove(const Dwarf_Op& op) {
  const size_t top = cells_.size();
  switch (op.atom) {
    case DW_OP_dup:
    case DW_OP_over:
    case DW_OP_pick: {
      const uint64_t index = op.atom == DW_OP_dup ? 0 : op.atom == DW_OP_over ? 1 : op.number;
      if (index >= top) return Code::kUnsupportedLocation;
      Emit(Op::kPick, static_cast<uint8_t>(index));
      Push(cells_[top - 1 - index]);
      return Code::kOk;
    }
    case DW_OP_drop:
      if (!Has(1)) return Code::kUnsupportedLocation;
      Emit(Op::kDrop);
      cells_.pop_back();
      return Code::kOk;
    case DW_OP_swap:
      if (!Has(2)) return Code::kUnsupportedLocation;
      Emit(Op::kSwap);
      std::swap(cells_[top - 1], cells_[top - 2]);
      return Code::kOk;
    case DW_OP_rot:
      if (!Has(3)) return Code::kUnsupportedLocation;
      Emit(Op::kRot);
      std::swap(cells_[top - 1], cells_[top - 2]);  // second on top
      std::swap(cells_[top - 2], cells_[top - 3]);  // third second, top third
      return Code::kOk;
    default:
      return Code::kUnsupported;
  }
}

// DWARF 5 §2.5.1.5. A conditional jump must find untyped cells only: both paths then agree.
Code ExpressionCompiler::Control(const Dwarf_Op& op) {
  if (op.atom != DW_OP_bra && op.atom != DW_OP_skip) return Code::kUnsupported;
  CellType condition;
  if (op.atom == DW_OP_bra && !Pop(condition)) return Code::kUnsupportedLocation;
  for (const CellType& cell : cells_) {
    if (!cell.generic()) return Code::kUnsupportedLocation;
  }
  const auto distance = static_cast<int16_t>(op.number);
  if (distance < 0 || condition.is_float) return Code::kUnsupportedLocation;
  jumps_.emplace(op.offset + 3 + static_cast<uint64_t>(distance),
                 Jump{code_.size(), cells_.size()});
  Emit(op.atom == DW_OP_bra ? Op::kJumpIfNonZero : Op::kJump);
  if (op.atom == DW_OP_skip) reachable_ = false;
  return Code::kOk;
}

}  // namespace stillframe::dwarf
