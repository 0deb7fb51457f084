// What is never shown because of what it looks like, or of the key that it stands under.
#include <algorithm>
#include <cstdlib>
#include <optional>

#include "agent/decode/value_formatter.h"
#include "agent/decode/value_text.h"
#include "model/redaction.h"
#include "plan/entry_key.h"

namespace stillframe::decode {
namespace {

using model::Value;
using model::ValueStatus;

// A wide text as bytes: secrets are ASCII, and what is not becomes something that no pattern has.
std::string Narrow(std::string_view text, uint32_t unit_bytes) {
  std::string out;
  for (size_t i = 0; i + unit_bytes <= text.size(); i += unit_bytes) {
    const std::string_view high = text.substr(i + 1, unit_bytes - 1);
    const bool ascii = high.find_first_not_of('\0') == std::string_view::npos;
    out += ascii ? text[i] : '\x80';
  }
  return out;
}

// "101 'e'" -> 'e'; std::byte has the number alone.
std::optional<char> CharacterOf(const Value& value) {
  const std::string& text = value.value;
  const bool byte = value.type.find("byte") != std::string::npos;
  if (!value.has_value || (!byte && text.find('\'') == std::string::npos)) return std::nullopt;
  char* end = nullptr;
  const long number = std::strtol(text.c_str(), &end, 10);
  if (end == text.c_str()) return std::nullopt;
  return number >= 0 && number < 128 ? static_cast<char>(number) : '\x80';
}

// What is between the quotes; a pointer to characters has its address before them.
std::string_view Unquoted(std::string_view text) {
  const size_t begin = text.find('"');
  const size_t end = text.rfind('"');
  return begin < end && end != std::string_view::npos ? text.substr(begin + 1, end - begin - 1)
                                                      : text;
}

}  // namespace

void ValueFormatter::Redact(Value& value) {
  model::WipeText(value.value);
  value.value.clear();
  value.has_value = false;
  value.children.clear();
  value.status = ValueStatus::kRedacted;
  value.reason = CodeName(Code::kRedacted);
}

bool ValueFormatter::LooksSecret(std::string_view text, bool cut) const {
  return context_.redaction != nullptr ? context_.redaction->RedactsValue(text, cut)
                                       : model::RedactsValue(text, cut);
}

bool ValueFormatter::IsSecretText(const std::string& text, uint32_t unit_bytes, uint64_t address,
                                  uint64_t size_bytes) const {
  std::string more;
  const uint64_t wanted = std::min<uint64_t>(size_bytes, kCheckedTextBytes);
  if (text.size() < wanted && address != 0 && context_.record != nullptr) {
    more.resize(context_.record->Available(address, wanted));
    if (context_.record->Read(address, more.data(), more.size()) != Code::kOk) more.clear();
  }
  const std::string& whole = more.size() > text.size() ? more : text;
  const bool cut = whole.size() < size_bytes;
  bool secret = false;
  if (unit_bytes > 1) {
    std::string narrow = Narrow(whole, unit_bytes);
    secret = LooksSecret(narrow, cut);
    model::WipeText(narrow);
  } else {
    secret = LooksSecret(whole, cut);
  }
  model::WipeText(more);
  return secret;
}

void ValueFormatter::HideSecretCharacters(Value& value) const {
  constexpr size_t kShortestSecret = 6;
  if (value.children.size() < kShortestSecret || !CharacterOf(value.children[0])) return;
  std::string text;
  text.reserve(value.children.size());
  for (const Value& child : value.children) {
    const auto character = CharacterOf(child);
    if (!character) return model::WipeText(text);
    text += *character;
  }
  const bool secret = LooksSecret(text, value.status == ValueStatus::kTruncated);
  model::WipeText(text);
  if (secret) Redact(value);
}

bool ValueFormatter::NamesSecret(const Value& key) const {
  if (key.has_value) {
    const std::string_view text = Unquoted(key.value);
    if (context_.redaction != nullptr ? context_.redaction->RedactsName(text)
                                      : model::RedactsName(text)) {
      return true;
    }
  }
  return std::any_of(key.children.begin(), key.children.end(),
                     [&](const Value& child) { return NamesSecret(child); });
}

// {"password", ...} of a pair, or of a structure with a name and a value.
bool ValueFormatter::IsNamedBySibling(const TypeNode& node, const Member& member,
                                      const Object& object) {
  const Member* const found = KeyMemberOf(unit_, node, Text(member.name));
  return found != nullptr && IsSecretKey(Member(*found), object);
}

bool ValueFormatter::IsSecretKey(const Member& key, const Object& object) {
  const CaptureLimits limits = context_.limits;
  const uint32_t values_left = context_.values_left;
  context_.limits.string_bytes = std::max(limits.string_bytes, kCheckedTextBytes);
  Value shown = Format("key", key.type, object.At(key.offset_bytes), limits.depth);
  context_.limits = limits;
  context_.values_left = values_left;
  return NamesSecret(shown);
}

}  // namespace stillframe::decode
