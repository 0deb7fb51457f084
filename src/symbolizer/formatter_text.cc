#include "symbolizer/formatter_text.h"

#include <bit>
#include <cctype>
#include <charconv>

namespace stillframe {
namespace {

constexpr size_t kMaxPathParts = 16;
constexpr size_t kMaxIndexes = 8;

Status Bad(std::string message) { return Status(Code::kInvalidArgument, std::move(message)); }

bool IsName(std::string_view text) {
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0])) != 0) return false;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '$') return false;
  }
  return true;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// Decimal or 0x...; nothing else may stand there.
bool ReadInteger(std::string_view text, uint64_t& out) {
  text = Trim(text);
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  if (hex) text.remove_prefix(2);
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out, hex ? 16 : 10);
  return error == std::errc() && stop == end && !text.empty();
}

// Where the part ends: at the next dot that is in no parentheses.
size_t PartEnd(std::string_view text) {
  int depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    depth += text[i] == '(' ? 1 : text[i] == ')' ? -1 : 0;
    if (text[i] == '.' && depth == 0) return i;
  }
  return std::string_view::npos;
}

Result<MemberPath> ParsePath(std::string_view text, bool with_types) {
  const std::string whole(text);
  MemberPath path;
  while (true) {
    const size_t dot = PartEnd(text);
    const std::string_view part = text.substr(0, dot);
    const bool typed = with_types && part.size() > 2 && part.front() == '(' && part.back() == ')' &&
                       IsTypeText(part.substr(1, part.size() - 2));
    if (!IsName(part) && !typed) return Bad("'" + whole + "' is not a path of member names");
    path.emplace_back(part);
    if (path.size() > kMaxPathParts) return Bad("a path of too many parts");
    if (dot == std::string_view::npos) return path;
    text.remove_prefix(dot + 1);
  }
}

}  // namespace

Result<TypeText> ParseTypeText(std::string_view text) {
  TypeText out;
  const std::string whole(text);
  const auto bad = [&] { return Bad("'" + whole + "' names no type"); };
  const size_t open = text.find('<');
  if (open == std::string_view::npos) {
    if (!IsName(text)) return bad();
    out.nested = whole;
    return out;
  }
  if (open != 0) {
    // Names alone: no types among them, so that this ends.
    auto path = ParsePath(text.substr(0, open), false);
    if (!path.ok()) return bad();
    out.path = std::move(*path);
  }
  text.remove_prefix(open);
  while (!text.empty()) {
    const size_t close = text.find('>');
    uint64_t index = 0;
    if (text[0] != '<' || close == std::string_view::npos || out.indexes.size() == kMaxIndexes ||
        !ReadInteger(text.substr(1, close - 1), index) || index > 255) {
      return bad();
    }
    out.indexes.push_back(static_cast<uint32_t>(index));
    text.remove_prefix(close + 1);
  }
  return out;
}

bool IsTypeText(std::string_view text) { return ParseTypeText(text).ok(); }

Result<MemberPath> ParseMemberPath(std::string_view text) { return ParsePath(text, false); }
Result<MemberPath> ParseTypedPath(std::string_view text) { return ParsePath(text, true); }

Result<FormatterNumber> ParseNumber(std::string_view text) {
  FormatterNumber number;
  const std::string whole(text);
  const auto bad = [&](const char* what) { return Bad("'" + whole + "': " + what); };
  const size_t mask_at = text.find('&');
  if (mask_at != std::string_view::npos) {
    uint64_t mask = 0;
    if (!ReadInteger(text.substr(mask_at + 1), mask) || mask == 0 || (mask & (mask + 1)) != 0 ||
        mask == UINT64_MAX) {
      return bad("a mask is 1, 3, 7 and so on");
    }
    number.bits = static_cast<uint8_t>(std::bit_width(mask));
    text = text.substr(0, mask_at);
  }
  const size_t shift_at = text.find(">>");
  if (shift_at != std::string_view::npos) {
    uint64_t shift = 0;
    if (!ReadInteger(text.substr(shift_at + 2), shift) || shift > 63) {
      return bad("a number is shifted by 0 to 63 bits");
    }
    number.shift = static_cast<uint8_t>(shift);
    text = text.substr(0, shift_at);
  }
  SF_ASSIGN_OR_RETURN(number.path, ParseTypedPath(Trim(text)));
  return number;
}

Result<FormatterCondition> ParseCondition(std::string_view text) {
  FormatterCondition condition;
  const std::string whole(text);
  size_t at = text.find("==");
  condition.equal = at != std::string_view::npos;
  if (!condition.equal) at = text.find("!=");
  if (at != std::string_view::npos) {
    if (!ReadInteger(text.substr(at + 2), condition.value)) {
      return Bad("'" + whole + "' does not compare with a number");
    }
    text = text.substr(0, at);
  }
  SF_ASSIGN_OR_RETURN(condition.number, ParseNumber(text));
  return condition;
}

}  // namespace stillframe
