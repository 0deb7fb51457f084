// Library types: sizes, elements with run-time bounds checks, smart pointers, optional.
#include "symbolizer/expression_compiler.h"

namespace stillframe::expression {
namespace {

bool IsTextView(ViewKind kind) {
  return kind == ViewKind::kString || kind == ViewKind::kStringView ||
         kind == ViewKind::kShortString;
}
bool IsSmartPointer(ViewKind kind) {
  return kind == ViewKind::kUniquePtr || kind == ViewKind::kSharedPtr;
}

// [begin end] -> [begin count]; kImplausible unless the difference is a whole number of elements.
void EmitCount(Fragment& code, uint32_t element_bytes) {
  code.Emit(Op::kOver);
  code.Emit(Op::kOver);
  code.Emit(Op::kLeU);  // begin <= end
  code.FailIfZero(Code::kImplausible);
  code.Emit(Op::kOver);
  code.Emit(Op::kSub);
  if (element_bytes == 1) return;
  code.Emit(Op::kDup);
  code.Const(element_bytes);
  code.Emit(Op::kModU);
  code.Emit(Op::kLogicalNot);
  code.FailIfZero(Code::kImplausible);
  code.Const(element_bytes);
  code.Emit(Op::kDivU);
}

// [begin index] -> [address of the element].
void EmitElement(Fragment& code, uint32_t element_bytes) {
  if (element_bytes != 1) {
    code.Const(element_bytes);
    code.Emit(Op::kMul);
  }
  code.Emit(Op::kAdd);
}

// Where a std::logic_error or std::runtime_error, or what derives from one, keeps the pointer to
// its text: behind the vptr, in libstdc++ and libc++ alike. Often only their declarations are
// there.
std::optional<uint32_t> StandardTextOffset(const PlanUnit& unit, TypeId id, int depth) {
  constexpr int kMaxDepth = 16;
  constexpr uint32_t kBehindVptr = 8;
  const TypeNode& type = unit.types[id];
  std::string_view name = unit.strings[type.name];
  if (name.starts_with("const ")) name.remove_prefix(6);
  if (name == "std::logic_error" || name == "std::runtime_error") return kBehindVptr;
  if (depth > kMaxDepth || type.kind != TypeKind::kStruct) return std::nullopt;
  for (uint32_t i = type.first_member; i < type.first_member + type.member_count; ++i) {
    const Member& member = unit.members[i];
    if ((member.flags & kMemberBase) == 0 || (member.flags & kMemberVirtualBase) != 0) continue;
    if (const auto inner = StandardTextOffset(unit, member.type, depth + 1)) {
      return member.offset_bytes + *inner;
    }
  }
  return std::nullopt;
}

}  // namespace

bool Compiler::HasExtent(const Value& object) const {
  const ViewKind view = ViewOf(object).kind;
  return IsTextView(view) || view == ViewKind::kSequence || view == ViewKind::kInlineArray ||
         view == ViewKind::kCounted || TypeOf(object).kind == TypeKind::kArray;
}

Result<Fragment> Compiler::PushFields(const Value& object,
                                      std::initializer_list<uint32_t> offsets) {
  Fragment code;
  if (object.form != Form::kMemory) {
    for (const uint32_t offset : offsets) {
      SF_ASSIGN_OR_RETURN(const Fragment field, ReadBytes(object, offset, 8));
      code.Append(field);
    }
    return code;
  }
  code = object.code;
  size_t left = offsets.size();
  for (const uint32_t offset : offsets) {
    if (--left != 0) code.Emit(Op::kDup);
    code.AddImm(offset);
    code.Load(8, false);
    if (left != 0) code.Emit(Op::kSwap);
  }
  return code;
}

Result<Fragment> Compiler::PushExtent(const Value& object, TypeId& element) {
  const TypeNode type = TypeOf(object);
  const View view = ViewOf(object);
  const bool c_array = type.kind == TypeKind::kArray;
  element = c_array ? type.target : view.element;
  const uint32_t element_bytes = unit_.types[element].size_bytes;
  if (element_bytes == 0) {
    return BadExpression(object.column, "the element type " + Quote(element) + " has no size");
  }
  if (c_array || view.kind == ViewKind::kInlineArray) {
    if (object.form != Form::kMemory) {
      return Status(Code::kUnsupportedLocation,
                    "column " + std::to_string(object.column) + ": the array is not in memory");
    }
    Fragment code = object.code;
    if (!c_array) code.AddImm(view.a);
    code.Const(c_array ? type.count : view.count);
    return code;
  }
  if (view.kind == ViewKind::kShortString) return PushText(object);
  if (view.kind == ViewKind::kCounted) {
    SF_ASSIGN_OR_RETURN(Fragment code, ReadBytes(object, view.a, 8));
    SF_ASSIGN_OR_RETURN(const Fragment count, PushCount(object));
    code.Append(count);
    return code;
  }
  SF_ASSIGN_OR_RETURN(Fragment code, PushFields(object, {view.a, view.b}));
  if (view.kind == ViewKind::kSequence) EmitCount(code, element_bytes);
  return code;
}

// [base index] -> [address], of what `pointer` leads to; an array of variable length among it.
Status Compiler::EmitElementOf(Value& pointer, uint32_t column) {
  TypeId target = TypeOf(pointer).target;
  if ((unit_.types[target].flags & kFlagCountedByVariable) == 0) {
    const uint32_t size = unit_.types[target].size_bytes;
    if (size == 0) return BadExpression(column, Quote(pointer.type) + " cannot be indexed");
    EmitElement(pointer.code, size);
    return Status();
  }
  const auto extents = scope_.ExtentsOf(target);
  if (!extents.ok()) {
    return extents.status().WithContext("column " + std::to_string(column) + ": " +
                                        Quote(pointer.type) + " cannot be indexed");
  }
  for (const Program& extent : *extents) {
    SF_ASSIGN_OR_RETURN(const Fragment count, Inline(unit_, extent));
    pointer.code.Append(count);
    pointer.code.Emit(Op::kMul);
    target = unit_.types[target].target;
  }
  EmitElement(pointer.code, unit_.types[target].size_bytes);
  return Status();
}

Result<Value> Compiler::Index(const Value& wrapped, const Value& index, uint32_t column) {
  if (wrapped.form == Form::kLiteral)
    return BadExpression(column, "[] of a literal is not supported");
  SF_ASSIGN_OR_RETURN(const Value object, Unwrap(wrapped));
  if (object.is_trace) return BadExpression(column, "[] of $trace is not supported");
  if (HasKeys(object)) return Lookup(object, index, false, column);
  const ViewKind view = ViewOf(object).kind;
  if (IsSmartPointer(view)) {
    SF_ASSIGN_OR_RETURN(const Value pointer, RawPointer(object));
    return Index(pointer, index, column);
  }
  if (index.form == Form::kLiteral) {
    return BadExpression(index.column, "an index must be an integer, not a string");
  }
  SF_ASSIGN_OR_RETURN(const Value position, Load(index));
  const std::optional<Number> number = PromotedType(unit_, position.type, 0);
  if (!number || IsFloating(*number) || IsScopedEnum(TypeOf(position))) {
    return BadExpression(index.column, "an index must be an integer, not " + Quote(index.type));
  }
  const bool unbounded = TypeOf(object).kind == TypeKind::kArray && TypeOf(object).count == 0;
  if (TypeOf(object).kind == TypeKind::kPointer || unbounded) {
    SF_RETURN_IF_ERROR(CheckRawMemory(column));
    SF_ASSIGN_OR_RETURN(Value pointer, Load(object));
    pointer.code.Append(position.code);
    SF_RETURN_IF_ERROR(EmitElementOf(pointer, column));
    return Dereference(pointer, column);
  }
  if (view == ViewKind::kDeque) return DequeIndex(object, position, column);
  if (view == ViewKind::kBits || view == ViewKind::kBitset) {
    return BitIndex(object, position, column);
  }
  if (!HasExtent(object)) {
    return BadExpression(column, "[] of " + Quote(object.type) + " is not supported");
  }
  const bool is_inline = TypeOf(object).kind == TypeKind::kArray || view == ViewKind::kInlineArray;
  if (object.form == Form::kPlaced && is_inline) return PlacedElement(object, position, column);
  Value element;
  element.form = Form::kMemory;
  element.column = column;
  SF_ASSIGN_OR_RETURN(element.code, PushExtent(object, element.type));
  // [begin count] index: checked, then [address]. s[s.size()] is the terminator ([string.access]).
  element.code.Append(position.code);
  element.code.Emit(Op::kDup);
  element.code.Emit(Op::kPick, 2);
  element.code.Emit(view == ViewKind::kString || view == ViewKind::kShortString ? Op::kLeU
                                                                                : Op::kLtU);
  element.code.FailIfZero(Code::kBadExpression);
  element.code.Emit(Op::kSwap);
  element.code.Emit(Op::kDrop);
  EmitElement(element.code, unit_.types[element.type].size_bytes);
  return Settle(std::move(element));
}

// Of an array that the compiler keeps in registers, or of which it keeps single elements only.
Result<Value> Compiler::PlacedElement(const Value& array, const Value& position, uint32_t column) {
  const std::optional<uint64_t> index = position.code.constant();
  if (!index) {
    return Status(Code::kUnsupportedLocation,
                  "column " + std::to_string(column) + ": the array is not in memory");
  }
  const TypeNode type = TypeOf(array);
  const bool c_array = type.kind == TypeKind::kArray;
  const View view = ViewOf(array);
  const TypeId element = c_array ? type.target : view.element;
  if (*index >= (c_array ? type.count : view.count)) {
    Value beyond;  // as for an array in memory: the expression fails, not the tracepoint
    beyond.form = Form::kMemory;
    beyond.column = column;
    beyond.type = element;
    beyond.code.Fail(Code::kBadExpression);
    return Settle(std::move(beyond));
  }
  const uint64_t offset = *index * unit_.types[element].size_bytes + (c_array ? 0 : view.a);
  return Part(array, static_cast<uint32_t>(offset), element);
}

Result<Value> Compiler::Unwrap(Value value) {
  for (int hops = 0; hops < 4; ++hops) {
    if (value.form == Form::kLiteral || value.form == Form::kCell) return value;
    const View view = ViewOf(value);
    if (view.kind != ViewKind::kWrapper) return value;
    SF_ASSIGN_OR_RETURN(value, Part(value, view.a, view.element));
  }
  return value;
}

Result<Value> Compiler::Method(const Value& wrapped, const Node& node) {
  const std::string& name = node.text;
  const uint32_t column = node.column;
  if (wrapped.form == Form::kLiteral) return BadExpression(column, "a literal has no members");
  SF_ASSIGN_OR_RETURN(const Value object, Unwrap(wrapped));
  const ViewKind view = ViewOf(object).kind;
  const bool of_text = node.child[1] != nullptr && IsText(object);
  if (TypeOf(object).kind == TypeKind::kPointer && !of_text) {
    return BadExpression(column, Quote(object.type) + " is a pointer: use ->");
  }
  if (node.child[1] != nullptr) return ArgumentMethod(object, node);
  if (name == "has_value" && view == ViewKind::kOptional) {
    SF_ASSIGN_OR_RETURN(Fragment code, ToBool(object));
    return Cell(BoolType(unit_), std::move(code), column);
  }
  const bool is_duration = view == ViewKind::kDuration && ViewOf(object).layout == kPlain;
  if (name == "count" && is_duration) {
    SF_ASSIGN_OR_RETURN(const Value part, Part(object, ViewOf(object).a, ViewOf(object).element));
    return Load(part);
  }
  if (name == "value" && view == ViewKind::kOptional) return OptionalPayload(object);
  if (name == "get" && IsSmartPointer(view)) return RawPointer(object);
  if (name == "load" && ViewOf(wrapped).kind == ViewKind::kWrapper) return object;
  if (name == "index" && view == ViewKind::kVariant) {
    SF_ASSIGN_OR_RETURN(Fragment code,
                        ReadBytes(object, ViewOf(object).a, ViewOf(object).size_bytes));
    return NumberCell(Number::kULong, std::move(code), column);
  }
  if (name == "what") {
    if (const auto offset = StandardTextOffset(unit_, object.type, 0)) {
      const TypeId pointer = PointerTo(unit_, ConstCharType(unit_));
      SF_ASSIGN_OR_RETURN(const Value part, Part(object, *offset, pointer));
      return Load(part);
    }
  }
  const bool array = TypeOf(object).kind == TypeKind::kArray;
  if ((name == "front" || name == "back") && HasExtent(object) && !array) {
    return EndMethod(object, name == "back", column);
  }
  if (name == "size" || name == "empty" || (name == "length" && IsTextView(view))) {
    return SizeMethod(object, node);
  }
  return BadExpression(column, Quote(object.type) + " has no ." + name + "() that is supported");
}

// at, contains, count, starts_with, ends_with.
Result<Value> Compiler::ArgumentMethod(const Value& object, const Node& node) {
  SF_ASSIGN_OR_RETURN(Value argument, Compile(*node.child[1]));
  if (node.child[1]->kind == NodeKind::kChar && IsText(object)) {
    argument.form = Form::kLiteral;
    argument.text = std::string(1, static_cast<char>(node.child[1]->integer));
  }
  SF_ASSIGN_OR_RETURN(argument, Unwrap(std::move(argument)));
  if (node.text == "at") return Index(object, argument, node.column);
  if (HasKeys(object) && (node.text == "contains" || node.text == "count")) {
    if (node.text == "count" && (ViewOf(object).keys & kKeysMany) != 0) {
      return BadExpression(node.column,
                           "how many of a key there are is not supported; contains is");
    }
    SF_ASSIGN_OR_RETURN(Value found, Lookup(object, argument, true, node.column));
    if (node.text == "count") found.type = NumberType(unit_, Number::kULong);
    return found;
  }
  if (IsText(object) && node.text != "count") return TextMethod(object, argument, node);
  return BadExpression(node.column,
                       Quote(object.type) + " has no ." + node.text + "() that is supported");
}

Result<Fragment> Compiler::PushCount(const Value& object) {
  const View view = ViewOf(object);
  Fragment code;
  switch (view.kind) {
    case ViewKind::kInlineArray:
    case ViewKind::kBitset:
      code.Const(view.count);
      return code;
    case ViewKind::kCounted:
      if (view.layout == kFixedCount) {
        code.Const(view.count);
        return code;
      }
      return ReadBytes(object, view.b, view.size_bytes == 0 ? 8 : view.size_bytes);
    case ViewKind::kString:
    case ViewKind::kStringView:
      return ReadBytes(object, view.b, 8);
    case ViewKind::kHash:
      if (view.layout == kUncounted) break;
      return ReadBytes(object, view.b, view.size_bytes == 0 ? 8 : view.size_bytes);
    case ViewKind::kTree:
      return ReadBytes(object, view.b, view.size_bytes == 0 ? 8 : view.size_bytes);
    case ViewKind::kDeque:
      return DequeCount(object);
    case ViewKind::kCustom:
      return CustomCount(object);
    case ViewKind::kShortString:
    case ViewKind::kSequence: {
      TypeId element = kVoidType;
      SF_ASSIGN_OR_RETURN(code, PushExtent(object, element));
      code.Emit(Op::kSwap);
      code.Emit(Op::kDrop);
      return code;
    }
    case ViewKind::kBits: {
      if (view.layout == kLibcxx) return ReadBytes(object, view.b, 8);
      SF_ASSIGN_OR_RETURN(code, PushFields(object, {view.b, view.a}));
      code.Emit(Op::kSub);
      code.Const(8);
      code.Emit(Op::kMul);
      SF_ASSIGN_OR_RETURN(const Fragment used, ReadBytes(object, view.c, 4));
      code.Append(used);
      code.Emit(Op::kAdd);
      return code;
    }
    default:
      break;
  }
  return BadExpression(object.column, Quote(object.type) + " has no size that is known");
}

Result<Value> Compiler::SizeMethod(const Value& object, const Node& node) {
  const View view = ViewOf(object);
  const bool empty = node.text == "empty";
  Fragment code;
  if (object.is_trace && empty) {
    SF_ASSIGN_OR_RETURN(code, TraceStartsWith("", true));
    return Cell(BoolType(unit_), std::move(code), node.column);
  }
  if (empty && view.kind == ViewKind::kHash && view.layout == kUncounted) {
    SF_ASSIGN_OR_RETURN(code, ReadBytes(object, view.a, 8));
  } else {
    Result<Fragment> count = PushCount(object);
    if (!count.ok() && count.status().code() == Code::kBadExpression) {
      return BadExpression(node.column,
                           Quote(object.type) + " has no ." + node.text + "() that is supported");
    }
    if (!count.ok()) return count.status();
    code = std::move(*count);
  }
  if (!empty) return NumberCell(Number::kULong, std::move(code), node.column);
  code.Emit(Op::kLogicalNot);
  return Cell(BoolType(unit_), std::move(code), node.column);
}

Result<Value> Compiler::EndMethod(const Value& object, bool back, uint32_t column) {
  Value element;
  element.form = Form::kMemory;
  element.column = column;
  SF_ASSIGN_OR_RETURN(element.code, PushExtent(object, element.type));
  element.code.Emit(Op::kDup);
  element.code.FailIfZero(Code::kBadExpression);  // empty
  if (back) {
    element.code.AddImm(~uint64_t{0});
    EmitElement(element.code, unit_.types[element.type].size_bytes);
  } else {
    element.code.Emit(Op::kDrop);
  }
  return Settle(std::move(element));
}

Result<Value> Compiler::RawPointer(const Value& object) {
  const View view = ViewOf(object);
  SF_ASSIGN_OR_RETURN(Fragment code, ReadBytes(object, view.a, 8));
  return Cell(PointerTo(unit_, view.element), std::move(code), object.column);
}

Result<Value> Compiler::OptionalPayload(const Value& object) {
  const View view = ViewOf(object);
  Value payload = object;
  if (object.form == Form::kMemory) {
    payload.code.Emit(Op::kDup);
    payload.code.AddImm(view.a);
    payload.code.Load(1, false);
  } else {
    SF_ASSIGN_OR_RETURN(payload.code, ReadBytes(object, view.a, 1));
  }
  payload.code.FailIfZero(Code::kBadExpression);  // std::nullopt
  return Part(payload, view.b, view.element);
}

}  // namespace stillframe::expression
