// Tokens -> syntax tree. Internal to the expression compiler.
#ifndef STILLFRAME_SYMBOLIZER_EXPRESSION_PARSER_H_
#define STILLFRAME_SYMBOLIZER_EXPRESSION_PARSER_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "symbolizer/expression_lexer.h"

namespace stillframe::expression {

enum class NodeKind : uint8_t {
  kInteger,
  kReal,
  kBool,  // integer: 0 or 1
  kChar,
  kString,  // text: the bytes
  kNullptr,
  kName,         // text: possibly qualified, "this" included
  kUnary,        // op, child[0]
  kBinary,       // op, child[0], child[1]
  kConditional,  // child[0] ? child[1] : child[2]
  kMember,       // child[0] . text, or -> when arrow
  kMethod,       // the same with ()
  kIndex,        // child[0] [ child[1] ]
};

enum class Operator : uint8_t {
  // clang-format off
  kNone,
  kNot, kNegate, kPlus, kComplement, kDereference, kAddressOf,
  kOrOr, kAndAnd, kBitOr, kBitXor, kBitAnd, kEq, kNe, kLt, kGt, kLe, kGe, kShl, kShr,
  kAdd, kSub, kMul, kDiv, kMod,
  // clang-format on
};

struct Node {
  NodeKind kind = NodeKind::kInteger;
  Operator op = Operator::kNone;
  bool arrow = false;
  uint32_t column = 1;  // of the operator, the name or the literal
  uint32_t height = 1;  // bounds the recursion of whoever walks the tree
  uint64_t integer = 0;
  double real = 0;
  Number number = Number::kInt;
  std::string text;
  std::array<std::unique_ptr<Node>, 3> child;
};

// A tree is never higher than this.
inline constexpr uint32_t kMaxHeight = 200;

// kBadExpression ("column N: ...") for everything outside the language of expression.h.
Result<std::unique_ptr<Node>> Parse(std::string_view text);

// "+" and so on, for messages.
std::string_view OperatorText(Operator op);

}  // namespace stillframe::expression

#endif  // STILLFRAME_SYMBOLIZER_EXPRESSION_PARSER_H_
