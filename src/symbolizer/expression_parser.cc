// A Pratt parser: one loop, driven by binding powers (C++20 [expr], precedence as in its grammar).
#include "symbolizer/expression_parser.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include "symbolizer/expression.h"
#include "symbolizer/expression_token_reader.h"

namespace stillframe::expression {
namespace {

using NodePtr = std::unique_ptr<Node>;

// Parentheses, prefix operators and conditionals inside each other.
constexpr uint32_t kMaxNesting = 64;

struct BinaryRule {
  std::string_view text;
  Operator op;
  int power;  // higher binds tighter
};
constexpr int kConditionalPower = 1;
constexpr auto kBinaryRules = std::to_array<BinaryRule>({
    {"||", Operator::kOrOr, 2},    {"or", Operator::kOrOr, 2}, {"&&", Operator::kAndAnd, 3},
    {"and", Operator::kAndAnd, 3}, {"|", Operator::kBitOr, 4}, {"^", Operator::kBitXor, 5},
    {"&", Operator::kBitAnd, 6},   {"==", Operator::kEq, 7},   {"!=", Operator::kNe, 7},
    {"<", Operator::kLt, 8},       {">", Operator::kGt, 8},    {"<=", Operator::kLe, 8},
    {">=", Operator::kGe, 8},      {"<<", Operator::kShl, 9},  {">>", Operator::kShr, 9},
    {"+", Operator::kAdd, 10},     {"-", Operator::kSub, 10},  {"*", Operator::kMul, 11},
    {"/", Operator::kDiv, 11},     {"%", Operator::kMod, 11},
});

struct PrefixRule {
  std::string_view text;
  Operator op;
};
constexpr auto kPrefixRules = std::to_array<PrefixRule>({
    {"!", Operator::kNot},
    {"not", Operator::kNot},
    {"-", Operator::kNegate},
    {"+", Operator::kPlus},
    {"~", Operator::kComplement},
    {"*", Operator::kDereference},
    {"&", Operator::kAddressOf},
});

struct MethodRule {
  std::string_view name;
  bool takes_argument;
};
constexpr auto kMethods = std::to_array<MethodRule>({
    {"size", false},
    {"length", false},
    {"empty", false},
    {"has_value", false},
    {"value", false},
    {"get", false},
    {"load", false},
    {"what", false},
    {"front", false},
    {"back", false},
    {"index", false},
    {"at", true},
    {"contains", true},
    {"count", true},
    {"starts_with", true},
    {"ends_with", true},
});

constexpr auto kRanges = std::to_array<std::string_view>({"any", "all", "count", "filter"});
constexpr auto kCastWords =
    std::to_array<std::string_view>({"static_cast", "reinterpret_cast", "const_cast"});
class Parser : private TokenReader {
 public:
  explicit Parser(std::vector<Token> tokens) : TokenReader(std::move(tokens)) {}

  Result<NodePtr> Run() {
    SF_ASSIGN_OR_RETURN(NodePtr root, Expression(0));
    if (Peek().kind != TokenKind::kEnd) return Unexpected();
    return root;
  }

 private:
  static NodePtr Make(NodeKind kind, const Token& token) {
    auto node = std::make_unique<Node>();
    node->kind = kind;
    node->column = token.column;
    node->integer = token.integer;
    node->real = token.real;
    node->number = token.number;
    return node;
  }

  // Hangs the children in; fails when the tree becomes too high.
  Result<NodePtr> Join(NodePtr node, NodePtr a, NodePtr b = nullptr, NodePtr c = nullptr) {
    node->child = {std::move(a), std::move(b), std::move(c)};
    for (const NodePtr& child : node->child) {
      if (child != nullptr) node->height = std::max(node->height, child->height + 1);
    }
    if (node->height > kMaxHeight) {
      return BadExpression(node->column, "the expression has too many operators");
    }
    return node;
  }

