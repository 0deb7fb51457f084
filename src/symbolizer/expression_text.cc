// Texts: std::string of both libraries, string_view, char arrays, C strings, literals, $trace.
#include <algorithm>

#include "symbolizer/expression_compiler.h"

namespace stillframe::expression {
namespace {

// Of a C string of which nothing tells where it ends.
constexpr int64_t kMaxCStringBytes = 4096;
constexpr uint32_t kTraceDigits = 32;

TextTest TestOf(const std::string& method) {
  if (method == "starts_with") return TextTest::kStartsWith;
  return method == "ends_with" ? TextTest::kEndsWith : TextTest::kContains;
}

Operator Mirrored(Operator op) {
  switch (op) {
    case Operator::kLt:
      return Operator::kGt;
    case Operator::kGt:
      return Operator::kLt;
    case Operator::kLe:
      return Operator::kGe;
    case Operator::kGe:
      return Operator::kLe;
    default:
      return op;
  }
}

bool IsTextView(ViewKind kind) {
  return kind == ViewKind::kString || kind == ViewKind::kStringView ||
         kind == ViewKind::kShortString;
}

}  // namespace

bool Compiler::IsText(const Value& value) const {
  if (value.form == Form::kLiteral) return true;
  const TypeNode& type = TypeOf(value);
  const View& view = ViewOf(value);
  if (IsTextView(view.kind)) return unit_.types[view.element].kind == TypeKind::kChar;
  const bool points = type.kind == TypeKind::kPointer || type.kind == TypeKind::kArray;
  return points && unit_.types[type.target].kind == TypeKind::kChar;
}

Result<Fragment> Compiler::PushText(const Value& value) {
  const TypeNode type = TypeOf(value);
  const View view = ViewOf(value);
  if ((unit_.types[IsTextView(view.kind) ? view.element : type.target].flags & kFlagRedacted) !=
      0) {
    return Status(Code::kRedacted, "column " + std::to_string(value.column) + ": " +
                                       Quote(value.type) + " is redacted");
  }
  if (value.is_trace) return BadExpression(value.column, "$trace is compared with literals only");
  if (view.kind == ViewKind::kString || view.kind == ViewKind::kStringView) {
    return PushFields(value, {view.a, view.b});
  }
  if (view.kind == ViewKind::kShortString) {
    if (value.form != Form::kMemory) {
      return Status(Code::kUnsupportedLocation,
                    "column " + std::to_string(value.column) + ": the string is not in memory");
    }
    SF_ASSIGN_OR_RETURN(const uint8_t object, NewLocal(value.column));
    --locals_;  // nothing else runs while it is in use
    Fragment code = value.code;
    code.Set(object);
    code.Get(object);
    code.AddImm(view.d);
    code.Load(1, false);
    code.Const(view.left);
    code.Emit(Op::kAnd);
    const size_t is_short = code.Jump(Op::kJumpIfZero);
    for (const uint32_t field : {view.a, view.b}) {
      code.Get(object);
      code.AddImm(field);
      code.Load(8, false);
    }
    const size_t end = code.Jump(Op::kJump);
    code.Bind(is_short);
    code.Get(object);
    code.AddImm(view.c);
    code.Get(object);
    code.AddImm(view.d);
    code.Load(1, false);
    if (view.left == 1) {
      code.Const(1);
      code.Emit(Op::kShrU);
    }
    code.Bind(end);
    return code;
  }
  SF_ASSIGN_OR_RETURN(Value address, Load(value));
  const bool array = type.kind == TypeKind::kArray && type.count != 0;
  address.code.Emit(Op::kDup);
  address.code.Emit(Op::kTextLength, 0, array ? 1 : 0,
                    array ? static_cast<int64_t>(type.count) : kMaxCStringBytes);
  return std::move(address.code);
}

// Pushes whether the text is `text`.
Result<Fragment> Compiler::TextEquals(const Value& object, std::string_view text, uint32_t column) {
  if (object.is_trace) return TraceStartsWith(text, true);
  const TypeNode type = TypeOf(object);
  if (!IsText(object)) {
    return BadExpression(column, "cannot compare " + Quote(object.type) + " with a string literal");
  }
  const auto literal = static_cast<int64_t>(InternString(unit_, text));
  if (IsTextView(ViewOf(object).kind)) {
    SF_ASSIGN_OR_RETURN(Fragment code, PushText(object));
    code.Emit(Op::kStringEq, 0, 0, literal);
    return code;
  }
  SF_ASSIGN_OR_RETURN(Value address, Load(object));
  // An array need not be terminated: never look behind it.
  const bool array = type.kind == TypeKind::kArray && type.count != 0;
  if (array && text.size() > type.count) {
    Fragment never;
    never.Const(0);
    return never;
  }
  if (array && text.size() == type.count) {
    address.code.Const(type.count);
    address.code.Emit(Op::kStringEq, 0, 0, literal);
  } else {
    address.code.Emit(Op::kCStringEq, 0, 0, literal);
  }
  return std::move(address.code);
}

// The digits are compared eight at a time; without a trace they are all zero bytes.
Result<Fragment> Compiler::TraceStartsWith(std::string_view text, bool whole) {
  Fragment code;
  if (text.size() > kTraceDigits || (whole && !text.empty() && text.size() < kTraceDigits)) {
    code.Const(0);
    return code;
  }
  if (text.empty()) {
    code.Emit(Op::kFact, static_cast<uint8_t>(Fact::kTrace0));
    code.Emit(whole ? Op::kLogicalNot : Op::kBool);
    return code;
  }
  for (size_t at = 0; at < text.size(); at += 8) {
    const size_t size = std::min<size_t>(8, text.size() - at);
    uint64_t expected = 0;
    for (size_t i = 0; i < size; ++i) {
      const char c = text[at + i];
      const char lower = static_cast<char>(c >= 'A' && c <= 'F' ? c | 0x20 : c);
      expected |= uint64_t{static_cast<unsigned char>(lower)} << (8 * i);
    }
    code.Emit(Op::kFact, static_cast<uint8_t>(static_cast<size_t>(Fact::kTrace0) + at / 8));
    if (size < 8) {
      code.Const((uint64_t{1} << (8 * size)) - 1);
      code.Emit(Op::kAnd);
    }
    code.Const(expected);
    code.Emit(Op::kEq);
    if (at != 0) code.Emit(Op::kAnd);
  }
  return code;
}

Result<Value> Compiler::CompareTexts(const Node& node, const Value& left, const Value& right) {
  if (left.form == Form::kLiteral) {
    Node mirrored;
    mirrored.kind = node.kind;
    mirrored.op = Mirrored(node.op);
    mirrored.column = node.column;
    return CompareTexts(mirrored, right, left);
  }
  const bool equality = node.op == Operator::kEq || node.op == Operator::kNe;
  const bool literal = right.form == Form::kLiteral;
  Fragment code;
  if (equality && literal) {
    SF_ASSIGN_OR_RETURN(code, TextEquals(left, right.text, node.column));
    if (node.op == Operator::kNe) code.Emit(Op::kLogicalNot);
    return Cell(BoolType(unit_), std::move(code), node.column);
  }
  SF_ASSIGN_OR_RETURN(code, PushText(left));
  int64_t other = -1;
  if (literal) {
    other = static_cast<int64_t>(InternString(unit_, right.text));
  } else {
    SF_ASSIGN_OR_RETURN(const Fragment pushed, PushText(right));
    code.Append(pushed);
  }
  const TextTest test = equality ? TextTest::kEqual : TextTest::kOrder;
  code.Emit(Op::kTextTest, static_cast<uint8_t>(test), 0, other);
  if (equality) {
    if (node.op == Operator::kNe) code.Emit(Op::kLogicalNot);
  } else {
    code.Const(0);
    EmitComparison(code, node.op, Op::kEq, Op::kNe, Op::kLtS, Op::kLeS);
  }
  return Cell(BoolType(unit_), std::move(code), node.column);
}

// starts_with, ends_with, contains.
Result<Value> Compiler::TextMethod(const Value& object, const Value& argument, const Node& node) {
  if (!IsText(argument)) {
    return BadExpression(argument.column,
                         "." + node.text + "() takes a string, not " + Quote(argument.type));
  }
  if (object.is_trace) {
    if (node.text != "starts_with" || argument.form != Form::kLiteral) {
      return BadExpression(node.column, "$trace has ==, !=, .empty() and .starts_with(\"…\")");
    }
    SF_ASSIGN_OR_RETURN(Fragment code, TraceStartsWith(argument.text, false));
    return Cell(BoolType(unit_), std::move(code), node.column);
  }
  SF_ASSIGN_OR_RETURN(Fragment code, PushText(object));
  int64_t other = -1;
  if (argument.form == Form::kLiteral) {
    other = static_cast<int64_t>(InternString(unit_, argument.text));
  } else {
    SF_ASSIGN_OR_RETURN(const Fragment pushed, PushText(argument));
    code.Append(pushed);
  }
  code.Emit(Op::kTextTest, static_cast<uint8_t>(TestOf(node.text)), 0, other);
  return Cell(BoolType(unit_), std::move(code), node.column);
}

}  // namespace stillframe::expression
