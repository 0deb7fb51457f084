#include "symbolizer/expression_lexer.h"

#include <array>

namespace stillframe::expression {
namespace {

// Longest first, so that the first match is the longest (C++ "maximal munch").
constexpr auto kPunctuators = std::to_array<std::string_view>({
    "<<=", ">>=", "<=>", "->*", "...", "||", "&&", "==", "!=", "<=", ">=", "<<",
    ">>",  "->",  "::",  "++",  "--",  "+=", "-=", "*=", "/=", "%=", "&=", "|=",
    "^=",  ".*",  "(",   ")",   "[",   "]",  ".",  "+",  "-",  "*",  "/",  "%",
    "&",   "|",   "^",   "~",   "!",   "<",  ">",  "=",  "?",  ":",  ",",
});

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// A byte as it can be shown in a message.
std::string Quoted(char c) {
  if (c >= 0x20 && c < 0x7f) return std::string("'") + c + "'";
  constexpr std::string_view kHex = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  return std::string("byte 0x") + kHex[byte >> 4] + kHex[byte & 15];
}

Status LexPunctuator(std::string_view text, size_t& at, Token& token) {
  for (const std::string_view punctuator : kPunctuators) {
    if (text.substr(at, punctuator.size()) != punctuator) continue;
    token.kind = TokenKind::kPunctuator;
    at += punctuator.size();
    return Status();
  }
  return BadExpression(token.column, "unexpected " + Quoted(text[at]));
}

Status LexName(std::string_view text, size_t& at, Token& token) {
  token.kind = TokenKind::kName;
  if (text[at] == '$') ++at;
  while (at < text.size() && (IsNameStart(text[at]) || IsDigit(text[at]))) ++at;
  if (at < text.size() && (text[at] == '"' || text[at] == '\'')) {
    return BadExpression(token.column, "prefixed characters and strings are not supported");
  }
  return Status();
}

}  // namespace

Status BadExpression(uint32_t column, const std::string& message) {
  return Status(Code::kBadExpression, "column " + std::to_string(column) + ": " + message);
}

Result<std::vector<Token>> Tokenize(std::string_view text) {
  std::vector<Token> tokens;
  for (size_t at = 0;;) {
    while (at < text.size() && IsSpace(text[at])) ++at;
    Token token;
    token.column = static_cast<uint32_t>(at + 1);
    if (at == text.size()) {
      tokens.push_back(token);
      return tokens;
    }
    const size_t start = at;
    const char c = text[at];
    const bool number = IsDigit(c) || (c == '.' && at + 1 < text.size() && IsDigit(text[at + 1]));
    SF_RETURN_IF_ERROR(number                       ? LexNumber(text, at, token)
                       : IsNameStart(c) || c == '$' ? LexName(text, at, token)
                       : c == '"' || c == '\''      ? LexQuoted(text, at, token)
                                                    : LexPunctuator(text, at, token));
    token.text = text.substr(start, at - start);
    tokens.push_back(std::move(token));
  }
}

}  // namespace stillframe::expression
