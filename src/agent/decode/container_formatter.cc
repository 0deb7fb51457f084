// Library types as what they hold (plan/type_table.h lists the views).
#include <algorithm>

#include "agent/decode/scalar_text.h"
#include "agent/decode/value_formatter.h"
#include "model/redaction.h"

namespace stillframe::decode {
namespace {

using model::Value;
using model::ValueStatus;

// Nothing that a program holds in one container is larger; beyond it the fields are garbage.
constexpr uint64_t kPlausibleBytes = uint64_t{1} << 46;

void Set(Value& value, std::string text) {
  value.value = std::move(text);
  value.has_value = true;
}

void Truncate(Value& value) {
  if (value.status != ValueStatus::kExact) return;
  value.status = ValueStatus::kTruncated;
  value.reason = CodeName(Code::kLimit);
}

}  // namespace

bool ValueFormatter::FormatView(Value& value, const TypeNode& node, const Object& object,
                                uint32_t level) {
  const View& view = unit_.views[node.view];
  switch (view.kind) {
    case ViewKind::kString:
    case ViewKind::kStringView:
      return FormatString(value, view, object);
    case ViewKind::kSequence:
      return FormatSequence(value, view, object, level);
    case ViewKind::kInlineArray:
      Set(value, "size=" + std::to_string(view.count));
      AddElements(value, view.element, object.At(view.a), view.count, level);
      return true;
    case ViewKind::kTree:
      return FormatTree(value, view, object, level);
    case ViewKind::kHash:
      return FormatHash(value, view, object, level);
    case ViewKind::kOptional:
      return FormatOptional(value, view, object, level);
    case ViewKind::kVariant:
      return FormatVariant(value, view, object, level);
    case ViewKind::kUniquePtr:
    case ViewKind::kSharedPtr:
    case ViewKind::kWeakPtr:
      return FormatSmartPointer(value, view, object, level);
    case ViewKind::kTuple:
      return FormatTuple(value, view, object, level);
    case ViewKind::kPair:
    case ViewKind::kNone:
      break;
  }
  FormatMembers(value, node, object, level);
  return true;
}

bool ValueFormatter::FormatString(Value& value, const View& view, const Object& object) {
  uint64_t data = 0, size = 0;
  if (!ReadWord(value, object, view.a, data) || !ReadWord(value, object, view.b, size)) return true;
  const TypeNode& character = Node(view.element);
  const uint64_t unit = std::max<uint64_t>(character.size_bytes, 1);
  if (size > kPlausibleBytes || (data == 0 && size > 0)) return false;
  const uint64_t shown =
      std::min(size * unit, uint64_t{context_.limits.string_bytes}) / unit * unit;
  std::string text(shown, '\0');
  const Code code = shown == 0 ? Code::kOk : context_.record->Read(data, text.data(), shown);
  if (code != Code::kOk) {
    value.status = code == Code::kUnreadable ? ValueStatus::kUnreadable : ValueStatus::kUnavailable;
    value.reason = CodeName(code);
    return true;
  }
  if (unit == 1 && model::RedactsValue(text)) {
    value.status = ValueStatus::kRedacted;
    value.reason = CodeName(Code::kRedacted);
    return true;
  }
  const bool cut = shown < size * unit;
  const std::string_view name = Text(character.name);
  std::string literal;
  if (unit == 1) {
    literal = (character.kind == TypeKind::kUnicode ? "u8" : "") + StringText(text);
  } else {
    const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(text.data()),
                                         text.size());
    const bool is_wide = name.find("wchar_t") != std::string_view::npos;
    literal = WideStringText(bytes, static_cast<uint32_t>(unit),
                             is_wide     ? "L"
                             : unit == 2 ? "u"
                                         : "U");
  }
  Set(value, literal + (cut ? "..." : ""));
  if (cut) Truncate(value);
  return true;
}

