// Comparisons and the conversion to bool.
#include "symbolizer/expression_compiler.h"

namespace stillframe::expression {
void EmitComparison(Fragment& code, Operator op, Op equal, Op unequal, Op less, Op less_equal) {
  if (op == Operator::kGt || op == Operator::kGe) code.Emit(Op::kSwap);
  switch (op) {
    case Operator::kEq:
      return code.Emit(equal);
    case Operator::kNe:
      return code.Emit(unequal);
    case Operator::kLt:
    case Operator::kGt:
      return code.Emit(less);
    default:
      return code.Emit(less_equal);
  }
}

bool Compiler::IsPointerLike(const Value& value) const {
  if (value.form == Form::kLiteral) return false;
  const TypeKind kind = TypeOf(value).kind;
  const ViewKind view = ViewOf(value).kind;
  return kind == TypeKind::kPointer || kind == TypeKind::kArray || kind == TypeKind::kNullptr ||
         view == ViewKind::kUniquePtr || view == ViewKind::kSharedPtr;
}

Result<Fragment> Compiler::PointerCell(const Value& value) {
  if (value.zero_literal) return value.code;
  const ViewKind view = ViewOf(value).kind;
  const bool smart = view == ViewKind::kUniquePtr || view == ViewKind::kSharedPtr;
  SF_ASSIGN_OR_RETURN(Value cell, smart ? RawPointer(value) : Load(value));
  return std::move(cell.code);
}

Result<Value> Compiler::Compare(const Node& node, const Value& left_side, const Value& right_side) {
  SF_ASSIGN_OR_RETURN(const Value left, Unwrap(left_side));
  SF_ASSIGN_OR_RETURN(const Value right, Unwrap(right_side));
  const bool left_text = left.form == Form::kLiteral;
  const bool right_text = right.form == Form::kLiteral;
  if (left_text && right_text) return BadExpression(node.column, "comparison of two literals");
  const auto points = [this](const Value& value) {
    return value.form != Form::kLiteral && TypeOf(value).kind == TypeKind::kPointer;
  };
  // Two pointers are compared as C++ does; nobody who writes ptr == "text" means that.
  if (IsText(left) && IsText(right) && !(points(left) && points(right))) {
    return CompareTexts(node, left, right);
  }
  if (left_text || right_text) {
    return BadExpression(
        node.column,
        "cannot compare " + Quote(left_text ? right.type : left.type) + " with a string literal");
  }
  if (IsPointerLike(left) || IsPointerLike(right)) return ComparePointers(node, left, right);
  return CompareNumbers(node, left, right);
}

Result<Value> Compiler::ComparePointers(const Node& node, const Value& left, const Value& right) {
  const bool left_fits = IsPointerLike(left) || left.zero_literal;
  const bool right_fits = IsPointerLike(right) || right.zero_literal;
  if (!left_fits || !right_fits) {
    return BadExpression(node.column,
                         "cannot compare " + Quote(left.type) + " with " + Quote(right.type));
  }
  SF_ASSIGN_OR_RETURN(Fragment code, PointerCell(left));
  SF_ASSIGN_OR_RETURN(const Fragment other, PointerCell(right));
  code.Append(other);
  EmitComparison(code, node.op, Op::kEq, Op::kNe, Op::kLtU, Op::kLeU);
  return Cell(BoolType(unit_), std::move(code), node.column);
}

Result<Value> Compiler::CompareNumbers(const Node& node, const Value& left, const Value& right) {
  if (IsText(left) || IsText(right)) {
    return BadExpression(node.column,
                         "cannot compare " + Quote(left.type) + " with " + Quote(right.type));
  }
  const bool left_scoped = IsScopedEnum(TypeOf(left));
  const bool right_scoped = IsScopedEnum(TypeOf(right));
  if (left_scoped && right_scoped && !IsSameEnum(unit_, left.type, right.type)) {
    return BadExpression(node.column,
                         "cannot compare " + Quote(left.type) + " with " + Quote(right.type));
  }
  SF_ASSIGN_OR_RETURN(Operand a, ToOperand(left, node));
  SF_ASSIGN_OR_RETURN(Operand b, ToOperand(right, node));
  const Number type = CommonType(a.number, b.number);
  Convert(a.code, a.number, type);
  Convert(b.code, b.number, type);
  a.code.Append(b.code);
  if (IsFloating(type)) {
    EmitComparison(a.code, node.op, Op::kFEq, Op::kFNe, Op::kFLt, Op::kFLe);
  } else if (IsSigned(type)) {
    EmitComparison(a.code, node.op, Op::kEq, Op::kNe, Op::kLtS, Op::kLeS);
  } else {
    EmitComparison(a.code, node.op, Op::kEq, Op::kNe, Op::kLtU, Op::kLeU);
  }
  return Cell(BoolType(unit_), std::move(a.code), node.column);
}

Result<Fragment> Compiler::ToBool(const Value& wrapped) {
  SF_ASSIGN_OR_RETURN(const Value value, Unwrap(wrapped));
  if (value.form != Form::kLiteral && ViewOf(value).kind == ViewKind::kOptional) {
    SF_ASSIGN_OR_RETURN(Fragment code, ReadBytes(value, ViewOf(value).a, 1));
    code.Emit(Op::kBool);
    return code;
  }
  if (IsPointerLike(value)) {
    SF_ASSIGN_OR_RETURN(Fragment code, PointerCell(value));
    code.Emit(Op::kBool);
    return code;
  }
  const std::optional<Number> number =
      value.form == Form::kLiteral ? std::nullopt : PromotedType(unit_, value.type, value.bit_size);
  if (!number || IsScopedEnum(TypeOf(value))) {
    const std::string what = value.form == Form::kLiteral ? "a string literal" : Quote(value.type);
    return BadExpression(value.column, what + " cannot be used as true or false");
  }
  SF_ASSIGN_OR_RETURN(Value cell, Load(value));
  if (IsFloating(*number)) {
    cell.code.Const(0);  // the bits of 0.0
    cell.code.Emit(Op::kFNe);
  } else if (TypeOf(cell).kind != TypeKind::kBool) {
    cell.code.Emit(Op::kBool);
  }
  return std::move(cell.code);
}

}  // namespace stillframe::expression
