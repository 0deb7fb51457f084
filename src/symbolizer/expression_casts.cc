// Casts and sizeof: types by name.
#include <algorithm>

#include "symbolizer/expression_compiler.h"

namespace stillframe::expression {
namespace {

constexpr int kMaxBaseDepth = 64;

bool IsCStyle(const std::string& style) { return style.empty() || style == "()"; }

bool IsInteger(TypeKind kind) {
  return kind == TypeKind::kSigned || kind == TypeKind::kUnsigned || kind == TypeKind::kChar ||
         kind == TypeKind::kUnicode || kind == TypeKind::kEnum;
}

// A double that becomes an integer: what does not fit has no value in C++ ([conv.fpint]).
void EmitToInteger(Fragment& code, uint32_t size_bytes, bool is_signed) {
  code.Emit(is_signed ? Op::kF64ToS64 : Op::kF64ToU64);
  if (size_bytes >= 8) return;
  code.Emit(Op::kDup);
  code.Extend(size_bytes, is_signed);
  code.Emit(Op::kOver);
  code.Emit(Op::kEq);
  code.FailIfZero(Code::kBadExpression);
}

// The words and stars of a type, taken from its end.
bool TakeSuffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  while (text.ends_with(' ')) text.remove_suffix(1);
  return true;
}

}  // namespace

Result<TypeId> Compiler::ResolveType(std::string_view text, uint32_t column) {
  const std::string_view whole = text;
  int pointers = 0;
  for (bool changed = true; changed;) {
    changed = false;
    if (TakeSuffix(text, "*")) {
      ++pointers;
      changed = true;
    }
    while (TakeSuffix(text, "&") || (text.ends_with(" const") && TakeSuffix(text, "const")) ||
           (text.ends_with("*const") && TakeSuffix(text, "const"))) {
      changed = true;
    }
  }
  for (const std::string_view word :
       {"const ", "volatile ", "struct ", "class ", "union ", "enum ", "typename ", "const "}) {
    if (text.starts_with(word)) text.remove_prefix(word.size());
  }
  std::optional<TypeId> type = BuiltinType(unit_, text);
  if (!type) type = scope_.FindType(text);
  if (!type) {
    return Status(Code::kUnknownVariable, "column " + std::to_string(column) + ": no type '" +
                                              std::string(whole) + "' here");
  }
  for (; pointers > 0; --pointers) type = PointerTo(unit_, *type);
  return *type;
}

Result<Value> Compiler::Cast(const Node& node) {
  Result<TypeId> type = ResolveType(node.type, node.column);
  if (!type.ok()) {
    if (node.text == "()") return BadExpression(node.column, std::string(kCallsNotSupported));
    return type.status();
  }
  SF_ASSIGN_OR_RETURN(const Value operand, Compile(*node.child[0]));
  SF_ASSIGN_OR_RETURN(const Value value, Unwrap(operand));
  return CastTo(value, *type, node.text, node.column);
}

Result<Value> Compiler::CastTo(const Value& value, TypeId type, const std::string& style,
                               uint32_t column) {
  const TypeNode target = unit_.types[type];
  const bool literal = value.form == Form::kLiteral;
  if (!literal && (target.kind == TypeKind::kStruct || target.kind == TypeKind::kUnion)) {
    if (IsSameClass(unit_, value.type, type)) return value;
    const auto offset = BaseOffset(value.type, type, 0);
    if (offset) return Part(value, *offset, type);
  }
  if (target.kind == TypeKind::kPointer && !literal) return CastPointer(value, type, style, column);
  const bool bits_only = style == "reinterpret_cast";
  if (!literal && !bits_only && style != "const_cast") {
    if (target.kind == TypeKind::kBool && !IsScopedEnum(TypeOf(value))) {
      SF_ASSIGN_OR_RETURN(Fragment code, ToBool(value));
      return Cell(type, std::move(code), column);
    }
    if (PromotedType(unit_, value.type, value.bit_size) && PromotedType(unit_, type, 0)) {
      return CastNumber(value, type, column);
    }
  }
  const bool address = !literal && IsPointerLike(value) && ViewOf(value).kind == ViewKind::kNone;
  if (address && IsInteger(target.kind) && target.size_bytes == 8 &&
      (bits_only || IsCStyle(style))) {
    SF_ASSIGN_OR_RETURN(Fragment code, PointerCell(value));
    return Cell(type, std::move(code), column);
  }
  return BadExpression(column, "cannot cast " + (literal ? "a string literal" : Quote(value.type)) +
                                   " to " + Quote(type));
}

