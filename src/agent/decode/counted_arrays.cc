// Arrays whose size only a frame knows (C's variable-length arrays), of any number of dimensions.
#include <algorithm>

#include "agent/decode/value_formatter.h"
#include "agent/decode/value_text.h"

namespace stillframe::decode {

using model::Value;
using model::ValueStatus;

// "5 x 70000000" of what is no size of an array; "" of what may be.
std::string ValueFormatter::FaultOf(TypeId type, std::span<const uint64_t> counts) const {
  uint64_t bytes = 1;
  bool fits = true;
  std::string text;
  for (const uint64_t count : counts) {
    text += (text.empty() ? "" : " x ") + std::to_string(static_cast<int64_t>(count));
    fits = fits && (count == 0 || bytes <= kLargestCountedBytes / count);
    bytes *= count;
    type = Node(type).target;
  }
  const uint64_t element_bytes = Node(type).size_bytes;
  fits = fits && (element_bytes == 0 || bytes <= kLargestCountedBytes / element_bytes);
  return fits ? "" : text;
}

Value ValueFormatter::FormatCounted(std::string name, TypeId type, const Object& object,
                                    std::span<const uint64_t> counts) {
  const TypeNode node = Node(type);
  const bool leads = node.kind == TypeKind::kPointer || node.kind == TypeKind::kReference;
  if (const std::string fault = FaultOf(leads ? node.target : type, counts); !fault.empty()) {
    Value value = FormatUncounted(std::move(name), type, object, Code::kImplausible);
    Value& array = value.children.empty() ? value : value.children.front();
    array.status = ValueStatus::kUnreadable;
    array.reason += ": its size is " + fault;
    return value;
  }
  if (!leads) return FormatRows(std::move(name), type, object, counts, 0);
  Value value = FormatUncounted(std::move(name), type, object, Code::kOk);
  uint64_t address = 0;
  if (value.children.empty() || object.Read(0, &address, sizeof address) != Code::kOk) return value;
  const Object array = Object::InMemory(*context_.record, address);
  if (node.kind == TypeKind::kPointer) {
    value.children = {FormatRows("*" + value.name, node.target, array, counts, 1)};
    return value;
  }
  Value target = FormatRows(value.name, node.target, array, counts, 0);
  target.type = value.type;
  return target;
}

Value ValueFormatter::FormatUncounted(std::string name, TypeId type, const Object& object,
                                      Code reason) {
  const TypeNode node = Node(type);
  Value value = Unavailable(std::move(name), Text(node.name), reason);
  const bool leads = node.kind == TypeKind::kPointer || node.kind == TypeKind::kReference;
  const bool is_secret = ((node.flags | Node(node.target).flags) & kFlagRedacted) != 0;
  uint64_t address = 0;
  if (is_secret) {
    Redact(value);
  } else if (leads && ReadWord(value, object, 0, address)) {
    value.status = ValueStatus::kExact;
    value.reason.clear();
    if (node.kind == TypeKind::kPointer) Set(value, PointerText(address));
    const bool shows = address != 0 && (node.kind == TypeKind::kReference || Expands(value, 0));
    if (shows) {
      value.children = {Unavailable("*" + value.name, Text(Node(node.target).name), reason)};
    }
  }
  return value;
}

// Rows of rows: each of the counts[0] elements is an array of the other counts.
Value ValueFormatter::FormatRows(std::string name, TypeId type, const Object& object,
                                 std::span<const uint64_t> counts, uint32_t level) {
  TypeNode array = Node(type);
  if (array.kind != TypeKind::kArray || (array.flags & kFlagRedacted) != 0 || counts.empty()) {
    return Format(std::move(name), type, object, level);
  }
  Value value = Unavailable(std::move(name), Text(array.name), Code::kLimit);
  if (context_.values_left == 0) return value;
  --context_.values_left;
  value.status = ValueStatus::kExact;
  value.reason.clear();
  array.count = counts.front();
  array.flags &= static_cast<uint8_t>(~kFlagCountedByVariable);
  if (counts.size() == 1) {
    FormatArray(value, array, object, level);
    HideSecretCharacters(value);
    return value;
  }
  uint64_t row_bytes = 1;
  TypeId element = array.target;
  for (const uint64_t count : counts.subspan(1)) {
    row_bytes *= count;
    element = Node(element).target;
  }
  row_bytes *= Node(element).size_bytes;
  Set(value, "size=" + std::to_string(array.count));
  if (array.count == 0 || !Expands(value, level)) return value;
  const uint64_t shown = std::min<uint64_t>(array.count, context_.limits.items);
  for (uint64_t i = 0; i < shown && context_.values_left > 0; ++i) {
    value.children.push_back(FormatRows("[" + std::to_string(i) + "]", array.target,
                                        object.At(i * row_bytes), counts.subspan(1), level + 1));
  }
  if (value.children.size() < array.count) Truncate(value);
  return value;
}

}  // namespace stillframe::decode