  // Everything that binds tighter than `power`.
  Result<NodePtr> Expression(int power) {
    if (nesting_ >= kMaxNesting) return BadExpression(Peek().column, "nested too deeply");
    ++nesting_;
    Result<NodePtr> result = Operators(power);
    --nesting_;
    return result;
  }

  Result<NodePtr> Operators(int power) {
    SF_ASSIGN_OR_RETURN(NodePtr left, Prefix());
    for (;;) {
      if (power < kConditionalPower && Is("?")) {
        SF_ASSIGN_OR_RETURN(left, Conditional(std::move(left)));
        continue;
      }
      const BinaryRule* rule = FindBinary();
      if (rule == nullptr || rule->power <= power) return left;
      NodePtr node = Make(NodeKind::kBinary, Take());
      node->op = rule->op;
      SF_ASSIGN_OR_RETURN(NodePtr right, Expression(rule->power));
      SF_ASSIGN_OR_RETURN(left, Join(std::move(node), std::move(left), std::move(right)));
    }
  }

  const BinaryRule* FindBinary() const {
    for (const BinaryRule& rule : kBinaryRules) {
      if (Is(rule.text)) return &rule;
    }
    return nullptr;
  }

  // Right-associative: a ? b : c ? d : e is a ? b : (c ? d : e).
  Result<NodePtr> Conditional(NodePtr condition) {
    NodePtr node = Make(NodeKind::kConditional, Take());
    SF_ASSIGN_OR_RETURN(NodePtr yes, Expression(0));
    SF_RETURN_IF_ERROR(Expect(":"));
    SF_ASSIGN_OR_RETURN(NodePtr no, Expression(0));
    return Join(std::move(node), std::move(condition), std::move(yes), std::move(no));
  }

  Result<NodePtr> Prefix() {
    for (const PrefixRule& rule : kPrefixRules) {
      if (!Is(rule.text)) continue;
      if (nesting_ >= kMaxNesting) return BadExpression(Peek().column, "nested too deeply");
      NodePtr node = Make(NodeKind::kUnary, Take());
      node->op = rule.op;
      ++nesting_;
      Result<NodePtr> operand = Prefix();
      --nesting_;
      if (!operand.ok()) return operand;
      return Join(std::move(node), *std::move(operand));
    }
    SF_ASSIGN_OR_RETURN(NodePtr primary, Primary());
    return Postfix(std::move(primary));
  }

  Result<NodePtr> Primary() {
    const Token& token = Peek();
    switch (token.kind) {
      case TokenKind::kInteger:
        return Make(NodeKind::kInteger, Take());
      case TokenKind::kReal:
        return Make(NodeKind::kReal, Take());
      case TokenKind::kChar:
        return Make(NodeKind::kChar, Take());
      case TokenKind::kString:
        return String();
      case TokenKind::kName:
        return Name();
      default:
        break;
    }
    if (Is("::")) return Name();
    if (!Is("(")) return Unexpected();
    const Token parenthesis = Take();
    const size_t start = position();
    const std::string type = TakeType();
    if (!type.empty() && Accept(")") && BeginsOperand(type)) return CStyleCast(parenthesis, type);
    GoBackTo(start);
    SF_ASSIGN_OR_RETURN(NodePtr inner, Expression(0));
    SF_RETURN_IF_ERROR(Expect(")"));
    return inner;
  }

  Result<NodePtr> CStyleCast(const Token& at, const std::string& type) {
    NodePtr node = Make(NodeKind::kCast, at);
    node->type = type;
    if (nesting_ >= kMaxNesting) return BadExpression(at.column, "nested too deeply");
    ++nesting_;
    Result<NodePtr> operand = Prefix();
    --nesting_;
    if (!operand.ok()) return operand;
    return Join(std::move(node), *std::move(operand));
  }

  // "<T>" of a named cast, holds and get.
  Result<std::string> AngledType() {
    SF_RETURN_IF_ERROR(Expect("<"));
    const Token token = Peek();
    std::string type = token.kind == TokenKind::kInteger ? std::string(Take().text) : TakeType();
    if (type.empty()) return BadExpression(token.column, "expected a type");
    SF_RETURN_IF_ERROR(Expect(">"));
    return type;
  }

