// Text of an expression -> tokens with columns. Internal to the expression compiler.
#ifndef STILLFRAME_SYMBOLIZER_EXPRESSION_LEXER_H_
#define STILLFRAME_SYMBOLIZER_EXPRESSION_LEXER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace stillframe::expression {

// The arithmetic types that remain after integer promotion (C++20 [conv.prom]), lowest rank first.
enum class Number : uint8_t {
  kInt,
  kUInt,
  kLong,
  kULong,
  kLongLong,
  kULongLong,
  kFloat,
  kDouble,
};

enum class TokenKind : uint8_t { kEnd, kName, kInteger, kReal, kChar, kString, kPunctuator };

struct Token {
  TokenKind kind = TokenKind::kEnd;
  uint32_t column = 1;    // of the first byte, from 1
  std::string_view text;  // as written; points into the expression
  uint64_t integer = 0;   // kInteger, kChar (sign-extended)
  double real = 0;        // kReal; a float literal is rounded to float
  Number number = Number::kInt;
  std::string bytes;  // kString, escapes resolved
};

// kBadExpression with "column N: message".
Status BadExpression(uint32_t column, const std::string& message);

// Ends with a kEnd token. kBadExpression on the first byte that starts no token, on bad numbers,
// characters and strings.
Result<std::vector<Token>> Tokenize(std::string_view text);

// Parts of Tokenize: `at` is the offset of the literal's first byte and moves behind it.
Status LexNumber(std::string_view text, size_t& at, Token& token);
Status LexQuoted(std::string_view text, size_t& at, Token& token);

}  // namespace stillframe::expression

#endif  // STILLFRAME_SYMBOLIZER_EXPRESSION_LEXER_H_
