// A cursor over the tokens of an expression, and the types among them. Internal to the parser.
#ifndef STILLFRAME_SYMBOLIZER_EXPRESSION_TOKEN_READER_H_
#define STILLFRAME_SYMBOLIZER_EXPRESSION_TOKEN_READER_H_

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "symbolizer/expression_lexer.h"

namespace stillframe::expression {

bool IsOneOf(std::span<const std::string_view> words, std::string_view word);

class TokenReader {
 public:
  explicit TokenReader(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& Peek() const { return tokens_[at_]; }
  bool Is(std::string_view text) const {
    const TokenKind kind = Peek().kind;
    return (kind == TokenKind::kPunctuator || kind == TokenKind::kName) && Peek().text == text;
  }
  bool Accept(std::string_view text) {
    if (!Is(text)) return false;
    Take();
    return true;
  }
  // The last one, which is the end, is never passed.
  Token Take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  size_t position() const { return at_; }
  void GoBackTo(size_t position);

  // What is wrong with the token that stands here.
  Status Unexpected() const;
  Status Expect(std::string_view text);

  // A word that names nothing: `new`, `and`, …
  bool IsReserved() const;
  // A word of which the names of arithmetic types are made.
  bool IsTypeWord() const;
  // The type that stands here ([dcl.name], without arrays and functions), normalized; "" when none
  // does. Moves behind what it understood: the caller goes back when that was not it.
  std::string TakeType();
  // What follows "(type)" decides whether it is a cast: (a) - b is a difference unless `a` can only
  // be a type.
  bool BeginsOperand(const std::string& type) const;

 private:
  void AppendToken(std::string& out);
  bool TakeTypeName(std::string& out);
  bool TakeArguments(std::string& out);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  std::optional<std::pair<size_t, Token>> split_;  // a >> of which the first half was taken
};

}  // namespace stillframe::expression

#endif  // STILLFRAME_SYMBOLIZER_EXPRESSION_TOKEN_READER_H_