Result<Value> Compiler::CastNumber(const Value& value, TypeId type, uint32_t column) {
  const TypeNode target = unit_.types[type];
  SF_ASSIGN_OR_RETURN(Value cell, Load(value));
  const Number from = *PromotedType(unit_, value.type, value.bit_size);
  if (target.kind == TypeKind::kFloat) {
    const Number to = target.size_bytes == 4 ? Number::kFloat : Number::kDouble;
    Convert(cell.code, from, to);
    if (from == Number::kDouble) Wrap(cell.code, to);
  } else if (target.kind == TypeKind::kBool) {
    cell.code.Emit(Op::kBool);  // of a scoped enumeration
  } else if (IsFloating(from)) {
    EmitToInteger(cell.code, target.size_bytes, IsSignedStorage(unit_, target));
  } else {
    cell.code.Extend(target.size_bytes, IsSignedStorage(unit_, target));
  }
  return Cell(type, std::move(cell.code), column);
}

Result<Value> Compiler::CastPointer(const Value& value, TypeId type, const std::string& style,
                                    uint32_t column) {
  const bool any = IsCStyle(style) || style == "reinterpret_cast";
  if (!IsPointerLike(value) || ViewOf(value).kind != ViewKind::kNone) {
    const auto number = PromotedType(unit_, value.type, value.bit_size);
    const bool integer = number && !IsFloating(*number);
    if (!integer || !(any || value.zero_literal)) {
      return BadExpression(column, "cannot cast " + Quote(value.type) + " to " + Quote(type));
    }
    if (!value.zero_literal) SF_RETURN_IF_ERROR(CheckRawMemory(column));
    SF_ASSIGN_OR_RETURN(Value cell, Load(value));
    return Cell(type, std::move(cell.code), column);
  }
  SF_ASSIGN_OR_RETURN(Fragment code, PointerCell(value));
  const TypeId from = TypeOf(value).target;
  const TypeId to = unit_.types[type].target;
  const bool is_void = from == kVoidType || to == kVoidType ||
                       unit_.types[from].kind == TypeKind::kVoid ||
                       TypeOf(value).kind == TypeKind::kNullptr;
  if (!is_void && IsSameClass(unit_, from, to)) return Cell(type, std::move(code), column);
  if (style == "reinterpret_cast" || is_void) {
    SF_RETURN_IF_ERROR(CheckRawMemory(column));
    return Cell(type, std::move(code), column);
  }
  const auto up = BaseOffset(from, to, 0);
  const auto down = BaseOffset(to, from, 0);
  if (!up && !down && !any && style != "const_cast") {
    return BadExpression(column, "cannot cast " + Quote(value.type) + " to " + Quote(type));
  }
  const uint64_t delta = up ? *up : down ? uint64_t{0} - *down : 0;
  if (!up && !down) SF_RETURN_IF_ERROR(CheckRawMemory(column));
  if (down) SF_RETURN_IF_ERROR(CheckRawMemory(column));
  if (delta != 0) {  // null stays null ([conv.ptr])
    code.Emit(Op::kDup);
    code.Emit(Op::kJumpIfZero, 0, 0, 2);
    code.AddImm(delta);
  }
  return Cell(type, std::move(code), column);
}

std::optional<uint32_t> Compiler::BaseOffset(TypeId derived, TypeId base, int depth) const {
  const TypeNode& type = unit_.types[derived];
  if (depth > kMaxBaseDepth || type.kind != TypeKind::kStruct) return std::nullopt;
  for (uint32_t i = type.first_member; i < type.first_member + type.member_count; ++i) {
    const Member& member = unit_.members[i];
    if ((member.flags & kMemberBase) == 0 || (member.flags & kMemberVirtualBase) != 0) continue;
    if (IsSameClass(unit_, member.type, base)) return member.offset_bytes;
    const auto inner = BaseOffset(member.type, base, depth + 1);
    if (inner) return member.offset_bytes + *inner;
  }
  return std::nullopt;
}

Result<Value> Compiler::Sizeof(const Node& node) {
  const bool outer = std::exchange(unevaluated_, true);
  Result<Value> operand = BadExpression(node.column, "");
  TypeId type = kVoidType;
  if (node.child[0] != nullptr) {
    operand = Compile(*node.child[0]);
  } else {  // a variable hides a type of its name
    Node name;
    name.kind = NodeKind::kName;
    name.text = node.type;
    name.column = node.column;
    const bool plain = node.type.find_first_of(" *&<") == std::string::npos;
    if (plain) operand = Compile(name);
  }
  unevaluated_ = outer;
  uint64_t size = 0;
  if (operand.ok()) {
    if (operand->bit_size != 0) return BadExpression(node.column, "a bit-field has no size");
    type = operand->type;
    size = operand->form == Form::kLiteral ? operand->text.size() + 1 : TypeOf(*operand).size_bytes;
  } else {
    if (node.child[0] != nullptr) return operand;
    SF_ASSIGN_OR_RETURN(type, ResolveType(node.type, node.column));
    if (unit_.types[type].kind == TypeKind::kReference) type = unit_.types[type].target;
    size = unit_.types[type].size_bytes;
  }
  if (size == 0) return BadExpression(node.column, "the size of " + Quote(type) + " is not known");
  Fragment code;
  code.Const(size);
  return NumberCell(Number::kULong, std::move(code), node.column);
}

}  // namespace stillframe::expression
