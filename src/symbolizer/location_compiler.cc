#include "symbolizer/location_compiler.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "symbolizer/dwarf_util.h"
#include "symbolizer/location_compiler_expression.h"
#include "symbolizer/location_views.h"

namespace stillframe::dwarf {
namespace {

constexpr uint64_t kMaxPieces = 64;
constexpr uint64_t kLongExpression = 512;  // bytes; compilers' have a few dozen
constexpr uint64_t kMaxConstantBytes = 65'536;

Location Unavailable(Code reason) {
  Location location;
  location.reason = reason;
  return location;
}

Piece MissingPiece(Code reason) {
  Piece piece;
  piece.reason = reason;
  return piece;
}

// 0 for a list of locations.
uint64_t BytesOfExpression(Dwarf_Attribute& attribute) {
  Dwarf_Block block;
  return dwarf_formblock(&attribute, &block) == 0 ? block.length : 0;
}

bool IsPiece(const Dwarf_Op& op) { return op.atom == DW_OP_piece || op.atom == DW_OP_bit_piece; }

// Bytes of a piece; nullopt when it does not start and end on bytes.
std::optional<uint64_t> PieceSize(const Dwarf_Op& op) {
  if (op.atom == DW_OP_piece) return op.number;
  if (op.number % 8 != 0 || op.number2 != 0) return std::nullopt;
  return op.number / 8;
}

std::optional<uint64_t> RegisterNumber(const Dwarf_Op& op) {
  if (op.atom >= DW_OP_reg0 && op.atom <= DW_OP_reg31) return op.atom - DW_OP_reg0;
  if (op.atom == DW_OP_regx) return op.number;
  return std::nullopt;
}

// "lit0, stack_value", however the number is written.
bool IsZero(std::span<const Dwarf_Op> ops) {
  if (ops.size() != 2 || ops[1].atom != DW_OP_stack_value) return false;
  const uint8_t atom = ops[0].atom;
  const bool is_constant = atom >= DW_OP_const1u && atom <= DW_OP_consts;
  return atom == DW_OP_lit0 || (is_constant && ops[0].number == 0);
}

Location AsLocation(const Piece& piece) {
  Location location;
  location.kind = piece.kind;
  location.reg = piece.reg;
  location.reason = piece.reason;
  location.bytes = piece.bytes;
  location.program = piece.program;
  return location;
}

}  // namespace

bool LocationCompiler::MayAsk(Dwarf_Attribute& attribute) {
  const uint64_t size = BytesOfExpression(attribute);
  if (size <= kLongExpression) return true;
  if (size > long_bytes_left_) return false;
  long_bytes_left_ -= size;
  return true;
}

Location LocationCompiler::Compile(Dwarf_Die variable, const LocationContext& context,
                                   const ValueShape& shape) {
  Dwarf_Attribute attribute;
  if (dwarf_attr_integrate(&variable, DW_AT_location, &attribute) != nullptr &&
      !MayAsk(attribute)) {
    return Unavailable(Code::kUnsupportedLocation);
  }
  std::span<const Dwarf_Op> ops;
  if (const int found = FindLocation(variable, context, attribute, ops); found != kNoLocation) {
    if (found < 0) return Unavailable(Code::kUnsupportedLocation);
    if (found == 0) return Unavailable(Code::kOptimizedOut);
    return CompileExpression(attribute, ops, context, shape);
  }
  if (dwarf_attr_integrate(&variable, DW_AT_const_value, &attribute) != nullptr) {
    return CompileConstant(attribute, shape);
  }
  return Unavailable(Code::kOptimizedOut);
}

std::optional<LocationCompiler::ImplicitTarget> LocationCompiler::FindImplicitTarget(
    Dwarf_Die variable, const LocationContext& context) {
  Dwarf_Attribute attribute;
  if (dwarf_attr_integrate(&variable, DW_AT_location, &attribute) == nullptr ||
      BytesOfExpression(attribute) > kLongExpression) {
    return std::nullopt;
  }
  std::span<const Dwarf_Op> ops;
  if (FindLocation(variable, context, attribute, ops) <= 0 || ops.size() != 1) return std::nullopt;
  if (ops[0].atom != DW_OP_implicit_pointer && ops[0].atom != DW_OP_GNU_implicit_pointer) {
    return std::nullopt;
  }
  ImplicitTarget target{{}, static_cast<int64_t>(ops[0].number2)};
  if (dwarf_getlocation_die(&attribute, &ops[0], &target.die) != 0) return std::nullopt;
  return target;
}

Location LocationCompiler::CompileImplicitTarget(const ImplicitTarget& target,
                                                 const LocationContext& context,
                                                 const ValueShape& shape) {
  if (target.offset_bytes < 0 || target.offset_bytes > static_cast<int64_t>(kMaxConstantBytes)) {
    return Unavailable(Code::kUnsupportedLocation);
  }
  const auto offset = static_cast<uint64_t>(target.offset_bytes);
  const Location whole =
      Compile(target.die, context, {offset + shape.size_bytes, shape.is_float && offset == 0});
  return offset == 0 ? whole : Skip(whole, offset);
}

Location LocationCompiler::Skip(const Location& location, uint64_t offset_bytes) {
  PlanUnit& unit = tables_.unit();
  if (location.kind == LocationKind::kUnavailable) return location;
  if (location.kind == LocationKind::kPieces) {
    Location rest = location;
    while (rest.piece_count > 0 && unit.pieces[rest.first_piece].size_bytes <= offset_bytes) {
      offset_bytes -= unit.pieces[rest.first_piece].size_bytes;
      ++rest.first_piece;
      --rest.piece_count;
    }
    if (offset_bytes == 0 && rest.piece_count > 0) return rest;
  } else if (location.kind == LocationKind::kMemory) {
    const auto first = unit.code.begin() + location.program.first;
    std::vector<Insn> code(first, first + location.program.count);
    Insn add;
    add.op = Op::kAddImm;
    add.imm = static_cast<int64_t>(offset_bytes);
    // Programs of locations end in their only kReturn.
    code.insert(code.end() - 1, add);
    Location rest = location;
    rest.program = tables_.AddProgram(code);
    return rest;
  }
  return Unavailable(Code::kUnsupportedLocation);
}

Location LocationCompiler::CompileExpression(Dwarf_Attribute& attribute,
                                             std::span<const Dwarf_Op> ops,
                                             const LocationContext& context,
                                             const ValueShape& shape) {
  if (std::any_of(ops.begin(), ops.end(), IsPiece)) {
    return CompilePieces(attribute, ops, context, shape);
  }
  return AsLocation(CompileSimple(attribute, ops, context, shape.size_bytes));
}

// DWARF 5 §2.6.1.2: simple locations, each followed by its size; nothing before a size is a hole.
Location LocationCompiler::CompilePieces(Dwarf_Attribute& attribute, std::span<const Dwarf_Op> ops,
                                         const LocationContext& context, const ValueShape& shape) {
  std::vector<Piece> pieces;
  uint64_t total = 0;
  size_t start = 0;
  for (size_t i = 0; i < ops.size(); ++i) {
    if (!IsPiece(ops[i])) continue;
    const std::optional<uint64_t> size = PieceSize(ops[i]);
    if (!size || *size > kMaxConstantBytes || pieces.size() >= kMaxPieces) {
      return Unavailable(Code::kUnsupportedLocation);
    }
    if (*size == 0) continue;
    Piece piece = i == start
                      ? MissingPiece(Code::kOptimizedOut)
                      : CompileSimple(attribute, ops.subspan(start, i - start), context, *size);
    piece.size_bytes = static_cast<uint32_t>(*size);
    pieces.push_back(piece);
    total += *size;
    start = i + 1;
  }
  if (start != ops.size()) return Unavailable(Code::kUnsupportedLocation);
  if (total < shape.size_bytes) {
    pieces.push_back(MissingPiece(Code::kOptimizedOut));
    pieces.back().size_bytes =
        static_cast<uint32_t>(std::min<uint64_t>(shape.size_bytes - total, UINT32_MAX));
  }
  const auto present = [](const Piece& p) { return p.kind != LocationKind::kUnavailable; };
  if (std::none_of(pieces.begin(), pieces.end(), present)) {
    return Unavailable(pieces.empty() ? Code::kOptimizedOut : pieces.front().reason);
  }
  Location location;
  location.kind = LocationKind::kPieces;
  location.first_piece = static_cast<uint32_t>(tables_.unit().pieces.size());
  location.piece_count = static_cast<uint32_t>(pieces.size());
  tables_.unit().pieces.insert(tables_.unit().pieces.end(), pieces.begin(), pieces.end());
  return location;
}

Piece LocationCompiler::CompileSimple(Dwarf_Attribute& attribute, std::span<const Dwarf_Op> ops,
                                      const LocationContext& context, uint64_t size_bytes) {
  if (ops.empty()) return MissingPiece(Code::kOptimizedOut);
  if (ops.size() == 1) {
    if (const auto reg = RegisterNumber(ops[0])) return CompileRegister(*reg, context, size_bytes);
    if (ops[0].atom == DW_OP_implicit_value) {
      return CompileImplicitValue(attribute, ops[0], size_bytes);
    }
  }
  // A pointer to what was dissolved: there is no such address (Compile's callers ask
  // FindImplicitTarget about whole variables).
  if (ops[0].atom == DW_OP_implicit_pointer || ops[0].atom == DW_OP_GNU_implicit_pointer) {
    return MissingPiece(Code::kOptimizedOut);
  }
  // "deref_size 16, stack_value" is a spilled vector register (Clang): wider than a cell, but its
  // first bytes are those in memory.
  const size_t last = ops.size() - 1;
  if (last >= 2 && ops[last].atom == DW_OP_stack_value && ops[last - 1].atom == DW_OP_deref_size &&
      ops[last - 1].number > 8 && size_bytes <= ops[last - 1].number) {
    ops = ops.first(last - 1);
  }
  ExpressionCompiler compiler(context);
  const Code code = compiler.Run(attribute, ops);
  if (code != Code::kOk) return MissingPiece(code);
  Piece piece;
  // A cell holds 8 bytes; what a wider object's other bytes are, nothing says. But nought is nought
  // however wide it is: so Clang describes what it clears 16 bytes at a time.
  if (compiler.is_value() && size_bytes > 8) {
    if (!IsZero(ops) || size_bytes > kMaxConstantBytes) {
      return MissingPiece(Code::kUnsupportedLocation);
    }
    piece.kind = LocationKind::kBytes;
    piece.reason = Code::kOk;
    piece.bytes = tables_.Intern(std::string(size_bytes, '\0'));
    return piece;
  }
  piece.kind = compiler.is_value() ? LocationKind::kValue : LocationKind::kMemory;
  piece.reason = Code::kOk;
  piece.program = tables_.AddProgram(compiler.TakeProgram());
  return piece;
}

Piece LocationCompiler::CompileRegister(uint64_t reg, const LocationContext& context,
                                        uint64_t size_bytes) {
  Piece piece;
  piece.reason = Code::kOk;
  if (reg >= 17 && reg <= 32) {  // psABI figure 3.36: xmm0-xmm15
    if (!context.innermost) return MissingPiece(Code::kNotSaved);
    if (size_bytes > 16) return MissingPiece(Code::kUnsupportedLocation);
    piece.kind = LocationKind::kXmm;
    piece.reg = static_cast<uint8_t>(reg - 17);
    return piece;
  }
  const Code code = RegisterAvailability(reg, context);
  if (code != Code::kOk) return MissingPiece(code);
  if (size_bytes > 8) return MissingPiece(Code::kUnsupportedLocation);
  Insn insns[2];
  insns[0].op = reg < kRegisterCount ? Op::kRegister : Op::kModuleAddress;  // 16 is rip
  if (reg < kRegisterCount) {
    insns[0].a = static_cast<uint8_t>(reg);
  } else {
    insns[0].imm = static_cast<int64_t>(context.pc.value);
  }
  piece.kind = LocationKind::kValue;
  piece.program = tables_.AddProgram(insns);
  return piece;
}

Piece LocationCompiler::CompileImplicitValue(Dwarf_Attribute& attribute, const Dwarf_Op& op,
                                             uint64_t size_bytes) {
  Dwarf_Block block;
  if (dwarf_getlocation_implicit_value(&attribute, &op, &block) != 0 ||
      block.length > kMaxConstantBytes) {
    return MissingPiece(Code::kUnsupportedLocation);
  }
  std::string bytes(reinterpret_cast<const char*>(block.data), block.length);
  // An x87 long double is written as its 10 bytes; the other 6 of the object are padding.
  if (bytes.size() == 10 && size_bytes == 16) bytes.resize(16);
  if (bytes.size() < size_bytes) return MissingPiece(Code::kUnsupportedLocation);
  Piece piece;
  piece.reason = Code::kOk;
  piece.kind = LocationKind::kBytes;
  piece.bytes = tables_.Intern(bytes);
  return piece;
}

// DW_AT_const_value, DWARF 5 §4.1: a number whose form tells how it is extended, or the object's
// bytes in a block or string.
Location LocationCompiler::CompileConstant(Dwarf_Attribute& attribute, const ValueShape& shape) {
  Location location;
  location.reason = Code::kOk;
  location.kind = LocationKind::kBytes;
  Dwarf_Block block;
  if (const char* text = dwarf_formstring(&attribute)) {
    std::string bytes(text);
    if (bytes.size() > kMaxConstantBytes || shape.size_bytes > kMaxConstantBytes) {
      return Unavailable(Code::kUnsupportedLocation);
    }
    if (bytes.size() < shape.size_bytes) bytes.resize(shape.size_bytes);
    location.bytes = tables_.Intern(bytes);
    return location;
  }
  if (dwarf_formblock(&attribute, &block) == 0) {
    if (block.length < shape.size_bytes || block.length > kMaxConstantBytes) {
      return Unavailable(Code::kUnsupportedLocation);
    }
    location.bytes =
        tables_.Intern(std::string_view(reinterpret_cast<const char*>(block.data), block.length));
    return location;
  }
  const unsigned form = dwarf_whatform(&attribute);
  const bool is_signed = form == DW_FORM_sdata || form == DW_FORM_implicit_const;
  Dwarf_Sword number = 0;
  Dwarf_Word plain = 0;
  const bool known = is_signed ? dwarf_formsdata(&attribute, &number) == 0
                               : dwarf_formudata(&attribute, &plain) == 0;
  if (!known) return Unavailable(Code::kUnsupportedLocation);
  if (!is_signed) number = static_cast<Dwarf_Sword>(plain);
  if (shape.size_bytes <= 8) {
    Insn insns[2];
    insns[0].op = Op::kConst;
    insns[0].imm = number;
    location.kind = LocationKind::kValue;
    location.program = tables_.AddProgram(insns);
    return location;
  }
  if (shape.is_float || shape.size_bytes > 16) return Unavailable(Code::kUnsupportedLocation);
  std::string bytes(16, number < 0 && is_signed ? '\xff' : '\0');
  std::memcpy(bytes.data(), &number, sizeof number);
  location.bytes = tables_.Intern(bytes);
  return location;
}

}  // namespace stillframe::dwarf
