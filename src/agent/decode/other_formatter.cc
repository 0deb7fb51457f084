// The less common library types (plan/type_table.h lists the views).
#include <algorithm>

#include "agent/decode/scalar_text.h"
#include "agent/decode/time_text.h"
#include "agent/decode/value_formatter.h"
#include "agent/decode/value_text.h"
#include "model/redaction.h"

namespace stillframe::decode {
namespace {

using model::Value;
using model::ValueStatus;

constexpr uint64_t kPlausibleCount = uint64_t{1} << 46;

Value Bit(uint64_t index, bool set) {
  Value bit;
  bit.name = "[" + std::to_string(index) + "]";
  bit.type = "bool";
  Set(bit, set ? "true" : "false");
  return bit;
}

}  // namespace

bool ValueFormatter::FormatOtherView(Value& value, const TypeNode& node, const View& view,
                                     const Object& object, uint32_t level) {
  switch (view.kind) {
    case ViewKind::kCounted:
      return FormatCounted(value, view, object, level);
    case ViewKind::kShortString:
      return FormatShortString(value, view, object);
    case ViewKind::kBits:
      return FormatBits(value, view, object, level);
    case ViewKind::kBitset:
      return FormatBitset(value, view, object);
    case ViewKind::kDeque:
      return FormatDeque(value, view, object, level);
    case ViewKind::kWrapper: {
      // What it holds stands for it: its value, its children.
      const std::string type = value.type;
      ++context_.values_left;
      value = Format(value.name, view.element, object.At(view.a), level);
      value.type = type;
      return true;
    }
    case ViewKind::kDuration:
      return FormatDuration(value, view, object, level);
    case ViewKind::kMutex:
      return FormatMutex(value, view, object);
    case ViewKind::kAny:
      return FormatAny(value, node, view, object, level);
    case ViewKind::kFunction:
      return FormatFunction(value, view, object);
    case ViewKind::kExceptionPtr:
    case ViewKind::kCoroutine:
      return FormatHandle(value, view, object);
    case ViewKind::kIterator:
      return FormatIterator(value, view, object, level);
    case ViewKind::kCustom:
      return FormatCustom(value, view, object, level);
    default:
      return Corrupt("unknown view");
  }
}

bool ValueFormatter::FormatCounted(Value& value, const View& view, const Object& object,
                                   uint32_t level) {
  const uint64_t size = Node(view.element).size_bytes;
  uint64_t data = 0, count = view.count;
  if (view.layout == kInPlace) return FormatArrayInPlace(value, view, object, level);
  if (!ReadWord(value, object, view.a, data)) return true;
  if (view.layout != kFixedCount && !ReadCount(value, object, view, count)) return true;
  if (size == 0) return Corrupt("its elements have no size");
  if (data == 0 && count != 0) return Corrupt("it has a size and no elements");
  if (count > kPlausibleCount / size || EndsOutside(data, count * size)) {
    return Corrupt(std::to_string(count) + " elements at " + HexText(data) + " are not mapped");
  }
  Set(value, "size=" + std::to_string(count));
  context_.containers.AddArray(data, count, size);
  if (view.key_value == 0) {
    AddElements(value, view.element, Object::InMemory(*context_.record, data), count, level);
    return true;
  }
  if (count == 0 || !Expands(value, level)) return true;
  const uint64_t shown = std::min<uint64_t>(count, context_.limits.items);
  for (uint64_t i = 0; i < shown && context_.values_left > 0; ++i) {
    value.children.push_back(FormatEntry(view, i, data + i * size, level + 1));
  }
  if (value.children.size() < count) Truncate(value);
  return true;
}

bool ValueFormatter::FormatArrayInPlace(Value& value, const View& view, const Object& object,
                                        uint32_t level) {
  uint64_t count = 0;
  if (!ReadCount(value, object, view, count)) return true;
  if (count > view.count) {
    return Corrupt("its size is " + std::to_string(count) + " and there is room for " +
                   std::to_string(view.count));
  }
  Set(value, "size=" + std::to_string(count));
  if (object.in_memory()) {
    context_.containers.AddArray(object.address() + view.a, count, Node(view.element).size_bytes);
  }
  AddElements(value, view.element, object.At(view.a), count, level);
  return true;
}

bool ValueFormatter::FormatShortString(Value& value, const View& view, const Object& object) {
  uint8_t flag = 0;
  if (const Code code = object.Read(view.d, &flag, 1); code != Code::kOk) {
    value = Unavailable(value.name, value.type, code);
    return true;
  }
  if ((flag & view.left) != 0) return FormatString(value, view, object);
  const uint64_t size = view.left == 1 ? flag >> 1 : flag & (view.left - 1);
  return FormatTextInPlace(value, view, object, view.c, size, view.size_bytes);
}

// Text of `size` characters in the object itself.
bool ValueFormatter::FormatTextInPlace(Value& value, const View& view, const Object& object,
                                       uint64_t offset, uint64_t size, uint64_t room_bytes) {
  const TypeNode& character = Node(view.element);
  const uint64_t unit = std::max<uint64_t>(character.size_bytes, 1);
  if (size > room_bytes / unit) {
    return Corrupt("its size is " + std::to_string(size) + " and there is room for " +
                   std::to_string(room_bytes / unit));
  }
  const uint64_t shown =
      std::min<uint64_t>(size * unit, context_.limits.string_bytes) / unit * unit;
  std::string text(shown, '\0');
  if (const Code code = object.Read(offset, text.data(), shown); code != Code::kOk) {
    value = Unavailable(value.name, value.type, code);
    return true;
  }
  if (IsSecretText(text, static_cast<uint32_t>(unit),
                   object.in_memory() ? object.address() + offset : 0, size * unit)) {
    model::WipeText(text);
    Redact(value);
    return true;
  }
  if (object.in_memory()) context_.containers.AddArray(object.address() + offset, size, unit);
  SetText(value, character, std::move(text), shown < size * unit);
  return true;
}

bool ValueFormatter::FormatBits(Value& value, const View& view, const Object& object,
                                uint32_t level) {
  uint64_t begin = 0, count = 0;
  if (!ReadWord(value, object, view.a, begin) || !ReadWord(value, object, view.b, count)) {
    return true;
  }
  if (view.layout != kLibcxx) {
    uint32_t used = 0;
    const uint64_t end = count;
    if (object.Read(view.c, &used, sizeof used) != Code::kOk) return true;
    if (end < begin) return Corrupt("its end is before its begin");
    if (used >= 64 || (end - begin) % 8 != 0) return Corrupt("its end is inside a word");
    count = (end - begin) * 8 + used;
  }
  if (count > kPlausibleCount || (begin == 0 && count != 0)) {
    return Corrupt("its size is " + std::to_string(count));
  }
  Set(value, "size=" + std::to_string(count));
  context_.containers.AddBits(begin, count);
  if (count == 0 || !Expands(value, level)) return true;
  const uint64_t shown = std::min<uint64_t>(count, context_.limits.items);
  for (uint64_t i = 0; i < shown && context_.values_left > 0; ++i) {
    uint8_t byte = 0;
    const Code code = context_.record->Read(begin + i / 8, &byte, 1);
    if (code == Code::kUnreadable) {
      return Corrupt(std::to_string(count) + " bits at " + HexText(begin) + " are not mapped");
    }
    if (code != Code::kOk) break;
    --context_.values_left;
    value.children.push_back(Bit(i, (byte >> i % 8 & 1) != 0));
  }
  if (value.children.size() < count) Truncate(value);
  return true;
}

// Highest bit first, as std::bitset prints itself and as it is written in C++.
bool ValueFormatter::FormatBitset(Value& value, const View& view, const Object& object) {
  const uint64_t limit = context_.limits.string_bytes;
  const uint64_t shown = std::min(view.count, limit);
  std::string text = "0b";
  for (uint64_t i = 0; i < shown; ++i) {
    const uint64_t bit = view.count - 1 - i;
    uint8_t byte = 0;
    if (const Code code = object.Read(view.a + bit / 8, &byte, 1); code != Code::kOk) {
      value = Unavailable(value.name, value.type, code);
      return true;
    }
    text += (byte >> bit % 8 & 1) != 0 ? '1' : '0';
  }
  Set(value, text + (shown < view.count ? "..." : ""));
  if (shown < view.count) Truncate(value);
  return true;
}

bool ValueFormatter::ReadDeque(Value& value, const View& view, const Object& object,
                               DequeExtent& extent) {
  const uint64_t size = Node(view.element).size_bytes;
  extent.per_block = view.c;
  if (view.layout == kLibcxx) {
    if (!ReadWord(value, object, view.a, extent.map) ||
        !ReadWord(value, object, view.b, extent.count) ||
        !ReadWord(value, object, view.d, extent.start)) {
      return true;
    }
    return extent.start <= kPlausibleCount ||
           Corrupt("its start is " + std::to_string(extent.start));
  }
  uint64_t start[4] = {}, finish[4] = {};  // current, first, last, block
  Code code = object.Read(view.a, start, sizeof start);
  if (code == Code::kOk) code = object.Read(view.b, finish, sizeof finish);
  if (code != Code::kOk) {
    value = Unavailable(value.name, value.type, code);
    return true;
  }
  const uint64_t per_block = view.c != 0 ? view.c : (start[2] - start[1]) / size;
  // One that never had an element may have no blocks.
  if (view.c == 0 && std::all_of(start, start + 4, [](uint64_t word) { return word == 0; }) &&
      std::equal(start, start + 4, finish)) {
    return true;
  }
  const auto sound = [&](const uint64_t* it) {
    return it[1] <= it[0] && it[0] <= it[2] && it[2] - it[1] == per_block * size &&
           (it[0] - it[1]) % size == 0;
  };
  if (per_block == 0 || per_block > kPlausibleCount / size) {
    return Corrupt("its blocks have no size");
  }
  if (!sound(start) || !sound(finish)) return Corrupt("an iterator is outside of its block");
  if (finish[3] < start[3] || (finish[3] - start[3]) % 8 != 0) {
    return Corrupt("its end is before its begin");
  }
  extent.map = start[3];
  extent.start = (start[0] - start[1]) / size;
  const uint64_t to_end = (finish[3] - start[3]) / 8 * per_block + (finish[0] - finish[1]) / size;
  if (to_end < extent.start) return Corrupt("its end is before its begin");
  extent.count = to_end - extent.start;
  extent.per_block = per_block;
  return true;
}

bool ValueFormatter::FormatDeque(Value& value, const View& view, const Object& object,
                                 uint32_t level) {
  const uint64_t size = Node(view.element).size_bytes;
  if (size == 0) return Corrupt("its elements have no size");
  DequeExtent extent;
  if (!ReadDeque(value, view, object, extent)) return false;
  if (value.status != ValueStatus::kExact) return true;
  if (extent.count > kPlausibleCount / size) {
    return Corrupt("its size is " + std::to_string(extent.count));
  }
  Set(value, "size=" + std::to_string(extent.count));
  context_.containers.AddDeque(extent);
  if (extent.count == 0 || !Expands(value, level)) return true;
  const uint64_t shown = std::min<uint64_t>(extent.count, context_.limits.items);
  for (uint64_t i = 0; i < shown && context_.values_left > 0; ++i) {
    const uint64_t at = extent.start + i;
    uint64_t block = 0;
    const Code code =
        context_.record->Read(extent.map + at / extent.per_block * 8, &block, sizeof block);
    if (code == Code::kUnreadable) {
      return Corrupt("its blocks at " + HexText(extent.map) + " are not mapped");
    }
    if (code != Code::kOk) break;
    const Object element = Object::InMemory(*context_.record, block + at % extent.per_block * size);
    NoteElement(element.address(), level);
    value.children.push_back(
        Format("[" + std::to_string(i) + "]", view.element, element, level + 1));
  }
  if (value.children.size() < extent.count) Truncate(value);
  return true;
}

bool ValueFormatter::FormatDuration(Value& value, const View& view, const Object& object,
                                    uint32_t level) {
  const std::string type = value.type;
  const TypeNode& node = Node(view.element);
  const uint64_t denominator = uint64_t{view.d} << 32 | view.c;
  Value count = Format("count", view.element, object.At(view.a), level + 1);
  ++context_.values_left;
  if (!count.has_value) {
    count.name = value.name;
    count.type = type;
    value = std::move(count);
    return true;
  }
  std::string text;
  if (node.kind == TypeKind::kSigned || node.kind == TypeKind::kUnsigned) {
    uint8_t bytes[16] = {};
    if (node.size_bytes > sizeof bytes) return Corrupt("its count is too large");
    (void)object.Read(view.a, bytes, node.size_bytes);
    const std::span<const uint8_t> raw(bytes, node.size_bytes);
    const Int128 number =
        node.kind == TypeKind::kSigned ? ReadSigned(raw) : static_cast<Int128>(ReadUnsigned(raw));
    if (view.layout == kSystemTime) text = SystemTimeText(number, view.count, denominator);
    if (text.empty()) text = DurationText(number, view.count, denominator);
  } else {
    text = DurationText(count.value, view.count, denominator);
  }
  Set(value, std::move(text));
  // The raw count is said as well, where that does not go beyond the depth.
  if (level < context_.limits.depth) value.children.push_back(std::move(count));
  return true;
}

// glibc's pthread_rwlock_t. While a writer has it, the readers counted are those that wait.
bool ValueFormatter::FormatReadWriteLock(Value& value, const View& view, const Object& object) {
  constexpr uint32_t kWritePhase = 1;  // of readers; the count begins at bit 3
  constexpr uint64_t kWriterOffset = 24;
  uint32_t readers = 0;
  int32_t writer = 0;
  Code code = object.Read(view.a, &readers, sizeof readers);
  if (code == Code::kOk) code = object.Read(view.a + kWriterOffset, &writer, sizeof writer);
  if (code != Code::kOk) {
    value = Unavailable(value.name, value.type, code);
    return true;
  }
  if (writer < 0) return Corrupt("its writer is " + std::to_string(writer));
  const bool shared = (readers & kWritePhase) == 0 && readers >> 3 != 0;
  Set(value, writer != 0 ? "locked by thread " + std::to_string(writer)
             : shared    ? "locked shared by " + std::to_string(readers >> 3)
                         : "unlocked");
  return true;
}

// What libc++ keeps beside the mutex of its own.
bool ValueFormatter::FormatLibcxxLock(Value& value, const View& view, const Object& object) {
  constexpr uint64_t kWriter = uint64_t{1} << 31;
  uint64_t words[2] = {};
  const uint64_t bytes = view.layout == kLibcxxTimed ? 1 : view.layout == kLibcxxShared ? 4 : 16;
  if (const Code code = object.Read(view.a, words, bytes); code != Code::kOk) {
    value = Unavailable(value.name, value.type, code);
    return true;
  }
  const uint64_t state = words[0];
  if (state == 0) {
    Set(value, "unlocked");
  } else if (view.layout == kLibcxxTimed) {
    if (state != 1) return Corrupt("its flag is " + std::to_string(state));
    Set(value, "locked");
  } else if (view.layout == kLibcxxRecursiveTimed) {
    Set(value,
        "locked by pthread_t " + HexText(words[1]) + ", " + std::to_string(state) + " times");
  } else if (state == kWriter) {
    Set(value, "locked");
  } else {
    Set(value, "locked shared by " + std::to_string(state & ~kWriter) +
                   ((state & kWriter) != 0 ? ", a writer waits" : ""));
  }
  return true;
}

// glibc's pthread_mutex_t: lock, recursion, owner.
bool ValueFormatter::FormatMutex(Value& value, const View& view, const Object& object) {
  if (view.layout == kReadWrite) return FormatReadWriteLock(value, view, object);
  if (view.layout != kPlain && view.layout != kRecursive) {
    return FormatLibcxxLock(value, view, object);
  }
  int32_t fields[3] = {};
  if (const Code code = object.Read(view.a, fields, sizeof fields); code != Code::kOk) {
    value = Unavailable(value.name, value.type, code);
    return true;
  }
  if (fields[0] < 0 || fields[0] > 2) {
    return Corrupt("its lock word is " + std::to_string(fields[0]));
  }
  if (fields[0] == 0) {
    Set(value, "unlocked");
    return true;
  }
  std::string text = "locked by thread " + std::to_string(fields[2]);
  if (view.layout == kRecursive) text += ", " + std::to_string(fields[1]) + " times";
  Set(value, std::move(text));
  return true;
}

bool ValueFormatter::FormatAny(Value& value, const TypeNode& node, const View& view,
                               const Object& object, uint32_t level) {
  uint64_t manager = 0;
  if (!ReadWord(value, object, view.a, manager)) return true;
  if (manager == 0) {
    Set(value, "no value");
    return true;
  }
  const Derived* held = FindDerived(node, manager);
  if (held == nullptr) {
    // Its manager's name is all that is known.
    Set(value, "managed by " + PointerText(manager));
    value.status = ValueStatus::kTruncated;
    value.reason = CodeName(Code::kIncompleteType);
    return true;
  }
  Set(value, "holds " + Text(Node(held->type).name));
  if (!Expands(value, level)) return true;
  Object content = object.At(view.b);
  if (held->base_offset != 0) {
    uint64_t address = 0;
    if (!ReadWord(value, object, view.b, address)) return true;
    content = Object::InMemory(*context_.record, address);
  }
  value.children.push_back(Format("value", held->type, content, level + 1));
  return true;
}

}  // namespace stillframe::decode
