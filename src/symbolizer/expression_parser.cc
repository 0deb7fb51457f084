// A Pratt parser: one loop, driven by binding powers (C++20 [expr], precedence as in its grammar).
#include "symbolizer/expression_parser.h"

#include <optional>
#include <utility>

#include "symbolizer/expression.h"

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

constexpr auto kMethods = std::to_array<std::string_view>(
    {"size", "length", "empty", "has_value", "get", "front", "back"});

constexpr std::string_view kCalls =
    "calls are not supported; only .size() .length() .empty() .has_value() .get() .front() "
    ".back() are";

// Tokens that a C++ programmer may try, with what to say.
struct Refusal {
  std::string_view text;
  std::string_view message;
};
constexpr std::string_view kAssignment = "assignment is not supported; compare with ==";
constexpr std::string_view kStep = "++ and -- are not supported: an expression changes nothing";
constexpr std::string_view kCasts = "casts are not supported";
constexpr auto kRefusals = std::to_array<Refusal>({
    {"=", kAssignment},
    {"+=", kAssignment},
    {"-=", kAssignment},
    {"*=", kAssignment},
    {"/=", kAssignment},
    {"%=", kAssignment},
    {"&=", kAssignment},
    {"|=", kAssignment},
    {"^=", kAssignment},
    {"<<=", kAssignment},
    {">>=", kAssignment},
    {"++", kStep},
    {"--", kStep},
    {",", "the comma operator is not supported"},
    {"<=>", "<=> is not supported"},
    {".*", "pointers to members are not supported"},
    {"->*", "pointers to members are not supported"},
    {"sizeof", "sizeof is not supported"},
    {"new", "new is not supported: an expression changes nothing"},
    {"delete", "delete is not supported: an expression changes nothing"},
    {"throw", "throw is not supported"},
    {"typeid", "typeid is not supported"},
    {"static_cast", kCasts},
    {"reinterpret_cast", kCasts},
    {"const_cast", kCasts},
    {"dynamic_cast", kCasts},
    {"bool", kCasts},
    {"char", kCasts},
    {"short", kCasts},
    {"int", kCasts},
    {"long", kCasts},
    {"unsigned", kCasts},
    {"signed", kCasts},
    {"float", kCasts},
    {"double", kCasts},
    {"const", kCasts},
});

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Result<NodePtr> Run() {
    SF_ASSIGN_OR_RETURN(NodePtr root, Expression(0));
    if (Peek().kind != TokenKind::kEnd) return Unexpected();
    return root;
  }

 private:
  const Token& Peek() const { return tokens_[at_]; }
  bool Is(std::string_view text) const {
    const TokenKind kind = Peek().kind;
    return (kind == TokenKind::kPunctuator || kind == TokenKind::kName) && Peek().text == text;
  }
  bool Accept(std::string_view text) {
    if (!Is(text)) return false;
    ++at_;
    return true;
  }
  Token Take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }

  Status Unexpected() const {
    const Token& token = Peek();
    if (token.kind == TokenKind::kEnd) {
      return BadExpression(token.column, "unexpected end of the expression");
    }
    for (const Refusal& refusal : kRefusals) {
      if (Is(refusal.text)) return BadExpression(token.column, std::string(refusal.message));
    }
    return BadExpression(token.column, "unexpected '" + std::string(token.text) + "'");
  }

  Status Expect(std::string_view text) {
    if (Accept(text)) return Status();
    const Status unexpected = Unexpected();
    return Status(unexpected.code(),
                  unexpected.message() + ", expected '" + std::string(text) + "'");
  }

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
    if (!Accept("(")) return Unexpected();
    SF_ASSIGN_OR_RETURN(NodePtr inner, Expression(0));
    SF_RETURN_IF_ERROR(Expect(")"));
    return inner;
  }

  // Adjacent literals are one.
  Result<NodePtr> String() {
    NodePtr node = Make(NodeKind::kString, Peek());
    while (Peek().kind == TokenKind::kString) node->text += Take().bytes;
    return node;
  }

  bool IsRefusedName() const {
    for (const Refusal& refusal : kRefusals) {
      if (Is(refusal.text)) return true;
    }
    return false;
  }

  Result<NodePtr> Name() {
    if (IsRefusedName() || FindBinary() != nullptr) return Unexpected();
    NodePtr node = Make(NodeKind::kName, Peek());
    Accept("::");  // "::x" is x of the global namespace; debug information has no other x
    for (;;) {
      if (Peek().kind != TokenKind::kName || IsRefusedName()) return Unexpected();
      node->text += Take().text;
      if (!Accept("::")) break;
      node->text += "::";
    }
    if (Is("(")) return BadExpression(node->column, std::string(kCalls));
    if (node->text == "nullptr") {
      node->kind = NodeKind::kNullptr;
    } else if (node->text == "true" || node->text == "false") {
      node->kind = NodeKind::kBool;
      node->integer = node->text == "true" ? 1 : 0;
    }
    return node;
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
        return BadExpression(Peek().column, std::string(kCalls));
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
    if (Accept("(")) {
      bool known = false;
      for (const std::string_view method : kMethods) known |= method == name.text;
      if (!known) return BadExpression(name.column, std::string(kCalls));
      if (!Accept(")")) {
        return BadExpression(Peek().column,
                             "expected ')': ." + std::string(name.text) + "() takes no arguments");
      }
      node->kind = NodeKind::kMethod;
    }
    return Join(std::move(node), std::move(object));
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
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
