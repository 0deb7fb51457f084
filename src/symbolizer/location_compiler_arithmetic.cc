// Arithmetic and typed operators of DWARF expressions (DWARF 5 §2.5.1.4, §2.5.1.6).
#include <array>
#include <cstring>

#include "symbolizer/dwarf_util.h"
#include "symbolizer/location_compiler_expression.h"

namespace stillframe::dwarf {
namespace {

constexpr CellType kGeneric{};

struct AtomOp {
  uint8_t atom;
  Op op;
};

// The generic type divides signed, takes remainders unsigned and shifts right logically, as GDB.
constexpr auto kGenericOps = std::to_array<AtomOp>({
    {DW_OP_plus, Op::kAdd},
    {DW_OP_minus, Op::kSub},
    {DW_OP_mul, Op::kMul},
    {DW_OP_div, Op::kDivS},
    {DW_OP_mod, Op::kModU},
    {DW_OP_and, Op::kAnd},
    {DW_OP_or, Op::kOr},
    {DW_OP_xor, Op::kXor},
    {DW_OP_shl, Op::kShl},
    {DW_OP_shr, Op::kShrU},
    {DW_OP_shra, Op::kShrS},
});

const AtomOp* FindBinary(uint8_t atom) {
  for (const AtomOp& entry : kGenericOps) {
    if (entry.atom == atom) return &entry;
  }
  return nullptr;
}

// Clang adds what it extended to 64 signed bits to a value of the generic type (loops whose counter
// it rewrote). Both are 64 bits, and these operators give the same bits whatever the sign.
bool AgreeInBits(uint8_t atom, CellType left, CellType right) {
  const auto fits = [](CellType type) {
    return type.generic() || (type.size_bytes == 8 && type.is_signed && !type.is_float);
  };
  const bool any_sign = atom == DW_OP_plus || atom == DW_OP_minus || atom == DW_OP_mul ||
                        atom == DW_OP_and || atom == DW_OP_or || atom == DW_OP_xor;
  return any_sign && fits(left) && fits(right);
}

bool IsComparison(uint8_t atom) {
  return atom >= DW_OP_eq && atom <= DW_OP_ne && atom != DW_OP_skip;
}

}  // namespace

void ExpressionCompiler::Normalize(CellType type) {
  if (type.generic()) return;
  if (!type.is_float) {
    if (type.size_bytes < 8) Emit(Op::kExtend, type.size_bytes, type.is_signed ? 1 : 0);
  } else if (type.size_bytes == 4) {
    // Rounding a double result to float equals the float operation (53 >= 2 * 24 + 2 bits).
    Emit(Op::kF64ToF32);
    Emit(Op::kF32ToF64);
  }
}

Code ExpressionCompiler::Unary(const Dwarf_Op& op) {
  const bool known = op.atom == DW_OP_neg || op.atom == DW_OP_not || op.atom == DW_OP_abs ||
                     op.atom == DW_OP_plus_uconst;
  if (!known) return Code::kUnsupported;
  if (!Has(1)) return Code::kUnsupportedLocation;
  const CellType type = cells_.back();
  if (type.is_float && op.atom != DW_OP_neg) return Code::kUnsupportedLocation;
  if (op.atom == DW_OP_abs) return Absolute();
  if (op.atom == DW_OP_neg) Emit(type.is_float ? Op::kFNeg : Op::kNeg);
  if (op.atom == DW_OP_not) Emit(Op::kNot);
  if (op.atom == DW_OP_plus_uconst) Emit(Op::kAddImm, 0, 0, static_cast<int64_t>(op.number));
  Normalize(type);
  return Code::kOk;
}

Code ExpressionCompiler::Absolute() {
  const CellType type = cells_.back();
  if (!type.generic() && !type.is_signed) return Code::kOk;
  // x < 0 ? -x : x
  Emit(Op::kDup);
  Emit(Op::kConst, 0, 0, 0);
  Emit(Op::kLtS);
  Emit(Op::kJumpIfZero, 0, 0, 2);
  Emit(Op::kNeg);
  Normalize(type);
  // The jump lands behind what was emitted for the negative case.
  size_t jump = code_.size() - 1;
  while (code_[jump].op != Op::kJumpIfZero) --jump;
  code_[jump].imm = static_cast<int64_t>(code_.size() - jump);
  return Code::kOk;
}

Code ExpressionCompiler::Binary(const Dwarf_Op& op) {
  if (FindBinary(op.atom) == nullptr) return Code::kUnsupported;
  CellType right;
  CellType left;
  if (!Pop(right) || !Pop(left)) return Code::kUnsupportedLocation;
  const bool shift = op.atom == DW_OP_shl || op.atom == DW_OP_shr || op.atom == DW_OP_shra;
  // A shift count may have a type of its own; all other operands must agree.
  if (right != left && !(shift && !right.is_float) && !AgreeInBits(op.atom, left, right)) {
    return Code::kUnsupportedLocation;
  }
  Push(left);
  return left.is_float ? FloatBinary(op.atom, left) : IntegerBinary(op.atom, left);
}

Code ExpressionCompiler::FloatBinary(uint8_t atom, CellType type) {
  if (atom == DW_OP_plus)
    Emit(Op::kFAdd);
  else if (atom == DW_OP_minus)
    Emit(Op::kFSub);
  else if (atom == DW_OP_mul)
    Emit(Op::kFMul);
  else if (atom == DW_OP_div)
    Emit(Op::kFDiv);
  else
    return Code::kUnsupportedLocation;
  Normalize(type);
  return Code::kOk;
}

Code ExpressionCompiler::IntegerBinary(uint8_t atom, CellType type) {
  if (!type.generic()) {
    if (atom == DW_OP_shr || atom == DW_OP_shra) return ShiftRight(atom == DW_OP_shra, type);
    if (atom == DW_OP_div)
      Emit(type.is_signed ? Op::kDivS : Op::kDivU);
    else if (atom == DW_OP_mod)
      Emit(type.is_signed ? Op::kModS : Op::kModU);
    else
      Emit(FindBinary(atom)->op);
    Normalize(type);
    return Code::kOk;
  }
  Emit(FindBinary(atom)->op);
  return Code::kOk;
}

// A logical shift sees the value unsigned, an arithmetic one signed, whatever its type.
Code ExpressionCompiler::ShiftRight(bool arithmetic, CellType type) {
  Emit(Op::kSwap);
  Emit(Op::kExtend, type.size_bytes, arithmetic ? 1 : 0);
  Emit(Op::kSwap);
  Emit(arithmetic ? Op::kShrS : Op::kShrU);
  Normalize(type);
  return Code::kOk;
}

Code ExpressionCompiler::Comparison(const Dwarf_Op& op) {
  if (!IsComparison(op.atom)) return Code::kUnsupported;
  CellType right;
  CellType left;
  if (!Pop(right) || !Pop(left) || right != left) return Code::kUnsupportedLocation;
  const bool swapped = op.atom == DW_OP_gt || op.atom == DW_OP_ge;
  if (swapped) Emit(Op::kSwap);
  const bool is_unsigned = !left.generic() && !left.is_signed;
  if (op.atom == DW_OP_lt || op.atom == DW_OP_gt) {
    Emit(left.is_float ? Op::kFLt : is_unsigned ? Op::kLtU : Op::kLtS);
  } else if (op.atom == DW_OP_le || op.atom == DW_OP_ge) {
    Emit(left.is_float ? Op::kFLe : is_unsigned ? Op::kLeU : Op::kLeS);
  } else {
    Emit(left.is_float ? Op::kFEq : Op::kEq);
    if (op.atom == DW_OP_ne) Emit(Op::kLogicalNot);
  }
  Push(kGeneric);
  return Code::kOk;
}

Code ExpressionCompiler::Typed(const Dwarf_Op& op) {
  switch (op.atom) {
    case DW_OP_regval_type:
    case DW_OP_GNU_regval_type:
      return RegisterOfType(op);
    case DW_OP_const_type:
    case DW_OP_GNU_const_type:
      return ConstantOfType(op);
    case DW_OP_deref_type:
    case DW_OP_GNU_deref_type:
      return LoadOfType(op);
    case DW_OP_convert:
    case DW_OP_GNU_convert:
      return Convert(op);
    case DW_OP_reinterpret:
    case DW_OP_GNU_reinterpret:
      return Reinterpret(op);
    default:
      return Code::kUnsupported;
  }
}

bool ExpressionCompiler::TypeOperand(Dwarf_Attribute& attribute, const Dwarf_Op& op,
                                     CellType& out) {
  Dwarf_Die die;
  if (dwarf_getlocation_die(&attribute, &op, &die) != 0) return false;
  const uint64_t size = Unsigned(die, DW_AT_byte_size).value_or(0);
  const uint64_t encoding = Unsigned(die, DW_AT_encoding).value_or(0);
  if (size != 1 && size != 2 && size != 4 && size != 8) return false;
  out.size_bytes = static_cast<uint8_t>(size);
  out.is_float = encoding == DW_ATE_float;
  out.is_signed = encoding == DW_ATE_signed || encoding == DW_ATE_signed_char;
  if (out.is_float) return size >= 4;
  return out.is_signed || encoding == DW_ATE_unsigned || encoding == DW_ATE_unsigned_char ||
         encoding == DW_ATE_boolean || encoding == DW_ATE_UTF;
}

Code ExpressionCompiler::RegisterOfType(const Dwarf_Op& op) {
  CellType type;
  if (!TypeOperand(op, type)) return Code::kUnsupportedLocation;
  const uint64_t reg = op.number;
  if (reg >= 17 && reg <= 32) {  // xmm0-xmm15
    if (!context_.innermost) return Code::kNotSaved;
    const bool word = type.size_bytes == 4 || type.size_bytes == 8;
    if (!word) return Code::kUnsupportedLocation;
    Emit(Op::kXmm, static_cast<uint8_t>(reg - 17), type.size_bytes);
    if (type.is_float && type.size_bytes == 4) Emit(Op::kF32ToF64);
    if (!type.is_float) Normalize(type);
    Push(type);
    return Code::kOk;
  }
  if (type.is_float) return Code::kUnsupportedLocation;
  const Code code = PushRegister(reg, 0);
  if (code != Code::kOk) return code;
  cells_.back() = type;
  Normalize(type);
  return Code::kOk;
}

Code ExpressionCompiler::ConstantOfType(const Dwarf_Op& op) {
  CellType type;
  Dwarf_Attribute value;
  Dwarf_Block block;
  if (!TypeOperand(op, type) || dwarf_getlocation_attr(attribute_, &op, &value) != 0 ||
      dwarf_formblock(&value, &block) != 0 || block.length != type.size_bytes) {
    return Code::kUnsupportedLocation;
  }
  int64_t bits = 0;
  std::memcpy(&bits, block.data, block.length);
  Emit(Op::kConst, 0, 0, bits);
  if (type.is_float && type.size_bytes == 4) Emit(Op::kF32ToF64);
  if (!type.is_float) Normalize(type);
  Push(type);
  return Code::kOk;
}

Code ExpressionCompiler::LoadOfType(const Dwarf_Op& op) {
  CellType type;
  CellType address;
  if (!TypeOperand(op, type) || !Pop(address) || address.is_float) {
    return Code::kUnsupportedLocation;
  }
  Emit(Op::kLoad, type.size_bytes, type.is_signed ? 1 : 0);
  if (type.is_float && type.size_bytes == 4) Emit(Op::kF32ToF64);
  Push(type);
  return Code::kOk;
}

Code ExpressionCompiler::Convert(const Dwarf_Op& op) {
  CellType from;
  CellType to;  // operand 0 names the generic type
  if (!Pop(from)) return Code::kUnsupportedLocation;
  if (op.number != 0 && !TypeOperand(op, to)) return Code::kUnsupportedLocation;
  const bool from_signed = from.generic() || from.is_signed;
  const bool to_signed = to.generic() || to.is_signed;
  if (from.is_float && !to.is_float) {
    Emit(to_signed ? Op::kF64ToS64 : Op::kF64ToU64);
  } else if (!from.is_float && to.is_float) {
    Emit(from_signed ? Op::kS64ToF64 : Op::kU64ToF64);
  }
  Normalize(to);
  Push(to);
  return Code::kOk;
}

// The same bits under another type of the same size.
Code ExpressionCompiler::Reinterpret(const Dwarf_Op& op) {
  CellType from;
  CellType to;
  if (!Pop(from)) return Code::kUnsupportedLocation;
  if (op.number != 0 && !TypeOperand(op, to)) return Code::kUnsupportedLocation;
  const unsigned from_size = from.generic() ? 8 : from.size_bytes;
  const unsigned to_size = to.generic() ? 8 : to.size_bytes;
  if (from_size != to_size) return Code::kUnsupportedLocation;
  if (from.is_float && from_size == 4) Emit(Op::kF64ToF32);
  if (to.is_float && to_size == 4) Emit(Op::kF32ToF64);
  if (!to.is_float) Normalize(to);
  Push(to);
  return Code::kOk;
}

}  // namespace stillframe::dwarf
