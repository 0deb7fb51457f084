#include "model/log_template.h"

#include "base/utf8.h"

namespace stillframe::model {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNamePart(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// 1-based, in code points: every byte but those that continue one.
uint32_t ColumnAt(std::string_view text, size_t offset_bytes) {
  uint32_t column = 1;
  for (const char c : text.substr(0, offset_bytes)) {
    column += (static_cast<uint8_t>(c) & 0xC0) != 0x80;
  }
  return column;
}

char Closing(char opening) { return opening == '(' ? ')' : opening == '[' ? ']' : '}'; }

class Parser {
 public:
  Parser(std::string_view text, LogTemplate& out) : text_(text), out_(out) {}

  std::optional<LogTemplateError> Parse() {
    if (text_.size() > kMaxLogTemplateBytes) {
      return Error(kMaxLogTemplateBytes, "longer than 4096 bytes");
    }
    if (!IsUtf8(text_)) return Error(FirstBad(), "not UTF-8");
    out_.text = text_;
    out_.literals.emplace_back();
    while (at_ < text_.size()) {
      const char c = text_[at_];
      const bool doubled = at_ + 1 < text_.size() && text_[at_ + 1] == c;
      if ((c == '{' || c == '}') && doubled) {
        out_.literals.back() += c;
        at_ += 2;
      } else if (c == '{') {
        if (auto error = ParseExpression()) return error;
      } else if (c == '}') {
        return Error(at_, "'}' without '{'; a literal brace is written }}");
      } else {
        out_.literals.back() += c;
        ++at_;
      }
    }
    return std::nullopt;
  }

 private:
  LogTemplateError Error(size_t offset_bytes, std::string message) const {
    return {ColumnAt(text_, offset_bytes), std::move(message)};
  }

  // Of text that is not UTF-8: the first byte of it that does not belong to a character.
  size_t FirstBad() const {
    size_t good = 0;
    for (size_t end = 1; end <= text_.size(); ++end) {
      if (IsUtf8(text_.substr(good, end - good))) good = end;
      if (end - good >= 4) break;
    }
    return good;
  }

  std::optional<LogTemplateError> ParseExpression() {
    const size_t brace = at_++;
    const size_t start = at_;
    if (out_.expressions.size() == kMaxLogExpressions) {
      return Error(brace, "more than 32 expressions");
    }
    if (auto error = FindEnd(brace)) return error;
    size_t first = start, last = at_ - 1;  // at_ is behind the closing brace
    while (first < last && IsSpace(text_[first])) ++first;
    while (last > first && IsSpace(text_[last - 1])) --last;
    if (first == last) {
      return Error(brace, "no expression between { and }; a literal brace is written {{");
    }
    out_.expressions.push_back({std::string(text_.substr(first, last - first)), first});
    out_.literals.emplace_back();
    return std::nullopt;
  }

  std::optional<LogTemplateError> FindEnd(size_t brace) {
    std::string open;  // brackets that wait for their closing ones
    std::vector<size_t> opened_at;
    bool in_number = false;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      // An apostrophe within a number divides digits: 1'000.
      if (c == '\'' && in_number && at_ + 1 < text_.size() && IsNamePart(text_[at_ + 1])) {
        ++at_;
        continue;
      }
      const char before = text_[at_ - 1];
      const bool continues = IsNamePart(before) || (before == '\'' && in_number);
      in_number = IsNamePart(c) && (continues ? in_number : IsDigit(c));
      if (c == '"' || c == '\'') {
        if (auto error = SkipQuoted()) return error;
        continue;
      }
      if (c == '}' && open.empty()) {
        ++at_;
        return std::nullopt;
      }
      if (c == '(' || c == '[' || c == '{') {
        open += c;
        opened_at.push_back(at_);
      } else if (c == ')' || c == ']' || c == '}') {
        if (open.empty() || Closing(open.back()) != c) {
          std::string message = std::string("'") + c + "' without its opening bracket";
          if (!open.empty()) {
            message = std::string("'") + c + "' where '" + Closing(open.back()) +
                      "' closes the bracket at column " +
                      std::to_string(ColumnAt(text_, opened_at.back()));
          }
          return Error(at_, std::move(message));
        }
        open.pop_back();
        opened_at.pop_back();
      }
      ++at_;
    }
    if (!open.empty()) {
      return Error(opened_at.back(), std::string("'") + open.back() + "' is never closed");
    }
    return Error(brace, "'{' is never closed; a literal brace is written {{");
  }

  std::optional<LogTemplateError> SkipQuoted() {
    const size_t start = at_;
    const char quote = text_[at_++];
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '\\' && at_ < text_.size()) {
        ++at_;
      } else if (c == quote) {
        return std::nullopt;
      }
    }
    return Error(start,
                 std::string(quote == '"' ? "the string" : "the character") + " is never closed");
  }

  const std::string_view text_;
  LogTemplate& out_;
  size_t at_ = 0;
};

}  // namespace

uint32_t LogTemplate::Column(size_t expression, size_t offset_in_expression) const {
  return ColumnAt(text, expressions[expression].offset_bytes + offset_in_expression);
}

std::optional<LogTemplateError> ParseLogTemplate(std::string_view text, LogTemplate& out) {
  LogTemplate parsed;
  if (auto error = Parser(text, parsed).Parse()) return error;
  out = std::move(parsed);
  return std::nullopt;
}

}  // namespace stillframe::model
