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
  kMethod,       // the same with (), or with (child[1])
  kIndex,        // child[0] [ child[1] ]
  kCast,         // child[0] to `type`; text: "static_cast", …, "" = (T)x and T(x)
  kSizeof,       // of `type`, or of child[0] when there is no type
  kHolds,        // whether the variant child[0] holds a `type`
  kAlternative,  // std::get<type>(child[0])
  kRange,        // text: any, all, count, filter; of child[0] those for which child[1] holds, in
                 // which `type` names the element
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
  std::string type;
  std::array<std::unique_ptr<Node>, 3> child;
};

// A tree is never higher than this.
inline constexpr uint32_t kMaxHeight = 200;

// kBadExpression ("column N: ...") for everything outside the language of expression.h.
Result<std::unique_ptr<Node>> Parse(std::string_view text);

// For functions that are none of the known ones.
inline constexpr std::string_view kCallsNotSupported =
    "calls are not supported; only .size() .length() .empty() .has_value() .value() .get() .load() "
    ".front() .back() .index() .at() .contains() .count() .starts_with() .ends_with() .holds<T>() "
    "are, and any, all, count and filter";

// "+" and so on, for messages.
std::string_view OperatorText(Operator op);

}  // namespace stillframe::expression

#endif  // STILLFRAME_SYMBOLIZER_EXPRESSION_PARSER_H_
