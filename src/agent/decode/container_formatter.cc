// Library types as what they hold (plan/type_table.h lists the views).
#include <algorithm>
#include <unordered_set>

#include "agent/decode/scalar_text.h"
#include "agent/decode/value_formatter.h"
#include "agent/decode/value_text.h"
#include "model/redaction.h"

namespace stillframe::decode {
namespace {

using model::Value;
using model::ValueStatus;

// Nothing that a program holds in one container is larger; beyond it the fields are garbage.
constexpr uint64_t kPlausibleBytes = uint64_t{1} << 46;

// The numbers of owners and of weak pointers in a control block.
bool ReadCounts(const RecordView& record, uint64_t control, uint8_t layout, int64_t& use,
                int64_t& weak) {
  if (layout == kLibcxx) {
    // __shared_weak_count: vptr, owners - 1, weak owners - 1 (the owners together are one).
    int64_t counts[2] = {};
    if (record.Read(control + 8, counts, sizeof counts) != Code::kOk) return false;
    use = counts[0] + 1;
    weak = counts[1] + 1 - (use > 0 ? 1 : 0);
    return true;
  }
  // _Sp_counted_base: vptr, use count, weak count (one more while in use).
  int32_t counts[2] = {};
  if (record.Read(control + 8, counts, sizeof counts) != Code::kOk) return false;
  use = counts[0];
  weak = int64_t{counts[1]} - (use > 0 ? 1 : 0);
  return true;
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
    default:
      return FormatOtherView(value, node, view, object, level);
  }
  FormatMembers(value, node, object, level);
  return true;
}

bool ValueFormatter::FormatSequence(Value& value, const View& view, const Object& object,
                                    uint32_t level) {
  uint64_t begin = 0, end = 0;
  if (!ReadWord(value, object, view.a, begin) || !ReadWord(value, object, view.b, end)) return true;
  const uint64_t size = Node(view.element).size_bytes;
  if (size == 0) return Corrupt("its elements have no size");
  if (end < begin) return Corrupt("its end is before its begin");
  if ((end - begin) % size != 0) return Corrupt("its end is inside an element");
  if (begin == 0 && end != 0) return Corrupt("it has an end and no begin");
  if (end - begin > kPlausibleBytes || EndsOutside(begin, end - begin)) {
    return Corrupt(std::to_string((end - begin) / size) + " elements at " + HexText(begin) +
                   " are not mapped");
  }
  const uint64_t count = (end - begin) / size;
  context_.containers.AddArray(begin, count, size);
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
  NoteElement(address, level - 1);
  const std::string position = "[" + std::to_string(index) + "]";
  const auto [first_at, second_at] = PairMembers(Node(view.element));
  if (view.key_value == 0 || second_at == 0) return Format(position, view.element, entry, level);
  const Member& first = unit_.members[first_at];
  const Member& second = unit_.members[second_at];
  // Whether the key is secret or names a secret is asked of more of it than may be shown.
  const uint32_t string_bytes = context_.limits.string_bytes;
  context_.limits.string_bytes = std::max(string_bytes, kCheckedTextBytes);
  Value key = Format("key", first.type, entry.At(first.offset_bytes), level);
  context_.limits.string_bytes = string_bytes;
  const bool secret = NamesSecret(key);
  if (string_bytes < kCheckedTextBytes) {
    key = Format("key", first.type, entry.At(first.offset_bytes), level);
  }
  if (!key.has_value && !secret) return Format(position, view.element, entry, level);
  if (secret) {
    return Value{key.has_value ? "[" + key.value + "]" : position,
                 Text(Node(second.type).name),
                 "",
                 false,
                 ValueStatus::kRedacted,
                 "REDACTED",
                 {}};
  }
  return Format("[" + key.value + "]", second.type, entry.At(second.offset_bytes), level);
}

// The in-order successor; false when the record does not hold a step. Balanced trees are no deeper
// than 128.
bool ValueFormatter::NextInTree(const View& view, uint64_t header, uint64_t& node) const {
  constexpr int kMostSteps = 128;
  const RecordView& record = *context_.record;
  uint64_t next = 0;
  if (record.Read(node + view.right, &next, sizeof next) != Code::kOk) return false;
  if (next != 0) {
    for (int steps = 0; steps < kMostSteps; ++steps) {
      node = next;
      if (record.Read(node + view.left, &next, sizeof next) != Code::kOk) return false;
      if (next == 0) return true;
    }
    return false;
  }
  for (int steps = 0; steps < kMostSteps; ++steps) {
    const uint64_t child = node;
    if (record.Read(node + view.parent, &node, sizeof node) != Code::kOk) return false;
    node &= ~uint64_t{view.e};
    if (node == header) return true;
    uint64_t right = 0;
    if (record.Read(node + view.right, &right, sizeof right) != Code::kOk) return false;
    if (right != child) return true;
  }
  return false;
}

bool ValueFormatter::FormatTree(Value& value, const View& view, const Object& object,
                                uint32_t level) {
  if (!object.in_memory()) return Corrupt("it is not in memory");
  uint64_t count = 0, node = 0;
  if (!ReadCount(value, object, view, count)) return true;
  if (!ReadWord(value, object, view.a, node)) return true;
  const uint64_t header = object.address() + view.d;
  if (count > kPlausibleBytes) return Corrupt("its size is " + std::to_string(count));
  if (count == 0 && node != header) return Corrupt("its size is 0 and it has a first node");
  if (count != 0 && node == header) {
    return Corrupt("its size is " + std::to_string(count) + " and it has no node");
  }
  Set(value, "size=" + std::to_string(count));
  if (count == 0 || !Expands(value, level)) return true;
  const uint64_t shown = std::min<uint64_t>(count, context_.limits.items);
  std::unordered_set<uint64_t> seen;
  bool more = true;
  for (uint64_t i = 0; i < shown && more && context_.values_left > 0; ++i) {
    if (node == header || node == 0) {
      return Corrupt("it has " + std::to_string(i) + " nodes and its size is " +
                     std::to_string(count));
    }
    if (!seen.insert(node).second) {
      return Corrupt("its node " + std::to_string(i) + " is one of those before");
    }
    value.children.push_back(FormatEntry(view, i, node + view.c, level + 1));
    more = NextInTree(view, header, node);
  }
  if (more && value.children.size() == count && node != header) {
    return Corrupt("it has more nodes than its size, " + std::to_string(count));
  }
  if (value.children.size() < count) Truncate(value);
  return true;
}

bool ValueFormatter::FormatHash(Value& value, const View& view, const Object& object,
                                uint32_t level) {
  const bool counted = view.layout != kUncounted;
  uint64_t node = 0, count = 0;
  if (!ReadWord(value, object, view.a, node)) return true;
  if (counted && !ReadCount(value, object, view, count)) return true;
  // A list ends at its own link, a chain at 0.
  const uint64_t header = object.in_memory() ? object.address() + view.a - view.left : 0;
  const auto at_end = [&] { return node == 0 || node == header; };
  if (count > kPlausibleBytes) return Corrupt("its size is " + std::to_string(count));
  if (counted && (count == 0) != at_end()) {
    return Corrupt("its size is " + std::to_string(count) +
                   (at_end() ? " and it has no node" : " and it has a first node"));
  }
  if (counted) Set(value, "size=" + std::to_string(count));
  const bool is_list = (view.keys & kKeysNamed) == 0;
  if (is_list && object.in_memory()) context_.containers.AddListEnd(header);
  if (at_end()) {
    Set(value, "size=0");
    return true;
  }
  if (!Expands(value, level)) return true;
  const uint64_t limit = context_.limits.items;
  const uint64_t shown = counted ? std::min(count, limit) : limit;
  std::unordered_set<uint64_t> seen;
  bool more = true;
  for (uint64_t i = 0; i < shown && more && context_.values_left > 0; ++i) {
    if (at_end()) {
      if (!counted) break;
      return Corrupt("it has " + std::to_string(i) + " nodes and its size is " +
                     std::to_string(count));
    }
    if (!seen.insert(node).second) {
      return Corrupt("its node " + std::to_string(i) + " is one of those before");
    }
    if (is_list) context_.containers.AddListNode(node);
    value.children.push_back(FormatEntry(view, i, node + view.c, level + 1));
    more = context_.record->Read(node + view.left, &node, sizeof node) == Code::kOk;
  }
  const uint64_t found = value.children.size();
  if (!counted) {
    const bool whole = more && at_end();
    Set(value, "size=" + std::to_string(found) + (whole ? "" : "+"));
    if (!whole) Truncate(value);
    return true;
  }
  if (more && found == count && !at_end()) {
    return Corrupt("it has more nodes than its size, " + std::to_string(count));
  }
  if (found < count) Truncate(value);
  return true;
}

bool ValueFormatter::IsOptional(const TypeNode& node) const {
  const View& view = unit_.views[node.view < unit_.views.size() ? node.view : 0];
  if (view.kind != ViewKind::kCustom) return view.kind == ViewKind::kOptional;
  return view.b < unit_.views.size() && unit_.views[view.b].kind == ViewKind::kOptional;
}

bool ValueFormatter::FormatOptional(Value& value, const View& view, const Object& object,
                                    uint32_t level) {
  uint8_t engaged = 0;
  const Code code = object.Read(view.a, &engaged, 1);
  if (code != Code::kOk) {
    value = Unavailable(value.name, value.type, code);
    return true;
  }
  if (engaged > 1) return Corrupt("its flag is " + std::to_string(engaged));
  if (engaged == 0) {
    Set(value, view.d != 0 ? Text(view.d) : "std::nullopt");
    return true;
  }
  if (IsOptional(Node(view.element))) {
    // Or an optional that holds an empty one would read like one that holds nothing.
    const std::string type = Text(Node(view.element).name);
    Set(value, view.d != 0 ? "holds " + type.substr(0, type.find('<')) : "holds std::optional");
    value.children.push_back(Format("value", view.element, object.At(view.b), level));
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
  if (index == npos && view.keys != kNeverValueless) {
    Set(value, "valueless");
    return true;
  }
  if (index >= view.member_count || view.first_member + index >= unit_.members.size()) {
    return Corrupt("its index is " + std::to_string(index) + " of " +
                   std::to_string(view.member_count) + " alternatives");
  }
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
    int64_t use = 0, weak = 0;
    if (ReadCounts(*context_.record, control, view.layout, use, weak)) {
      value.value += " (use=" + std::to_string(use) + ", weak=" + std::to_string(weak) + ")";
      // An expired weak pointer's target is gone.
      if (use == 0) return true;
    }
  }
  AddPointee(value, view.element, address, level);
  return true;
}

bool ValueFormatter::FormatTuple(Value& value, const View& view, const Object& object,
                                 uint32_t level) {
  if (view.member_count == 0 || !Expands(value, level)) return true;
  bool secret = false;
  for (uint32_t i = 0; i < view.member_count; ++i) {
    const size_t at = size_t{view.first_member} + i;
    if (at >= unit_.members.size() || context_.values_left == 0) break;
    const Member& member = unit_.members[at];
    std::string name = "[" + std::to_string(i) + "]";
    // ("password", "...")
    if (i == 1) secret = IsSecretKey(Member(unit_.members[view.first_member]), object);
    if (secret) {
      const std::string& type = Text(Node(member.type).name);
      value.children.push_back(
          {std::move(name), type, "", false, model::ValueStatus::kRedacted, "REDACTED", {}});
      continue;
    }
    value.children.push_back(
        Format(std::move(name), member.type, object.At(member.offset_bytes), level + 1));
  }
  return true;
}

}  // namespace stillframe::decode