bool ValueFormatter::FormatSequence(Value& value, const View& view, const Object& object,
                                    uint32_t level) {
  uint64_t begin = 0, end = 0;
  if (!ReadWord(value, object, view.a, begin) || !ReadWord(value, object, view.b, end)) return true;
  const uint64_t size = Node(view.element).size_bytes;
  if (size == 0 || end < begin || (end - begin) % size != 0 || end - begin > kPlausibleBytes ||
      (begin == 0 && end != 0)) {
    return false;
  }
  const uint64_t count = (end - begin) / size;
  Set(value, "size=" + std::to_string(count));
  AddElements(value, view.element, Object::InMemory(*context_.record, begin), count, level);
  return true;
}

// Indexes of a pair's `first` and `second` in the unit's members (there are empty bases, too); 0, 0
// when it is no pair.
std::pair<size_t, size_t> ValueFormatter::PairMembers(const TypeNode& node) const {
  size_t first = 0, second = 0;
  for (uint32_t i = 0; i < node.member_count; ++i) {
    const size_t at = size_t{node.first_member} + i;
    if (at >= unit_.members.size()) break;
    if (Text(unit_.members[at].name) == "first") first = at;
    if (Text(unit_.members[at].name) == "second" && first != 0) second = at;
  }
  return {second != 0 ? first : 0, second};
}

// One element of a map or set: maps name it by the key's text.
Value ValueFormatter::FormatEntry(const View& view, uint64_t index, uint64_t address,
                                  uint32_t level) {
  const Object entry = Object::InMemory(*context_.record, address);
  const std::string position = "[" + std::to_string(index) + "]";
  const auto [first_at, second_at] = PairMembers(Node(view.element));
  if (view.key_value == 0 || second_at == 0) return Format(position, view.element, entry, level);
  const Member& first = unit_.members[first_at];
  const Member& second = unit_.members[second_at];
  Value key = Format("key", first.type, entry.At(first.offset_bytes), level);
  if (!key.has_value) return Format(position, view.element, entry, level);
  // A key may tell what the value is ("password" -> …): it inherits the names' redaction.
  std::string_view key_text = key.value;
  if (model::RedactsName(key_text)) {
    return Value{"[" + key.value + "]",
                 Text(Node(second.type).name),
                 "",
                 false,
                 ValueStatus::kRedacted,
                 "REDACTED",
                 {}};
  }
  return Format("[" + key.value + "]", second.type, entry.At(second.offset_bytes), level);
}

bool ValueFormatter::FormatTree(Value& value, const View& view, const Object& object,
                                uint32_t level) {
  constexpr uint64_t kParent = 8, kLeft = 16, kRight = 24;
  if (!object.in_memory()) return false;
  uint64_t count = 0, node = 0;
  if (!ReadWord(value, object, view.b, count)) return true;
  if (!ReadWord(value, object, view.d + kLeft, node)) return true;
  const uint64_t header = object.address() + view.d;
  if (count > kPlausibleBytes || (count == 0) != (node == header)) return false;
  Set(value, "size=" + std::to_string(count));
  if (count == 0 || !Expands(value, level)) return true;
  const RecordView& record = *context_.record;
  const uint64_t shown = std::min<uint64_t>(count, context_.limits.items);
  for (uint64_t i = 0; i < shown && context_.values_left > 0; ++i) {
    if (node == header || node == 0) return false;  // fewer nodes than it says
    value.children.push_back(FormatEntry(view, i, node + view.c, level + 1));
    // In-order successor; a step that the record does not hold ends the walk.
    uint64_t next = 0;
    Code code = record.Read(node + kRight, &next, sizeof next);
    uint64_t steps = 0;
    if (code == Code::kOk && next != 0) {
      uint64_t left = next;
      while (code == Code::kOk && left != 0 && ++steps < 128) {
        next = left;
        code = record.Read(next + kLeft, &left, sizeof left);
      }
    } else if (code == Code::kOk) {
      uint64_t child = node, right = 0;
      code = record.Read(node + kParent, &next, sizeof next);
      while (code == Code::kOk && next != header && ++steps < 128) {
        code = record.Read(next + kRight, &right, sizeof right);
        if (right != child) break;
        child = next;
        code = record.Read(next + kParent, &next, sizeof next);
      }
    }
    if (code != Code::kOk) break;
    node = next;
  }
  if (value.children.size() < count) Truncate(value);
  return true;
}

