#include "symbolizer/expression_token_reader.h"

#include <algorithm>
#include <array>

namespace stillframe::expression {
namespace {

// Tokens that a C++ programmer may try, with what to say.
struct Refusal {
  std::string_view text;
  std::string_view message;
};
constexpr std::string_view kAssignment = "assignment is not supported; compare with ==";
constexpr std::string_view kStep = "++ and -- are not supported: an expression changes nothing";
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
    {"new", "new is not supported: an expression changes nothing"},
    {"delete", "delete is not supported: an expression changes nothing"},
    {"throw", "throw is not supported"},
    {"typeid", "typeid is not supported"},
    {"dynamic_cast", "dynamic_cast is not supported; a pointer's object is shown as what it is"},
});

constexpr auto kQualifiers = std::to_array<std::string_view>(
    {"const", "volatile", "struct", "class", "union", "enum", "typename"});
constexpr auto kTypeWords = std::to_array<std::string_view>(
    {"bool", "char", "short", "int", "long", "unsigned", "signed", "float", "double", "void",
     "wchar_t", "char8_t", "char16_t", "char32_t"});

constexpr auto kOperatorWords = std::to_array<std::string_view>({"and", "or", "not"});

}  // namespace

bool IsOneOf(std::span<const std::string_view> words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

void TokenReader::GoBackTo(size_t position) {
  if (split_ && split_->first >= position) {
    tokens_[split_->first] = split_->second;
    split_.reset();
  }
  at_ = position;
}

Status TokenReader::Unexpected() const {
  const Token& token = Peek();
  if (token.kind == TokenKind::kEnd) {
    return BadExpression(token.column, "unexpected end of the expression");
  }
  for (const Refusal& refusal : kRefusals) {
    if (Is(refusal.text)) return BadExpression(token.column, std::string(refusal.message));
  }
  return BadExpression(token.column, "unexpected '" + std::string(token.text) + "'");
}

Status TokenReader::Expect(std::string_view text) {
  if (Accept(text)) return Status();
  const Status unexpected = Unexpected();
  return Status(unexpected.code(), unexpected.message() + ", expected '" + std::string(text) + "'");
}

bool TokenReader::IsReserved() const {
  if (IsOneOf(kOperatorWords, Peek().text)) return true;
  return std::any_of(kRefusals.begin(), kRefusals.end(),
                     [this](const Refusal& refusal) { return Is(refusal.text); });
}

bool TokenReader::IsTypeWord() const {
  return Peek().kind == TokenKind::kName && IsOneOf(kTypeWords, Peek().text);
}

void TokenReader::AppendToken(std::string& out) {
  const bool spaced =
      Peek().kind == TokenKind::kName && !out.empty() && out.back() != '<' && out.back() != ':';
  out += (spaced ? " " : "") + std::string(Take().text);
}

std::string TokenReader::TakeType() {
  std::string out;
  bool named = false, builtin = false;
  for (;;) {
    if (Peek().kind == TokenKind::kName && IsOneOf(kQualifiers, Peek().text)) {
      AppendToken(out);
    } else if (IsTypeWord() && !named) {
      builtin = true;
      AppendToken(out);
    } else if (!named && !builtin && (Peek().kind == TokenKind::kName || Is("::"))) {
      if (!TakeTypeName(out)) return "";
      named = true;
    } else {
      break;
    }
  }
  if (!named && !builtin) return "";
  while (Is("*") || Is("&") || Is("&&") || Is("const")) AppendToken(out);
  return out;
}

bool TokenReader::TakeTypeName(std::string& out) {
  if (Is("::")) AppendToken(out);
  for (;;) {
    if (Peek().kind != TokenKind::kName || IsReserved()) return false;
    AppendToken(out);
    if (Is("<") && !TakeArguments(out)) return false;
    if (!Is("::")) return true;
    AppendToken(out);
  }
}

// From < to its >.
bool TokenReader::TakeArguments(std::string& out) {
  int depth = 0;
  for (;;) {
    const Token& token = Peek();
    const bool part = token.kind == TokenKind::kName || token.kind == TokenKind::kInteger ||
                      Is("<") || Is(">") || Is(">>") || Is("::") || Is(",") || Is("*") || Is("&");
    if (!part) return false;
    if (depth == 1 && Is(">>")) {  // two brackets; its second half stays
      split_.emplace(at_, token);
      tokens_[at_].text.remove_prefix(1);
      out += '>';
      return true;
    }
    depth += Is("<") ? 1 : Is(">") ? -1 : Is(">>") ? -2 : 0;
    AppendToken(out);
    if (depth == 0) return true;
  }
}

bool TokenReader::BeginsOperand(const std::string& type) const {
  const char last = type.back();
  std::string_view first = type;
  first = first.substr(0, first.find_first_of(" *&"));
  const bool only_type =
      last == '*' || last == '&' || IsOneOf(kTypeWords, first) || IsOneOf(kQualifiers, first);
  switch (Peek().kind) {
    case TokenKind::kEnd:
      return false;
    case TokenKind::kPunctuator:
      if (Is("(") || Is("!") || Is("~") || Is("::")) return true;
      return only_type && (Is("-") || Is("+") || Is("*") || Is("&"));
    default:
      return !IsReserved();
  }
}

}  // namespace stillframe::expression