  // "(x)" behind what needs one operand.
  Result<NodePtr> Operand(NodePtr node) {
    SF_RETURN_IF_ERROR(Expect("("));
    SF_ASSIGN_OR_RETURN(NodePtr operand, Expression(0));
    SF_RETURN_IF_ERROR(Expect(")"));
    return Join(std::move(node), std::move(operand));
  }

  // static_cast<T>(x), std::get<T>(x), std::holds_alternative<T>(x).
  Result<NodePtr> Angled(NodePtr node) {
    SF_ASSIGN_OR_RETURN(node->type, AngledType());
    return Operand(std::move(node));
  }

  // long(x).
  Result<NodePtr> TypeCall() {
    NodePtr node = Make(NodeKind::kCast, Peek());
    node->type = TakeType();
    if (!Is("(")) {
      return BadExpression(node->column, "a type is no value; casts are written (T)x or T(x)");
    }
    return Operand(std::move(node));
  }

  // sizeof(T), sizeof(x), sizeof x.
  Result<NodePtr> Sizeof() {
    NodePtr node = Make(NodeKind::kSizeof, Take());
    if (Is("(")) {
      const size_t start = position();
      Take();
      node->type = TakeType();
      if (!node->type.empty() && Accept(")")) return node;
      node->type.clear();
      GoBackTo(start);
    }
    if (nesting_ >= kMaxNesting) return BadExpression(node->column, "nested too deeply");
    ++nesting_;
    Result<NodePtr> operand = Prefix();
    --nesting_;
    if (!operand.ok()) return operand;
    return Join(std::move(node), *std::move(operand));
  }

  // any(range, x -> condition) and its kin.
  Result<NodePtr> Range(NodePtr node) {
    SF_RETURN_IF_ERROR(Expect("("));
    SF_ASSIGN_OR_RETURN(NodePtr range, Expression(0));
    SF_RETURN_IF_ERROR(Expect(","));
    if (Peek().kind != TokenKind::kName || IsReserved() || IsTypeWord()) {
      return BadExpression(Peek().column, "expected a name for the element, as in " + node->text +
                                              "(range, x -> x > 1)");
    }
    node->type = Take().text;
    SF_RETURN_IF_ERROR(Expect("->"));
    SF_ASSIGN_OR_RETURN(NodePtr condition, Expression(0));
    SF_RETURN_IF_ERROR(Expect(")"));
    return Join(std::move(node), std::move(range), std::move(condition));
  }

  // Adjacent literals are one.
  Result<NodePtr> String() {
    NodePtr node = Make(NodeKind::kString, Peek());
    while (Peek().kind == TokenKind::kString) node->text += Take().bytes;
    return node;
  }

  Result<NodePtr> Name() {
    if (IsReserved()) return Unexpected();
    if (Is("sizeof")) return Sizeof();
    if (IsTypeWord()) return TypeCall();
    NodePtr node = Make(NodeKind::kName, Peek());
    if (IsOneOf(kCastWords, Peek().text)) {
      node->kind = NodeKind::kCast;
      node->text = Take().text;
      return Angled(std::move(node));
    }
    Accept("::");  // "::x" is x of the global namespace; debug information has no other x
    for (;;) {
      if (Peek().kind != TokenKind::kName || IsReserved()) return Unexpected();
      node->text += Take().text;
      if (!Accept("::")) break;
      node->text += "::";
    }
    if (Is("(") && IsOneOf(kRanges, node->text)) {
      node->kind = NodeKind::kRange;
      return Range(std::move(node));
    }
    if (Is("<") && (node->text == "std::get" || node->text == "std::holds_alternative")) {
      node->kind = node->text == "std::get" ? NodeKind::kAlternative : NodeKind::kHolds;
      return Angled(std::move(node));
    }
    if (Is("(")) return MaybeCast(std::move(node));
    if (node->text == "nullptr") {
      node->kind = NodeKind::kNullptr;
    } else if (node->text == "true" || node->text == "false") {
      node->kind = NodeKind::kBool;
      node->integer = node->text == "true" ? 1 : 0;
    }
    return node;
  }

