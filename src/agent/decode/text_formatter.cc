// Texts: of containers, behind pointers to characters, in arrays.
#include <algorithm>

#include "agent/decode/scalar_text.h"
#include "agent/decode/value_formatter.h"
#include "agent/decode/value_text.h"
#include "model/redaction.h"

namespace stillframe::decode {
namespace {

using model::Value;
using model::ValueStatus;

constexpr uint64_t kPlausibleBytes = uint64_t{1} << 46;

uint64_t UnitBytes(const TypeNode& character) {
  return std::max<uint64_t>(character.size_bytes, 1);
}

// Bytes before the first character 0, or all.
size_t LengthBefore0(std::string_view text, uint64_t unit) {
  for (size_t i = 0; i + unit <= text.size(); i += unit) {
    if (text.substr(i, unit).find_first_not_of('\0') == std::string_view::npos) return i;
  }
  return text.size();
}

}  // namespace

// wchar_t is the only signed one of its size (x86-64 psABI), whatever a typedef calls it.
std::string_view ValueFormatter::TextPrefix(const TypeNode& character) const {
  if (character.kind != TypeKind::kUnicode) return "";
  const bool is_wide = Text(character.name).find("wchar_t") != std::string::npos;
  if (is_wide || (character.size_bytes == 4 && (character.flags & kFlagUnsigned) == 0)) return "L";
  return character.size_bytes == 1 ? "u8" : character.size_bytes == 2 ? "u" : "U";
}

std::string ValueFormatter::Literal(const TypeNode& character, const std::string& text) const {
  const uint64_t unit = UnitBytes(character);
  if (unit == 1) return std::string(TextPrefix(character)) + StringText(text);
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  return WideStringText(bytes, static_cast<uint32_t>(unit), TextPrefix(character));
}

bool ValueFormatter::FormatString(Value& value, const View& view, const Object& object) {
  uint64_t data = 0, size = 0;
  // Of a short string size_bytes is its room.
  const bool is_short = view.kind == ViewKind::kShortString;
  if (is_short ? !ReadWord(value, object, view.b, size) : !ReadCount(value, object, view, size)) {
    return true;
  }
  if (view.layout == kInPlace) {
    return FormatTextInPlace(value, view, object, view.a, size, view.c);
  }
  if (!ReadWord(value, object, view.a, data)) return true;
  const TypeNode& character = Node(view.element);
  const uint64_t unit = std::max<uint64_t>(character.size_bytes, 1);
  if (size > kPlausibleBytes) return Corrupt("its size is " + std::to_string(size));
  if (data == 0 && size > 0) return Corrupt("it has a size and no text");
  const uint64_t shown =
      std::min(size * unit, uint64_t{context_.limits.string_bytes}) / unit * unit;
  std::string text(shown, '\0');
  const Code code = shown == 0 ? Code::kOk : context_.record->Read(data, text.data(), shown);
  if (code == Code::kUnreadable || (shown < size * unit && EndsOutside(data, size * unit))) {
    return Corrupt(std::to_string(size * unit) + " bytes at " + HexText(data) + " are not mapped");
  }
  if (code != Code::kOk) {
    value.status = ValueStatus::kUnavailable;
    value.reason = CodeName(code);
    return true;
  }
  if (IsSecretText(text, static_cast<uint32_t>(unit), data, size * unit)) {
    model::WipeText(text);
    Redact(value);
    return true;
  }
  context_.containers.AddArray(data, size, unit);
  SetText(value, character, std::move(text), shown < size * unit);
  return true;
}

// A literal of the text.
void ValueFormatter::SetText(Value& value, const TypeNode& character, std::string text, bool cut) {
  Set(value, Literal(character, text) + (cut ? "..." : ""));
  if (cut) Truncate(value);
}

// Text of unknown length. The hit path has copied what the limits allow (hit::Walker::EnqueueText).
void ValueFormatter::AddCString(Value& value, const TypeNode& character, uint64_t address) {
  const uint64_t unit = UnitBytes(character);
  const uint64_t limit = std::max(context_.limits.string_bytes / unit * unit, unit);
  uint64_t have =
      context_.record->Available(address, std::max<uint64_t>(limit, kCheckedTextBytes) + unit);
  have -= have % unit;
  if (have == 0) {
    char probe;
    const Code code = context_.record->Read(address, &probe, 1);
    value.status = code == Code::kUnreadable ? ValueStatus::kUnreadable : ValueStatus::kTruncated;
    value.reason = CodeName(code == Code::kOk ? Code::kNotCaptured : code);
    return;
  }
  std::string text(have, '\0');
  (void)context_.record->Read(address, text.data(), have);
  const size_t end = LengthBefore0(text, unit);
  const bool unending = end == have;
  const bool cut = unending || end > limit;
  text.resize(end);
  if (IsSecretText(text, static_cast<uint32_t>(unit), 0, unending ? end + unit : end)) {
    model::WipeText(text);
    return Redact(value);
  }
  text.resize(std::min<size_t>(end, limit));
  value.value += " " + Literal(character, text) + (cut ? "..." : "");
  if (!cut) return;
  Truncate(value);
  char next;
  const bool is_last = unending && end < limit;
  if (is_last && context_.record->Read(address + have, &next, 1) == Code::kUnreadable) {
    value.reason = CodeName(Code::kUnreadable);  // no limit of ours: memory ends before the text
  }
}

void ValueFormatter::FormatTextArray(Value& value, const TypeNode& node, const Object& object) {
  const TypeNode& character = Node(node.target);
  const uint64_t unit = UnitBytes(character);
  const uint64_t whole = std::min(node.count, kPlausibleBytes) * unit;
  const uint64_t limit =
      std::min<uint64_t>(whole, std::max(context_.limits.string_bytes / unit * unit, unit));
  std::string text(std::min<uint64_t>(whole, std::max<uint64_t>(limit, kCheckedTextBytes)), '\0');
  if (object.Read(0, text.data(), text.size()) != Code::kOk) text.resize(limit);
  const Code code = object.Read(0, text.data(), text.size());
  if (code != Code::kOk) {
    value = Unavailable(value.name, value.type, code);
    return;
  }
  const bool ends = text.find_last_not_of('\0') + unit < text.size();
  if (IsSecretText(text, static_cast<uint32_t>(unit), 0, ends ? text.size() : whole)) {
    model::WipeText(text);
    return Redact(value);
  }
  text.resize(limit);
  // As GDB: all of it but for the zeros at the end. Bytes after a first zero may be data.
  const bool cut = limit < whole && LengthBefore0(text, unit) == text.size();
  const size_t kept = text.find_last_not_of('\0') + 1;
  text.resize((kept + unit - 1) / unit * unit);
  Set(value, Literal(character, text) + (cut ? "..." : ""));
  if (cut) Truncate(value);
}

}  // namespace stillframe::decode
