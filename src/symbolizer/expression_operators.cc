// Operators but the comparisons, by the rules of C++20 [expr].
#include <bit>

#include "symbolizer/expression_compiler.h"

namespace stillframe::expression {
namespace {

// 64-bit integers do not all fit a double, and rounding twice (to double, then to float) can differ
// from rounding once. So what a float cannot tell apart is first replaced by one sticky bit.
void EmitSticky(Fragment& code, bool is_signed) {
  constexpr uint64_t kExact = uint64_t{1} << 53;
  constexpr uint64_t kLow = 0x7ff;
  code.Emit(Op::kDup);
  if (is_signed) code.AddImm(kExact);
  code.Const(is_signed ? 2 * kExact : kExact);
  code.Emit(Op::kLeU);
  const size_t exact = code.Jump(Op::kJumpIfNonZero);
  code.Emit(Op::kDup);  // [x] -> [(x | ((x & low) + low)) & ~low]
  code.Const(kLow);
  code.Emit(Op::kAnd);
  code.AddImm(kLow);
  code.Emit(Op::kOr);
  code.Const(~kLow);
  code.Emit(Op::kAnd);
  code.Bind(exact);
}

void RoundToFloat(Fragment& code) {
  code.Emit(Op::kF64ToF32);
  code.Emit(Op::kF32ToF64);
}

// INT_MIN / -1 does not fit; 64-bit division checks itself.
void CheckQuotient(Fragment& code) {
  code.Emit(Op::kDup);
  code.Extend(4, true);
  code.Emit(Op::kOver);
  code.Emit(Op::kEq);
  code.FailIfZero(Code::kBadExpression);
}

Op IntegerOp(Operator op, bool is_signed) {
  switch (op) {
    case Operator::kAdd:
      return Op::kAdd;
    case Operator::kSub:
      return Op::kSub;
    case Operator::kMul:
      return Op::kMul;
    case Operator::kDiv:
      return is_signed ? Op::kDivS : Op::kDivU;
    case Operator::kMod:
      return is_signed ? Op::kModS : Op::kModU;
    case Operator::kBitAnd:
      return Op::kAnd;
    case Operator::kBitOr:
      return Op::kOr;
    case Operator::kBitXor:
      return Op::kXor;
    case Operator::kShl:
      return Op::kShl;
    default:
      return is_signed ? Op::kShrS : Op::kShrU;
  }
}

std::optional<Op> FloatOp(Operator op) {
  switch (op) {
    case Operator::kAdd:
      return Op::kFAdd;
    case Operator::kSub:
      return Op::kFSub;
    case Operator::kMul:
      return Op::kFMul;
    case Operator::kDiv:
      return Op::kFDiv;
    default:
      return std::nullopt;
  }
}

bool IsComparison(Operator op) { return op >= Operator::kEq && op <= Operator::kGe; }
// Scoped enumerations take part in these, as an extension for flag sets; not in + - * / %.
bool IsBitwise(Operator op) {
  return op == Operator::kBitAnd || op == Operator::kBitOr || op == Operator::kBitXor ||
         op == Operator::kComplement || IsComparison(op);
}

}  // namespace

void Convert(Fragment& code, Number from, Number to) {
  if (from == to) return;
  if (IsFloating(from)) return;  // float -> double: cells hold doubles anyway
  if (!IsFloating(to)) {
    // Cells are extended by their own signedness, which is what widening means; only a signed
    // value that becomes unsigned at 32 bits changes its cell.
    if (SizeOf(to) == 4) code.Extend(4, IsSigned(to));
    return;
  }
  if (to == Number::kFloat && SizeOf(from) == 8) EmitSticky(code, IsSigned(from));
  code.Emit(IsSigned(from) ? Op::kS64ToF64 : Op::kU64ToF64);
  if (to == Number::kFloat) RoundToFloat(code);
}

void Wrap(Fragment& code, Number number) {
  if (number == Number::kFloat) return RoundToFloat(code);
  if (SizeOf(number) == 4) code.Extend(4, IsSigned(number));
}

Value Compiler::Cell(TypeId type, Fragment code, uint32_t column) const {
  Value value;
  value.type = type;
  value.code = std::move(code);
  value.column = column;
  return value;
}

Value Compiler::NumberCell(Number number, Fragment code, uint32_t column) {
  return Cell(NumberType(unit_, number), std::move(code), column);
}

std::string Compiler::Quote(TypeId type) const {
  const std::string& name = unit_.strings[unit_.types[type].name];
  return "'" + (type == kVoidType && name.empty() ? "void" : name) + "'";
}

Result<Value> Compiler::Compile(const Node& node) {
  Fragment code;
  code.Const(node.integer);
  switch (node.kind) {
    case NodeKind::kInteger: {
      Value value = NumberCell(node.number, std::move(code), node.column);
      value.zero_literal = node.integer == 0;
      return value;
    }
    case NodeKind::kReal: {
      Fragment real;
      real.Const(std::bit_cast<uint64_t>(node.real));
      return NumberCell(node.number, std::move(real), node.column);
    }
    case NodeKind::kBool:
      return Cell(BoolType(unit_), std::move(code), node.column);
    case NodeKind::kChar:
      return Cell(CharType(unit_), std::move(code), node.column);
    case NodeKind::kNullptr:
      return Cell(NullptrType(unit_), std::move(code), node.column);
    case NodeKind::kString: {
      Value value;
      value.form = Form::kLiteral;
      value.column = node.column;
      // "a\0b" == s compares with "a": the comparison takes a C string.
      value.text = node.text.substr(0, node.text.find('\0'));
      return value;
    }
    case NodeKind::kName:
      return Name(node);
    case NodeKind::kUnary:
      return Unary(node);
    case NodeKind::kBinary:
      return Binary(node);
    case NodeKind::kConditional:
      return Conditional(node);
    case NodeKind::kCast:
      return Cast(node);
    case NodeKind::kSizeof:
      return Sizeof(node);
    case NodeKind::kHolds:
      return Holds(node);
    case NodeKind::kAlternative:
      return Alternative(node);
    case NodeKind::kRange:
      return node.text == "filter" ? Filter(node) : Range(node, node.text);
    default:
      break;
  }
  const Node& first = *node.child[0];
  if (node.kind == NodeKind::kMethod && first.kind == NodeKind::kRange && first.text == "filter") {
    if (node.text == "size") return Range(first, "count");
    if (node.text != "empty") {
      return BadExpression(node.column, "of a filter there are only .size() and .empty()");
    }
    SF_ASSIGN_OR_RETURN(Value some, Range(first, "any"));
    some.code.Emit(Op::kLogicalNot);
    return some;
  }
  SF_ASSIGN_OR_RETURN(Value object, Compile(first));
  if (object.filter) {
    return BadExpression(node.column, "of a filter there are only .size() and .empty()");
  }
  if (node.kind == NodeKind::kIndex) {
    SF_ASSIGN_OR_RETURN(const Value index, Compile(*node.child[1]));
    return Index(object, index, node.column);
  }
  if (node.arrow) {
    const TypeKind kind = TypeOf(object).kind;
    const ViewKind view = ViewOf(object).kind;
    const bool pointer = kind == TypeKind::kPointer || kind == TypeKind::kArray ||
                         view == ViewKind::kUniquePtr || view == ViewKind::kSharedPtr ||
                         view == ViewKind::kOptional || view == ViewKind::kIterator;
    if (!pointer || object.form == Form::kLiteral) {
      return BadExpression(node.column, Quote(object.type) + " is not a pointer: use .");
    }
    SF_ASSIGN_OR_RETURN(object, Dereference(object, node.column));
  }
  if (node.kind == NodeKind::kMethod) return Method(object, node);
  if (object.form == Form::kLiteral) return BadExpression(node.column, "a literal has no members");
  return MemberOf(object, node.text, node.column);
}

Result<Operand> Compiler::ToOperand(const Value& wrapped, const Node& node) {
  const std::string op(OperatorText(node.op));
  if (wrapped.form == Form::kLiteral) {
    return BadExpression(wrapped.column, "a string literal can only be compared");
  }
  SF_ASSIGN_OR_RETURN(const Value value, Unwrap(wrapped));
  const TypeKind kind = TypeOf(value).kind;
  const std::optional<Number> number = PromotedType(unit_, value.type, value.bit_size);
  const bool wide =
      kind == TypeKind::kSigned || kind == TypeKind::kUnsigned || kind == TypeKind::kFloat;
  if (!number && !wide) {
    return BadExpression(node.column,
                         "operand of " + op + " must be a number, not " + Quote(value.type));
  }
  if (IsScopedEnum(TypeOf(value)) && !IsBitwise(node.op)) {
    return BadExpression(node.column, op + " of the scoped enumeration " + Quote(value.type));
  }
  SF_ASSIGN_OR_RETURN(Value cell, Load(value));  // says what is wrong with wide numbers
  return Operand{std::move(cell.code), *number};
}

Result<Value> Compiler::Unary(const Node& node) {
  SF_ASSIGN_OR_RETURN(const Value value, Compile(*node.child[0]));
  if (value.filter) {
    return BadExpression(node.column, "of a filter there are only .size() and .empty()");
  }
  if (node.op == Operator::kDereference) return Dereference(value, node.column);
  if (node.op == Operator::kAddressOf) return AddressOf(value, node.column);
  if (node.op == Operator::kNot) {
    SF_ASSIGN_OR_RETURN(Fragment code, ToBool(value));
    code.Emit(Op::kLogicalNot);
    return Cell(BoolType(unit_), std::move(code), node.column);
  }
  SF_ASSIGN_OR_RETURN(Operand operand, ToOperand(value, node));
  const bool floating = IsFloating(operand.number);
  if (node.op == Operator::kComplement && floating) {
    return BadExpression(node.column, "operand of ~ must be an integer");
  }
  if (node.op != Operator::kPlus) {
    const Op op = node.op == Operator::kComplement ? Op::kNot : floating ? Op::kFNeg : Op::kNeg;
    const std::optional<uint64_t> constant = operand.code.constant();
    if (constant && !floating) {
      operand.code = Fragment();
      operand.code.Const(op == Op::kNot ? ~*constant : 0 - *constant);
    } else {
      operand.code.Emit(op);
    }
    if (!floating) Wrap(operand.code, operand.number);
  }
  return NumberCell(operand.number, std::move(operand.code), node.column);
}

Result<Value> Compiler::Binary(const Node& node) {
  if (node.op == Operator::kAndAnd || node.op == Operator::kOrOr) return Logic(node);
  SF_ASSIGN_OR_RETURN(const Value left, Compile(*node.child[0]));
  SF_ASSIGN_OR_RETURN(const Value right, Compile(*node.child[1]));
  if (IsComparison(node.op)) return Compare(node, left, right);
  const auto is_pointer = [this](const Value& value) {
    const TypeKind kind = TypeOf(value).kind;
    return value.form != Form::kLiteral && (kind == TypeKind::kPointer || kind == TypeKind::kArray);
  };
  const bool sum = node.op == Operator::kAdd || node.op == Operator::kSub;
  if (sum && (is_pointer(left) || is_pointer(right))) return PointerArithmetic(node, left, right);
  return Arithmetic(node, left, right);
}

// [left] if it decides, else [right]: the right side runs only when it must ([expr.log.and]).
Result<Value> Compiler::Logic(const Node& node) {
  const bool is_and = node.op == Operator::kAndAnd;
  SF_ASSIGN_OR_RETURN(const Value left, Compile(*node.child[0]));
  SF_ASSIGN_OR_RETURN(const Value right, Compile(*node.child[1]));
  SF_ASSIGN_OR_RETURN(Fragment code, ToBool(left));
  SF_ASSIGN_OR_RETURN(const Fragment other, ToBool(right));
  code.Emit(Op::kDup);
  const size_t decided = code.Jump(is_and ? Op::kJumpIfZero : Op::kJumpIfNonZero);
  code.Emit(Op::kDrop);
  code.Append(other);
  code.Bind(decided);
  return Cell(BoolType(unit_), std::move(code), node.column);
}

Result<Value> Compiler::Arithmetic(const Node& node, const Value& left, const Value& right) {
  SF_ASSIGN_OR_RETURN(Operand a, ToOperand(left, node));
  SF_ASSIGN_OR_RETURN(Operand b, ToOperand(right, node));
  const bool shift = node.op == Operator::kShl || node.op == Operator::kShr;
  const Number type = shift ? a.number : CommonType(a.number, b.number);
  const bool floating = IsFloating(type) || IsFloating(b.number);
  const std::optional<Op> float_op = FloatOp(node.op);
  if (floating && !float_op) {
    return BadExpression(node.column,
                         "operands of " + std::string(OperatorText(node.op)) + " must be integers");
  }
  const std::optional<uint64_t> divisor = b.code.constant();
  Convert(a.code, a.number, type);
  if (!shift) Convert(b.code, b.number, type);
  a.code.Append(b.code);
  a.code.Emit(floating ? *float_op : IntegerOp(node.op, IsSigned(type)));
  const bool may_overflow = !divisor || *divisor == ~uint64_t{0};
  if (node.op == Operator::kDiv && type == Number::kInt && may_overflow) CheckQuotient(a.code);
  Wrap(a.code, type);
  return NumberCell(type, std::move(a.code), node.column);
}

Result<Value> Compiler::PointerArithmetic(const Node& node, Value left, Value right) {
  SF_RETURN_IF_ERROR(CheckRawMemory(node.column));
  const auto loaded = [this](Value value) -> Result<Value> { return Load(value); };
  SF_ASSIGN_OR_RETURN(left, loaded(std::move(left)));
  SF_ASSIGN_OR_RETURN(right, loaded(std::move(right)));
  const bool left_pointer = TypeOf(left).kind == TypeKind::kPointer;
  const bool right_pointer = TypeOf(right).kind == TypeKind::kPointer;
  const Value& pointer = left_pointer ? left : right;
  const Value& offset = left_pointer ? right : left;
  const uint32_t size = unit_.types[TypeOf(pointer).target].size_bytes;
  if (size == 0) {
    return BadExpression(node.column, "arithmetic on " + Quote(pointer.type) +
                                          ": the size of what it points to is not known");
  }
  Fragment code = pointer.code;
  if (left_pointer && right_pointer) {
    if (node.op != Operator::kSub) return BadExpression(node.column, "pointers cannot be added");
    if (size != unit_.types[TypeOf(right).target].size_bytes) {
      return BadExpression(node.column, "pointers to different types cannot be subtracted");
    }
    code.Append(right.code);
    code.Emit(Op::kSub);
    code.Const(size);
    code.Emit(Op::kDivS);
    return NumberCell(Number::kLong, std::move(code), node.column);
  }
  const std::optional<Number> number = PromotedType(unit_, offset.type, 0);
  const bool reversed = node.op == Operator::kSub && !left_pointer;
  if (!number || IsFloating(*number) || IsScopedEnum(TypeOf(offset)) || reversed) {
    return BadExpression(node.column,
                         "a pointer takes an integer with " + std::string(OperatorText(node.op)));
  }
  code.Append(offset.code);
  code.Const(size);
  code.Emit(Op::kMul);
  code.Emit(node.op == Operator::kAdd ? Op::kAdd : Op::kSub);
  return Cell(pointer.type, std::move(code), node.column);
}

Fragment Compiler::Merge(Fragment condition, const Fragment& yes, const Fragment& no) {
  const size_t otherwise = condition.Jump(Op::kJumpIfZero);
  condition.Append(yes);
  const size_t end = condition.Jump(Op::kJump);
  condition.Bind(otherwise);
  condition.Append(no);
  condition.Bind(end);
  return condition;
}

Result<TypeId> Compiler::CommonPointer(const Value& left, const Value& right,
                                       uint32_t column) const {
  const auto is_null = [this](const Value& value) {
    return value.zero_literal || TypeOf(value).kind == TypeKind::kNullptr;
  };
  const TypeNode& a = TypeOf(left);
  const TypeNode& b = TypeOf(right);
  if (a.kind == TypeKind::kPointer && is_null(right)) return left.type;
  if (b.kind == TypeKind::kPointer && is_null(left)) return right.type;
  const bool same = a.kind == b.kind && a.target == b.target;
  if (same && (a.kind == TypeKind::kPointer || a.kind == TypeKind::kNullptr)) return left.type;
  return BadExpression(column, "?: of " + Quote(left.type) + " and " + Quote(right.type));
}

Result<Value> Compiler::Conditional(const Node& node) {
  SF_ASSIGN_OR_RETURN(const Value test, Compile(*node.child[0]));
  SF_ASSIGN_OR_RETURN(const Value yes, Compile(*node.child[1]));
  SF_ASSIGN_OR_RETURN(const Value no, Compile(*node.child[2]));
  SF_ASSIGN_OR_RETURN(const Fragment condition, ToBool(test));
  if (yes.form == Form::kLiteral || no.form == Form::kLiteral) {
    return BadExpression(node.column, "string literals in ?: are not supported");
  }
  Value out;
  out.column = node.column;
  const bool memory = yes.form == Form::kMemory && no.form == Form::kMemory;
  if (memory && yes.type == no.type && yes.bit_size == 0 && no.bit_size == 0) {
    out.form = Form::kMemory;
    out.type = yes.type;
    out.code = Merge(condition, yes.code, no.code);
    return out;
  }
  const std::optional<Number> a = PromotedType(unit_, yes.type, yes.bit_size);
  const std::optional<Number> b = PromotedType(unit_, no.type, no.bit_size);
  const bool pointers = !a || !b;
  SF_ASSIGN_OR_RETURN(Value left, Load(yes));
  SF_ASSIGN_OR_RETURN(Value right, Load(no));
  if (pointers) {
    SF_ASSIGN_OR_RETURN(out.type, CommonPointer(left, right, node.column));
    out.code = Merge(condition, left.code, right.code);
    return out;
  }
  const bool bools = TypeOf(left).kind == TypeKind::kBool && TypeOf(right).kind == TypeKind::kBool;
  out.type = left.type;
  if (left.type != right.type && !bools && !IsSameEnum(unit_, left.type, right.type)) {
    if (IsScopedEnum(TypeOf(left)) || IsScopedEnum(TypeOf(right))) {
      return BadExpression(node.column, "?: of " + Quote(left.type) + " and " + Quote(right.type));
    }
    const Number common = CommonType(*a, *b);
    Convert(left.code, *a, common);
    Convert(right.code, *b, common);
    out.type = NumberType(unit_, common);
  }
  out.code = Merge(condition, left.code, right.code);
  return out;
}

}  // namespace stillframe::expression