  // Tier(x): whether that is a type only the debug information knows.
  Result<NodePtr> MaybeCast(NodePtr node) {
    node->kind = NodeKind::kCast;
    node->type = node->text;
    node->text = "()";
    Take();
    if (Is(")")) return BadExpression(node->column, std::string(kCallsNotSupported));
    SF_ASSIGN_OR_RETURN(NodePtr operand, Expression(0));
    if (Is(",")) return BadExpression(node->column, std::string(kCallsNotSupported));
    SF_RETURN_IF_ERROR(Expect(")"));
    return Join(std::move(node), std::move(operand));
  }

  Result<NodePtr> Postfix(NodePtr operand) {
    for (;;) {
      if (Is(".") || Is("->")) {
        SF_ASSIGN_OR_RETURN(operand, Member(std::move(operand)));
      } else if (Is("[")) {
        NodePtr node = Make(NodeKind::kIndex, Take());
        SF_ASSIGN_OR_RETURN(NodePtr index, Expression(0));
        SF_RETURN_IF_ERROR(Expect("]"));
        SF_ASSIGN_OR_RETURN(operand, Join(std::move(node), std::move(operand), std::move(index)));
      } else if (Is("(")) {
        return BadExpression(Peek().column, std::string(kCallsNotSupported));
      } else {
        return operand;
      }
    }
  }

  Result<NodePtr> Member(NodePtr object) {
    const bool arrow = Take().text == "->";
    if (Peek().kind != TokenKind::kName) {
      const Status unexpected = Unexpected();
      return Status(unexpected.code(), unexpected.message() + ", expected a member's name");
    }
    const Token name = Take();
    NodePtr node = Make(NodeKind::kMember, name);
    node->text = name.text;
    node->arrow = arrow;
    if (name.text == "holds" && Is("<")) {
      node->kind = NodeKind::kHolds;
      SF_ASSIGN_OR_RETURN(node->type, AngledType());
      SF_RETURN_IF_ERROR(Expect("("));
      SF_RETURN_IF_ERROR(Expect(")"));
    } else if (Is("(")) {
      return Method(std::move(node), name, std::move(object));
    }
    return Join(std::move(node), std::move(object));
  }

  Result<NodePtr> Method(NodePtr node, const Token& name, NodePtr object) {
    const auto rule = std::find_if(kMethods.begin(), kMethods.end(), [&](const MethodRule& known) {
      return known.name == name.text;
    });
    if (rule == kMethods.end()) return BadExpression(name.column, std::string(kCallsNotSupported));
    node->kind = NodeKind::kMethod;
    Take();
    const bool of_duration = name.text == "count" && Is(")");
    if (rule->takes_argument && !of_duration) {
      SF_ASSIGN_OR_RETURN(NodePtr argument, Expression(0));
      SF_RETURN_IF_ERROR(Expect(")"));
      return Join(std::move(node), std::move(object), std::move(argument));
    }
    if (!Accept(")")) {
      return BadExpression(Peek().column,
                           "expected ')': ." + std::string(name.text) + "() takes no arguments");
    }
    return Join(std::move(node), std::move(object));
  }

  uint32_t nesting_ = 0;
};

}  // namespace

Result<std::unique_ptr<Node>> Parse(std::string_view text) {
  if (text.size() > kMaxExpressionBytes) {
    return BadExpression(kMaxExpressionBytes + 1,
                         "longer than " + std::to_string(kMaxExpressionBytes) + " bytes");
  }
  SF_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(text));
  return Parser(std::move(tokens)).Run();
}

std::string_view OperatorText(Operator op) {
  for (const BinaryRule& rule : kBinaryRules) {
    if (rule.op == op) return rule.text;
  }
  for (const PrefixRule& rule : kPrefixRules) {
    if (rule.op == op) return rule.text;
  }
  return "?";
}

}  // namespace stillframe::expression
