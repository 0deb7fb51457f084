// Numbers, characters and strings as C++20 [lex.literal] reads them.
#include <charconv>
#include <limits>
#include <optional>

#include "symbolizer/expression_lexer.h"

namespace stillframe::expression {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

int DigitValue(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

// The preprocessing number that starts at `at` ([lex.ppnumber]), without ' separators.
std::string TakeNumber(std::string_view text, size_t& at) {
  std::string out;
  const bool hex = text[at] == '0' && at + 1 < text.size() && (text[at + 1] | 0x20) == 'x';
  for (; at < text.size(); ++at) {
    const char c = text[at];
    const char before = out.empty() ? '\0' : static_cast<char>(out.back() | 0x20);
    const bool exponent_sign = (c == '+' || c == '-') && before == (hex ? 'p' : 'e');
    if (c == '\'' && !out.empty() && at + 1 < text.size() &&
        (IsDigit(text[at + 1]) || IsLetter(text[at + 1]))) {
      continue;
    }
    if (!IsDigit(c) && !IsLetter(c) && c != '.' && !exponent_sign) break;
    out += c;
  }
  return out;
}

struct Suffix {
  bool is_unsigned = false;
  int longs = 0;
};

std::optional<Suffix> ParseSuffix(std::string_view text) {
  Suffix suffix;
  if (!text.empty() && (text[0] | 0x20) == 'u') {
    suffix.is_unsigned = true;
    text.remove_prefix(1);
  }
  if (text.starts_with("ll") || text.starts_with("LL")) {
    suffix.longs = 2;
    text.remove_prefix(2);
  } else if (!text.empty() && (text[0] | 0x20) == 'l') {
    suffix.longs = 1;
    text.remove_prefix(1);
  }
  if (!suffix.is_unsigned && !text.empty() && (text[0] | 0x20) == 'u') {
    suffix.is_unsigned = true;
    text.remove_prefix(1);
  }
  if (!text.empty()) return std::nullopt;
  return suffix;
}

// The first type of [lex.icon] table 8 that holds the value; nullopt when none does.
std::optional<Number> IntegerType(uint64_t value, const Suffix& suffix, bool decimal) {
  const bool fits_int = value <= static_cast<uint64_t>(std::numeric_limits<int32_t>::max());
  const bool fits_uint = value <= std::numeric_limits<uint32_t>::max();
  const bool fits_long = value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  const bool may_be_unsigned = suffix.is_unsigned || !decimal;
  if (suffix.longs == 0) {
    if (!suffix.is_unsigned && fits_int) return Number::kInt;
    if (may_be_unsigned && fits_uint) return Number::kUInt;
  }
  const bool long_long = suffix.longs == 2;
  if (!suffix.is_unsigned && fits_long) return long_long ? Number::kLongLong : Number::kLong;
  if (may_be_unsigned) return long_long ? Number::kULongLong : Number::kULong;
  return std::nullopt;
}

Status LexInteger(const std::string& number, Token& token) {
  std::string_view rest = number;
  unsigned base = 10;
  if (rest.size() > 1 && rest[0] == '0') {
    const char mark = static_cast<char>(rest[1] | 0x20);
    base = mark == 'x' ? 16 : mark == 'b' ? 2 : 8;
    rest.remove_prefix(base == 8 ? 1 : 2);
  }
  uint64_t value = 0;
  size_t digits = 0;
  for (; digits < rest.size(); ++digits) {
    const auto digit = static_cast<unsigned>(DigitValue(rest[digits]));
    if (digit >= base) break;
    if (value > (std::numeric_limits<uint64_t>::max() - digit) / base) {
      return BadExpression(token.column, "integer literal is too large");
    }
    value = value * base + digit;
  }
  const std::optional<Suffix> suffix = ParseSuffix(rest.substr(digits));
  if (!suffix || (digits == 0 && base != 8)) {
    return BadExpression(token.column, "'" + number + "' is not a number");
  }
  const std::optional<Number> type = IntegerType(value, *suffix, base == 10);
  if (!type) return BadExpression(token.column, "integer literal is too large");
  token.kind = TokenKind::kInteger;
  token.integer = value;
  token.number = *type;
  return Status();
}

Status LexReal(std::string number, bool hex, Token& token) {
  const std::string written = number;
  const char last = static_cast<char>(number.back() | 0x20);
  const bool is_float = last == 'f' && !(hex && number.find_first_of("pP") == std::string::npos);
  if (last == 'l') return BadExpression(token.column, "long double is not supported");
  if (is_float) number.pop_back();
  const char* first = number.data() + (hex ? 2 : 0);
  const char* end = number.data() + number.size();
  const auto format = hex ? std::chars_format::hex : std::chars_format::general;
  float narrow = 0;
  const std::from_chars_result result = is_float ? std::from_chars(first, end, narrow, format)
                                                 : std::from_chars(first, end, token.real, format);
  if (result.ec == std::errc::result_out_of_range) {
    return BadExpression(token.column, "'" + written + "' is out of range");
  }
  const bool no_exponent = hex && number.find_first_of("pP") == std::string::npos;
  if (result.ec != std::errc() || result.ptr != end || no_exponent) {
    return BadExpression(token.column, "'" + written + "' is not a number");
  }
  token.kind = TokenKind::kReal;
  token.number = is_float ? Number::kFloat : Number::kDouble;
  if (is_float) token.real = static_cast<double>(narrow);
  return Status();
}

std::optional<char> SimpleEscape(char c) {
  constexpr std::string_view kNames = "abfnrtv\\'\"?";
  constexpr std::string_view kValues = "\a\b\f\n\r\t\v\\'\"?";
  const size_t index = kNames.find(c);
  if (index == std::string_view::npos) return std::nullopt;
  return kValues[index];
}

// Behind the backslash: \n, \x41, \101. One byte.
Status LexEscape(std::string_view text, size_t& at, char& out) {
  const auto column = static_cast<uint32_t>(at);  // of the backslash
  if (at >= text.size()) return BadExpression(column, "escape without an end");
  if (const std::optional<char> simple = SimpleEscape(text[at])) {
    ++at;
    out = *simple;
    return Status();
  }
  const bool hex = text[at] == 'x';
  const int base = hex ? 16 : 8;
  const size_t start = hex ? at + 1 : at;
  unsigned value = 0;
  for (at = start; at < text.size() && DigitValue(text[at]) < base && (hex || at < start + 3);
       ++at) {
    value = value * static_cast<unsigned>(base) + static_cast<unsigned>(DigitValue(text[at]));
    if (value > 0xff) return BadExpression(column, "escape is larger than a byte");
  }
  if (at == start) return BadExpression(column, "unknown escape");
  out = static_cast<char>(value);
  return Status();
}

}  // namespace

Status LexNumber(std::string_view text, size_t& at, Token& token) {
  const std::string number = TakeNumber(text, at);
  const bool hex = number.size() > 1 && (number[1] | 0x20) == 'x' && number[0] == '0';
  const bool real = number.find('.') != std::string::npos ||
                    number.find_first_of(hex ? "pP" : "eE") != std::string::npos;
  return real ? LexReal(number, hex, token) : LexInteger(number, token);
}

Status LexQuoted(std::string_view text, size_t& at, Token& token) {
  const char quote = text[at++];
  const char* const what = quote == '"' ? "string" : "character";
  while (at < text.size() && text[at] != quote) {
    char c = text[at++];
    if (c == '\n') break;
    if (c == '\\') SF_RETURN_IF_ERROR(LexEscape(text, at, c));
    token.bytes += c;
  }
  if (at >= text.size() || text[at] != quote) {
    return BadExpression(token.column, std::string(what) + " without its closing quote");
  }
  ++at;
  token.kind = quote == '"' ? TokenKind::kString : TokenKind::kChar;
  if (token.kind == TokenKind::kString) return Status();
  if (token.bytes.size() != 1) return BadExpression(token.column, "not exactly one character");
  token.integer =
      static_cast<uint64_t>(static_cast<int64_t>(static_cast<signed char>(token.bytes[0])));
  return Status();
}

}  // namespace stillframe::expression