bool ValueFormatter::FormatHash(Value& value, const View& view, const Object& object,
                                uint32_t level) {
  uint64_t node = 0, count = 0;
  if (!ReadWord(value, object, view.a, node) || !ReadWord(value, object, view.b, count)) {
    return true;
  }
  if (count > kPlausibleBytes || (count == 0) != (node == 0)) return false;
  Set(value, "size=" + std::to_string(count));
  if (count == 0 || !Expands(value, level)) return true;
  const uint64_t shown = std::min<uint64_t>(count, context_.limits.items);
  for (uint64_t i = 0; i < shown && context_.values_left > 0; ++i) {
    if (node == 0) return false;  // fewer nodes than it says
    value.children.push_back(FormatEntry(view, i, node + view.c, level + 1));
    if (context_.record->Read(node, &node, sizeof node) != Code::kOk) break;
  }
  if (value.children.size() < count) Truncate(value);
  return true;
}

bool ValueFormatter::FormatOptional(Value& value, const View& view, const Object& object,
                                    uint32_t level) {
  uint8_t engaged = 0;
  const Code code = object.Read(view.a, &engaged, 1);
  if (code != Code::kOk) {
    value = Unavailable(value.name, value.type, code);
    return true;
  }
  if (engaged > 1) return false;
  if (engaged == 0) {
    Set(value, "std::nullopt");
    return true;
  }
  // The payload stands for the optional: its value, its children.
  const std::string type = value.type;
  value = Format(value.name, view.element, object.At(view.b), level);
  value.type = type;
  return true;
}

bool ValueFormatter::FormatVariant(Value& value, const View& view, const Object& object,
                                   uint32_t level) {
  uint64_t index = 0;
  if (view.size_bytes == 0 || view.size_bytes > 8) return false;
  const Code code = object.Read(view.a, &index, view.size_bytes);
  if (code != Code::kOk) {
    value = Unavailable(value.name, value.type, code);
    return true;
  }
  const uint64_t npos =
      view.size_bytes == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * view.size_bytes)) - 1;
  if (index == npos) {
    Set(value, "valueless");
    return true;
  }
  if (index >= view.member_count || view.first_member + index >= unit_.members.size()) return false;
  Set(value, "index=" + std::to_string(index));
  if (!Expands(value, level)) return true;
  const Member& member = unit_.members[view.first_member + index];
  value.children.push_back(Format("[" + std::to_string(index) + "]", member.type,
                                  object.At(view.b + member.offset_bytes), level + 1));
  return true;
}

bool ValueFormatter::FormatSmartPointer(Value& value, const View& view, const Object& object,
                                        uint32_t level) {
  uint64_t address = 0, control = 0;
  if (!ReadWord(value, object, view.a, address)) return true;
  Set(value, PointerText(address));
  if (view.kind != ViewKind::kUniquePtr && object.Read(view.b, &control, 8) == Code::kOk &&
      control != 0) {
    // libstdc++'s _Sp_counted_base: vptr, use count, weak count (one more while in use).
    int32_t counts[2] = {};
    if (context_.record->Read(control + 8, counts, sizeof counts) == Code::kOk) {
      value.value += " (use=" + std::to_string(counts[0]) +
                     ", weak=" + std::to_string(counts[1] - (counts[0] > 0 ? 1 : 0)) + ")";
      // An expired weak pointer's target is gone.
      if (counts[0] == 0) return true;
    }
  }
  AddPointee(value, view.element, address, level);
  return true;
}

bool ValueFormatter::FormatTuple(Value& value, const View& view, const Object& object,
                                 uint32_t level) {
  if (view.member_count == 0 || !Expands(value, level)) return true;
  for (uint32_t i = 0; i < view.member_count; ++i) {
    const size_t at = size_t{view.first_member} + i;
    if (at >= unit_.members.size() || context_.values_left == 0) break;
    const Member& member = unit_.members[at];
    value.children.push_back(Format("[" + std::to_string(i) + "]", member.type,
                                    object.At(member.offset_bytes), level + 1));
  }
  return true;
}

}  // namespace stillframe::decode
