// Users' formatters, and what only they can describe (plan/type_table.h lists the views).
#include <algorithm>
#include <unordered_set>

#include "agent/decode/scalar_text.h"
#include "agent/decode/value_formatter.h"
#include "agent/decode/value_text.h"
#include "plan/view_layout.h"

namespace stillframe::decode {
namespace {

using model::Value;
using model::ValueStatus;

// Nothing that a program holds in one container is larger; beyond it the fields are garbage.
constexpr uint64_t kPlausibleCount = uint64_t{1} << 46;
// As in the walker (hit/walker_custom.cc): of a table no more was looked through.
constexpr uint64_t kMostTableBytes = 16 * 1024;
constexpr uint64_t kGroupBytes = 16;
constexpr uint64_t kGroupSlots = 15;
constexpr size_t kMostTreeDepth = 128;

std::string SizeText(uint64_t count) { return "size=" + std::to_string(count); }

}  // namespace

// The number at the offset, or the part of it that such a view reads; false when `value` now says
// why it is not known.
bool ValueFormatter::ReadNumber(Value& value, const Object& object, const View& view,
                                uint64_t offset, uint64_t& out) {
  out = 0;
  const uint32_t size_bytes = view.size_bytes == 0 ? 8 : std::min<uint32_t>(view.size_bytes, 8);
  if (const Code code = object.Read(offset, &out, size_bytes); code != Code::kOk) {
    value = Unavailable(value.name, value.type, code);
    return false;
  }
  if (!HasPartialNumber(view.kind)) return true;
  out >>= view.left & 63;
  if (view.right != 0) out &= (uint64_t{1} << (view.right & 63)) - 1;
  return true;
}

bool ValueFormatter::ReadCount(Value& value, const Object& object, const View& view,
                               uint64_t& out) {
  return ReadNumber(value, object, view, view.b, out);
}

// The view that the object's own numbers choose; nullptr when they are not known.
const View* ValueFormatter::ItemsOf(Value& value, const View& custom, const Object& object) {
  uint32_t at = custom.b;
  for (uint32_t i = 0; i <= kMaxChoices && at < unit_.views.size(); ++i) {
    const View& view = unit_.views[at];
    if (view.kind != ViewKind::kChoice) return &view;
    uint64_t number = 0;
    if (!ReadNumber(value, object, view, view.a, number)) return nullptr;
    at = (number == view.count) != (view.keys == kUnequal) ? view.b : view.c;
  }
  return &unit_.views[0];
}

bool ValueFormatter::FormatItems(Value& value, const View& items, const Object& object,
                                 uint32_t level) {
  switch (items.kind) {
    case ViewKind::kString:
      return FormatString(value, items, object);
    case ViewKind::kSequence:
      return FormatSequence(value, items, object, level);
    case ViewKind::kInlineArray:
      Set(value, SizeText(items.count));
      AddElements(value, items.element, object.At(items.a), items.count, level);
      return true;
    case ViewKind::kCounted:
      return FormatCounted(value, items, object, level);
    case ViewKind::kHash:
      return FormatHash(value, items, object, level);
    case ViewKind::kTree:
      return FormatTree(value, items, object, level);
    case ViewKind::kRootedTree:
      return FormatRootedTree(value, items, object, level);
    case ViewKind::kSlots:
      return FormatSlots(value, items, object, level);
    case ViewKind::kBuckets:
      return FormatBuckets(value, items, object, level);
    case ViewKind::kRing:
      return FormatRing(value, items, object, level);
    case ViewKind::kDeque:
      return FormatDeque(value, items, object, level);
    case ViewKind::kOptional:
      return FormatOptional(value, items, object, level);
    case ViewKind::kVariant:
      return FormatVariant(value, items, object, level);
    case ViewKind::kUniquePtr:
    case ViewKind::kSharedPtr:
    case ViewKind::kWeakPtr:
      return FormatSmartPointer(value, items, object, level);
    default:
      return Corrupt("unknown items");
  }
}

// A table with a byte for every slot.
bool ValueFormatter::FormatSlots(Value& value, const View& view, const Object& object,
                                 uint32_t level) {
  uint64_t count = 0, marks = 0, slots = 0, end = 0;
  if (!ReadCount(value, object, view, count) || !ReadWord(value, object, view.a, marks) ||
      !ReadWord(value, object, view.e, slots) || !ReadWord(value, object, view.d, end)) {
    return true;
  }
  const bool grouped = view.layout == kInGroups;
  if (end > kPlausibleCount) return Corrupt("it has " + std::to_string(end) + " slots");
  const uint64_t capacity = grouped ? (end + 1) * kGroupSlots : end;
  if (grouped) end = (end + 1) * kGroupBytes;
  if (count > capacity) {
    return Corrupt("its size is " + std::to_string(count) + " and it has " +
                   std::to_string(capacity) + " slots");
  }
  if (count != 0 && (marks == 0 || slots == 0)) return Corrupt("it has a size and no slots");
  Set(value, SizeText(count));
  if (count == 0 || !Expands(value, level)) return true;
  const uint64_t shown = std::min<uint64_t>(count, context_.limits.items);
  const uint64_t looked_at = std::min(end, kMostTableBytes);
  uint64_t found = 0, at = 0;
  for (; at < looked_at && found < shown && context_.values_left > 0; ++at) {
    uint8_t mark = 0;
    const Code code = context_.record->Read(marks + at, &mark, 1);
    if (code == Code::kUnreadable) {
      return Corrupt(std::to_string(end) + " control bytes at " + HexText(marks) +
                     " are not mapped");
    }
    if (code != Code::kOk) break;
    const uint64_t in_group = at % kGroupBytes;
    if (mark < view.keys || mark > view.parent || (grouped && in_group == kGroupSlots)) continue;
    const uint64_t index = grouped ? at / kGroupBytes * kGroupSlots + in_group : at;
    uint64_t node = slots + index * view.count;
    if (view.layout == kBehindPointers) {
      const Code slot = context_.record->Read(node, &node, sizeof node);
      if (slot == Code::kUnreadable) return Corrupt("its slots are not mapped");
      if (slot != Code::kOk) break;
    }
    value.children.push_back(FormatEntry(view, found++, node + view.c, level + 1));
  }
  if (at == end && found < count) {
    return Corrupt("it has " + std::to_string(found) + " elements and its size is " +
                   std::to_string(count));
  }
  if (found < count) Truncate(value);
  return true;
}

// A table of chains.
bool ValueFormatter::FormatBuckets(Value& value, const View& view, const Object& object,
                                   uint32_t level) {
  uint64_t count = 0, buckets = 0, bucket_count = 0;
  if (!ReadCount(value, object, view, count) || !ReadWord(value, object, view.a, buckets) ||
      !ReadWord(value, object, view.d, bucket_count)) {
    return true;
  }
  if (count > kPlausibleCount) return Corrupt("its size is " + std::to_string(count));
  if (bucket_count > kPlausibleCount) {
    return Corrupt("it has " + std::to_string(bucket_count) + " buckets");
  }
  if (count != 0 && (buckets == 0 || bucket_count == 0)) {
    return Corrupt("it has a size and no buckets");
  }
  Set(value, SizeText(count));
  if (count == 0 || !Expands(value, level)) return true;
  const uint64_t shown = std::min<uint64_t>(count, context_.limits.items);
  const uint64_t looked_at = std::min(bucket_count, kMostTableBytes / view.count);
  std::unordered_set<uint64_t> seen;
  uint64_t found = 0, at = 0;
  bool known = true;
  for (; at < looked_at && known && found < shown && context_.values_left > 0; ++at) {
    uint64_t node = 0;
    const Code code = context_.record->Read(buckets + at * view.count + view.e, &node, sizeof node);
    if (code == Code::kUnreadable) {
      return Corrupt(std::to_string(bucket_count) + " buckets at " + HexText(buckets) +
                     " are not mapped");
    }
    if (code != Code::kOk) break;
    while (node != 0 && found < shown && context_.values_left > 0) {
      if (!seen.insert(node).second) {
        return Corrupt("its node " + std::to_string(found) + " is one of those before");
      }
      value.children.push_back(FormatEntry(view, found++, node + view.c, level + 1));
      known = context_.record->Read(node + view.parent, &node, sizeof node) == Code::kOk;
      if (!known) break;
    }
  }
  if (known && at == bucket_count && found < count && context_.values_left > 0) {
    return Corrupt("it has " + std::to_string(found) + " nodes and its size is " +
                   std::to_string(count));
  }
  if (found < count) Truncate(value);
  return true;
}

bool ValueFormatter::FormatRing(Value& value, const View& view, const Object& object,
                                uint32_t level) {
  uint64_t count = 0, begin = 0, end = 0, first = 0;
  if (!ReadCount(value, object, view, count) || !ReadWord(value, object, view.a, begin) ||
      !ReadWord(value, object, view.d, end) || !ReadWord(value, object, view.e, first)) {
    return true;
  }
  const uint64_t size = Node(view.element).size_bytes;
  if (size == 0) return Corrupt("its elements have no size");
  if (first < begin || end < first || (first - begin) % size != 0 || (end - begin) % size != 0) {
    return Corrupt("its first element is outside of its room");
  }
  if (count > (end - begin) / size) {
    return Corrupt("its size is " + std::to_string(count) + " and there is room for " +
                   std::to_string((end - begin) / size));
  }
  Set(value, SizeText(count));
  if (count == 0 || !Expands(value, level)) return true;
  const uint64_t shown = std::min<uint64_t>(count, context_.limits.items);
  for (uint64_t i = 0; i < shown && context_.values_left > 0; ++i) {
    uint64_t address = first + i * size;
    if (address >= end) address -= end - begin;
    NoteElement(address, level);
    value.children.push_back(Format("[" + std::to_string(i) + "]", view.element,
                                    Object::InMemory(*context_.record, address), level + 1));
  }
  if (value.children.size() < count) Truncate(value);
  return true;
}

// In order, as the walker goes.
bool ValueFormatter::FormatRootedTree(Value& value, const View& view, const Object& object,
                                      uint32_t level) {
  const bool counted = view.layout != kUncounted;
  uint64_t count = 0, node = 0;
  if (counted && !ReadCount(value, object, view, count)) return true;
  if (!ReadWord(value, object, view.a, node)) return true;
  if (count > kPlausibleCount) return Corrupt("its size is " + std::to_string(count));
  if (counted && (count == 0) != (node == 0)) {
    return Corrupt("its size is " + std::to_string(count) +
                   (node == 0 ? " and it has no node" : " and it has a root"));
  }
  Set(value, SizeText(count));
  if (node == 0 || !Expands(value, level)) return true;
  const uint64_t limit = context_.limits.items;
  const uint64_t shown = counted ? std::min(count, limit) : limit;
  std::vector<uint64_t> path;
  std::unordered_set<uint64_t> seen;
  uint64_t found = 0;
  bool known = true;
  while (found < shown && (node != 0 || !path.empty()) && context_.values_left > 0) {
    while (node != 0 && known) {
      if (!seen.insert(node).second) {
        return Corrupt("its node at " + HexText(node) + " is in it twice");
      }
      path.push_back(node);
      known = path.size() <= kMostTreeDepth &&
              context_.record->Read(node + view.left, &node, sizeof node) == Code::kOk;
    }
    if (!known) break;
    node = path.back();
    path.pop_back();
    value.children.push_back(FormatEntry(view, found++, node + view.c, level + 1));
    known = context_.record->Read(node + view.right, &node, sizeof node) == Code::kOk;
    if (!known) break;
  }
  const bool whole = known && node == 0 && path.empty();
  if (!counted) {
    Set(value, SizeText(found) + (whole ? "" : "+"));
    if (!whole) Truncate(value);
    return true;
  }
  if (whole && found < count) {
    return Corrupt("it has " + std::to_string(found) + " nodes and its size is " +
                   std::to_string(count));
  }
  if (known && found == count && !whole) {
    return Corrupt("it has more nodes than its size, " + std::to_string(count));
  }
  if (found < count) Truncate(value);
  return true;
}

Value ValueFormatter::FormatNamed(const Member& member, const Object& object, uint32_t level) {
  if (member.bit_size == 0) {
    return Format(Text(member.name), member.type, object.At(member.offset_bytes), level);
  }
  Value field;
  field.name = Text(member.name);
  field.type = Text(Node(member.type).name);
  FormatBitField(field, member, object);
  return field;
}

// The user's members, then the items; the summary with the members' texts in it.
bool ValueFormatter::FormatCustom(Value& value, const View& view, const Object& object,
                                  uint32_t level) {
  std::string size_text;
  const View* const items = ItemsOf(value, view, object);
  if (items == nullptr) return true;
  if (items->kind != ViewKind::kNone) {
    if (!FormatItems(value, *items, object, level)) return false;
    if (value.status != ValueStatus::kExact && value.status != ValueStatus::kTruncated) return true;
    size_text = value.value;
  }
  std::vector<Value> named;
  std::vector<std::string> texts;
  for (uint32_t i = 0; i < view.member_count; ++i) {
    const size_t at = size_t{view.first_member} + i;
    if (at >= unit_.members.size() || context_.values_left == 0) break;
    const Member& member = unit_.members[at];
    Value child = (member.flags & kMemberRedacted) != 0 ? Value{Text(member.name),
                                                                Text(Node(member.type).name),
                                                                "",
                                                                false,
                                                                ValueStatus::kRedacted,
                                                                "REDACTED",
                                                                {}}
                                                        : FormatNamed(member, object, level + 1);
    texts.push_back(child.has_value ? child.value : "<" + child.reason + ">");
    const bool shown = (member.flags & kMemberInSummary) == 0 && level < context_.limits.depth;
    if (shown) named.push_back(std::move(child));
  }
  value.children.insert(value.children.begin(), std::make_move_iterator(named.begin()),
                        std::make_move_iterator(named.end()));
  const std::string& summary = Text(view.a);
  std::string text;
  for (size_t i = 0; i < summary.size(); ++i) {
    if (summary[i] != '\1' || i + 1 == summary.size()) {
      text += summary[i];
      continue;
    }
    const auto index = static_cast<unsigned char>(summary[++i]) - size_t{1};
    text += index < texts.size() ? texts[index] : "?";
  }
  if (text.empty()) text = size_text;
  if (!text.empty()) Set(value, std::move(text));
  return true;
}

}  // namespace stillframe::decode
