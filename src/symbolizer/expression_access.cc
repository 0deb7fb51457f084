// Objects and the scalars in them: references, loads, bit-fields, values split over registers.
#include <algorithm>

#include "symbolizer/expression_compiler.h"

namespace stillframe::expression {
namespace {

std::string Column(uint32_t column) { return "column " + std::to_string(column) + ": "; }

// Keeps the low `bits` of the top cell.
void ExtendBits(Fragment& code, uint32_t bits, bool is_signed) {
  if (bits >= 64) return;
  if (bits == 8 || bits == 16 || bits == 32) return code.Extend(bits / 8, is_signed);
  code.Const(64 - bits);
  code.Emit(Op::kShl);
  code.Const(64 - bits);
  code.Emit(is_signed ? Op::kShrS : Op::kShrU);
}

void ShiftRight(Fragment& code, uint32_t bits) {
  if (bits == 0) return;
  code.Const(bits);
  code.Emit(Op::kShrU);
}

uint64_t BytesAt(std::string_view bytes, uint32_t offset, uint32_t size_bytes) {
  uint64_t value = 0;
  for (uint32_t i = 0; i < size_bytes; ++i) {
    value |= uint64_t{static_cast<unsigned char>(bytes[offset + i])} << (8 * i);
  }
  return value;
}

// The whole of a location that is not in pieces.
Piece PieceOf(const Location& location) {
  Piece piece;
  piece.kind = location.kind;
  piece.reg = location.reg;
  piece.reason = location.reason;
  piece.size_bytes = location.kind == LocationKind::kXmm     ? 16
                     : location.kind == LocationKind::kValue ? 8
                                                             : UINT32_MAX;
  piece.bytes = location.bytes;
  piece.program = location.program;
  return piece;
}

}  // namespace

Result<Value> Compiler::Settle(Value value) {
  for (int hops = 0;; ++hops) {
    const TypeNode type = TypeOf(value);
    if ((type.flags & kFlagRedacted) != 0) {
      return Status(Code::kRedacted, Column(value.column) + Quote(value.type) + " is redacted");
    }
    if (type.kind != TypeKind::kReference) return value;
    if (hops > 2) return Status(Code::kCorrupt, Column(value.column) + "reference to itself");
    SF_ASSIGN_OR_RETURN(value.code, ReadBytes(value, 0, 8));
    value.form = Form::kMemory;
    value.type = type.target;
    value.variable.reset();
  }
}

Result<Value> Compiler::Part(const Value& object, uint32_t offset, TypeId type) {
  Value part = object;
  part.variable.reset();
  part.type = type;
  if (part.form == Form::kMemory) {
    part.code.AddImm(offset);
  } else {
    part.offset += offset;
  }
  return Settle(std::move(part));
}

Result<Fragment> Compiler::ReadBytes(const Value& value, uint32_t offset, uint32_t size_bytes) {
  Fragment code = value.code;
  if (value.form == Form::kMemory) {
    code.AddImm(offset);
    EmitLoadBytes(code, size_bytes);
    return code;
  }
  if (value.form != Form::kPlaced) return BadExpression(value.column, "not an object");
  SF_ASSIGN_OR_RETURN(const Fragment read,
                      ReadPlaced(value.location, value.offset + offset, size_bytes, value.column));
  code.Append(read);
  return code;
}

// Little-endian: the byte at the lowest address is the least significant one.
Result<Fragment> Compiler::ReadPlaced(const Location& location, uint32_t offset,
                                      uint32_t size_bytes, uint32_t column) {
  if (location.kind != LocationKind::kPieces) {
    return ReadPiece(PieceOf(location), offset, size_bytes, column);
  }
  Fragment code;
  uint32_t known = 0;
  uint64_t start = 0;  // of the piece, in the object
  for (uint32_t i = 0; i < location.piece_count; ++i) {
    const Piece& piece = unit_.pieces[location.first_piece + i];
    const uint64_t low = std::max<uint64_t>(start, offset);
    const uint64_t high =
        std::min<uint64_t>(start + piece.size_bytes, uint64_t{offset} + size_bytes);
    if (low < high) {
      SF_ASSIGN_OR_RETURN(const Fragment part,
                          ReadPiece(piece, static_cast<uint32_t>(low - start),
                                    static_cast<uint32_t>(high - low), column));
      code.Append(part);
      if (low != offset) {
        code.Const(8 * (low - offset));
        code.Emit(Op::kShl);
      }
      if (known != 0) code.Emit(Op::kOr);
      known += static_cast<uint32_t>(high - low);
    }
    start += piece.size_bytes;
  }
  if (known == size_bytes) return code;
  return Status(Code::kOptimizedOut, Column(column) + "part of the value is not available here");
}

Result<Fragment> Compiler::ReadPiece(const Piece& piece, uint32_t offset, uint32_t size_bytes,
                                     uint32_t column) {
  Fragment code;
  const uint64_t end = uint64_t{offset} + size_bytes;
  switch (piece.kind) {
    case LocationKind::kMemory: {
      SF_ASSIGN_OR_RETURN(code, Inline(unit_, piece.program));
      code.AddImm(offset);
      EmitLoadBytes(code, size_bytes);
      return code;
    }
    case LocationKind::kValue: {
      if (end > 8) break;
      SF_ASSIGN_OR_RETURN(code, Inline(unit_, piece.program));
      ShiftRight(code, 8 * offset);
      ExtendBits(code, 8 * size_bytes, false);
      return code;
    }
    case LocationKind::kXmm:
      if (end > 8) {
        return Status(Code::kUnsupportedLocation,
                      Column(column) + "the value is in the high half of a vector register");
      }
      code.Emit(Op::kXmm, piece.reg, end <= 4 ? 4 : 8);
      ShiftRight(code, 8 * offset);
      ExtendBits(code, 8 * size_bytes, false);
      return code;
    case LocationKind::kBytes:
      if (end > unit_.strings[piece.bytes].size()) break;
      code.Const(BytesAt(unit_.strings[piece.bytes], offset, size_bytes));
      return code;
    default: {
      const Code reason = piece.reason == Code::kOk ? Code::kOptimizedOut : piece.reason;
      return Status(reason, Column(column) + "the value is not available here (" +
                                std::string(CodeName(reason)) + ")");
    }
  }
  return Status(Code::kUnsupportedLocation, Column(column) + "the value is larger than its place");
}

Result<Fragment> Compiler::LoadBits(const Value& value) {
  const uint32_t start = value.bit_offset / 8;
  const uint32_t shift = value.bit_offset % 8;
  const uint32_t size = (shift + value.bit_size + 7) / 8;
  if (size > 8) return BadExpression(value.column, "the bit-field spans more than 8 bytes");
  SF_ASSIGN_OR_RETURN(Fragment code, ReadBytes(value, start, size));
  ShiftRight(code, shift);
  ExtendBits(code, value.bit_size, IsSignedStorage(unit_, TypeOf(value)));
  return code;
}

Result<Value> Compiler::Load(const Value& value) {
  const TypeNode type = TypeOf(value);
  if (value.form == Form::kCell) return value;
  if (value.form == Form::kLiteral) {
    return BadExpression(value.column, "a string literal can only be compared");
  }
  if (type.kind == TypeKind::kArray) {
    if (value.form != Form::kMemory) {
      return Status(Code::kUnsupportedLocation,
                    Column(value.column) + "the array is not in memory");
    }
    return Cell(PointerTo(unit_, type.target), value.code, value.column);
  }
  const bool pointer = type.kind == TypeKind::kPointer || type.kind == TypeKind::kNullptr;
  if (!pointer && !PromotedType(unit_, value.type, value.bit_size)) {
    const bool number = type.kind == TypeKind::kSigned || type.kind == TypeKind::kUnsigned ||
                        type.kind == TypeKind::kFloat;
    if (number) {
      return Status(Code::kUnsupportedType,
                    Column(value.column) + "numbers wider than 64 bits are not supported");
    }
    return BadExpression(value.column, Quote(value.type) + " is not a number or a pointer");
  }
  Fragment code;
  if (value.bit_size != 0) {
    SF_ASSIGN_OR_RETURN(code, LoadBits(value));
  } else if (value.form == Form::kMemory && (type.size_bytes & (type.size_bytes - 1)) == 0) {
    code = value.code;
    code.Load(type.size_bytes, IsSignedStorage(unit_, type));
  } else {
    SF_ASSIGN_OR_RETURN(code, ReadBytes(value, 0, type.size_bytes));
    if (IsSignedStorage(unit_, type)) ExtendBits(code, 8 * type.size_bytes, true);
  }
  if (type.kind == TypeKind::kFloat && type.size_bytes == 4) code.Emit(Op::kF32ToF64);
  if (type.kind == TypeKind::kBool) code.Emit(Op::kBool);
  return Cell(value.type, std::move(code), value.column);
}

Result<Value> Compiler::Dereference(const Value& value, uint32_t column) {
  if (value.form != Form::kLiteral) {
    const ViewKind view = ViewOf(value).kind;
    if (view == ViewKind::kOptional) return OptionalPayload(value);
    if (view == ViewKind::kIterator) return IteratorElement(value, column);
    if (view == ViewKind::kUniquePtr || view == ViewKind::kSharedPtr) {
      SF_ASSIGN_OR_RETURN(const Value pointer, RawPointer(value));
      return Dereference(pointer, column);
    }
  }
  const TypeKind kind = TypeOf(value).kind;
  if (value.form == Form::kLiteral || (kind != TypeKind::kPointer && kind != TypeKind::kArray)) {
    return BadExpression(column, Quote(value.type) + " cannot be dereferenced");
  }
  SF_ASSIGN_OR_RETURN(Value pointer, Load(value));
  const TypeId target = TypeOf(pointer).target;
  const TypeKind target_kind = unit_.types[target].kind;
  if (target_kind == TypeKind::kVoid || target_kind == TypeKind::kFunction) {
    return BadExpression(column, Quote(value.type) + " cannot be dereferenced");
  }
  pointer.form = Form::kMemory;
  pointer.type = target;
  pointer.column = column;
  return Settle(std::move(pointer));
}

Result<Value> Compiler::AddressOf(const Value& value, uint32_t column) {
  if (value.bit_size != 0) return BadExpression(column, "a bit-field has no address");
  if (value.form == Form::kPlaced) {
    return BadExpression(column, "the operand of & is in a register here and has no address");
  }
  if (value.form != Form::kMemory) return BadExpression(column, "the operand of & has no address");
  return Cell(PointerTo(unit_, value.type), value.code, column);
}

Result<Piece> Compiler::SlicePiece(const Piece& piece, uint32_t offset, uint32_t size_bytes) {
  Piece out = piece;
  out.size_bytes = size_bytes;
  if (offset == 0) return out;
  if (piece.kind == LocationKind::kUnavailable) return out;
  if (piece.kind == LocationKind::kBytes) {
    const std::string bytes = unit_.strings[piece.bytes].substr(offset, size_bytes);
    out.bytes = InternString(unit_, bytes);
    return out;
  }
  if (piece.kind == LocationKind::kXmm) {
    out.kind = LocationKind::kUnavailable;
    out.reason = Code::kUnsupportedLocation;
    return out;
  }
  SF_ASSIGN_OR_RETURN(Fragment code, Inline(unit_, piece.program));
  if (piece.kind == LocationKind::kMemory) {
    code.AddImm(offset);
  } else {
    ShiftRight(code, 8 * offset);
  }
  SF_ASSIGN_OR_RETURN(out.program, Finish(unit_, std::move(code)));
  return out;
}

// The place of a part of an object that is not in one piece of memory.
Result<Location> Compiler::Slice(const Value& value) {
  const uint32_t size = TypeOf(value).size_bytes;
  std::vector<Piece> source;
  if (value.location.kind == LocationKind::kPieces) {
    const auto first = unit_.pieces.begin() + value.location.first_piece;
    source.assign(first, first + value.location.piece_count);
  } else {
    source.push_back(PieceOf(value.location));
  }
  Location out;
  std::vector<Piece> parts;
  uint64_t start = 0;
  for (const Piece& piece : source) {
    const uint64_t low = std::max<uint64_t>(start, value.offset);
    const uint64_t high =
        std::min<uint64_t>(start + piece.size_bytes, uint64_t{value.offset} + size);
    if (low < high) {
      SF_ASSIGN_OR_RETURN(const Piece part, SlicePiece(piece, static_cast<uint32_t>(low - start),
                                                       static_cast<uint32_t>(high - low)));
      parts.push_back(part);
    }
    start += piece.size_bytes;
  }
  out.kind = LocationKind::kPieces;
  out.first_piece = static_cast<uint32_t>(unit_.pieces.size());
  out.piece_count = static_cast<uint32_t>(parts.size());
  unit_.pieces.insert(unit_.pieces.end(), parts.begin(), parts.end());
  return out;
}

}  // namespace stillframe::expression
