// The less common library types, and users' formatters. Hit-path contract: no allocation, lock,
// lazy TLS, logging, exception; no call out of hit/; bounded loops; general registers only.
#include "agent/hit/bytes.h"
#include "agent/hit/walker.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN

void Walker::VisitOtherView(const View& view, const TypeNode& node, uint32_t data, uint8_t level) {
  const auto below = static_cast<uint8_t>(level + 1);
  switch (view.kind) {
    case ViewKind::kCounted: {
      const uint64_t count = view.layout == kFixedCount ? view.count : Count(view, data);
      if (Expands(level)) EnqueueElements(Word(data + view.a), count, view.element, below);
      return;
    }
    case ViewKind::kShortString:
      return FollowShortString(view, data);
    case ViewKind::kBits:
      return FollowBits(view, data);
    case ViewKind::kDeque:
      return FollowDeque(view, data, level);
    case ViewKind::kWrapper:
      return PushElements(data + view.a, view.element, 1, level);
    case ViewKind::kAny:
      return FollowAny(view, node, data, level);
    case ViewKind::kFunction:
      return FollowFunction(view, data);
    case ViewKind::kExceptionPtr:
      return FollowException(Word(data + view.a));
    case ViewKind::kCoroutine:
      return Enqueue(Word(data + view.a), 16, PendingKind::kRaw, kVoidType, 0, 0);
    case ViewKind::kIterator:
      return FollowIterator(view, data, level);
    case ViewKind::kCustom: {
      FollowItems(unit_->views[view.b], data, level);
      if (Expands(level)) PushMembers(data, view.first_member, view.member_count, level, below);
      return;
    }
    default:
      return;
  }
}

// What a user's formatter may say of its items (plan/verifier.h refuses the rest).
void Walker::FollowItems(const View& view, uint32_t data, uint8_t level) {
  switch (view.kind) {
    case ViewKind::kSequence:
      return FollowSequence(view, data, level);
    case ViewKind::kCounted:
      if (!Expands(level)) return;
      return EnqueueElements(Word(data + view.a),
                             view.layout == kFixedCount ? view.count : Count(view, data),
                             view.element, static_cast<uint8_t>(level + 1));
    case ViewKind::kHash:
      return FollowHash(view, data, level);
    case ViewKind::kTree:
      return FollowTree(view, data, level);
    default:
      return;
  }
}

uint64_t Walker::Count(const View& view, uint32_t data) {
  if (view.size_bytes == 0) return Word(data + view.b);
  return InObject(data + view.b, view.size_bytes) ? LoadSmall(At(data + view.b), view.size_bytes)
                                                  : 0;
}

// Elements in a row; `level` is theirs.
void Walker::EnqueueElements(uint64_t address, uint64_t count, TypeId element, uint8_t level) {
  const TypeNode& node = Type(element);
  if (address == 0 || count == 0 || node.size_bytes == 0 || (node.flags & kFlagRedacted) != 0) {
    return;
  }
  if (count > limits_.items) {
    // Whether its end is mapped tells whether the size is to be believed.
    Enqueue(address + count * node.size_bytes - 1, 1, PendingKind::kRaw, kVoidType, 0, 0);
    count = limits_.items;
  }
  const uint64_t most = kMaxObjectBytes / node.size_bytes;
  if (count > most && most != 0) {
    count = most;
    record_.MarkTruncated();
  }
  Enqueue(address, count * node.size_bytes, PendingKind::kElements, element,
          static_cast<uint32_t>(count), level);
}

void Walker::FollowShortString(const View& view, uint32_t data) {
  if (!InObject(data + view.d, 1) || (*At(data + view.d) & view.left) == 0) return;
  FollowString(view, data);
}

void Walker::FollowBits(const View& view, uint32_t data) {
  // A byte for every eight items, and the last word whole.
  const uint64_t most = limits_.items / 8 + 8;
  const uint64_t begin = Word(data + view.a);
  uint64_t bytes = 0;
  if (view.layout == kLibcxx) {
    const uint64_t bits = Word(data + view.b);
    bytes = bits / 64 * 8 + 8;
  } else {
    const uint64_t end = Word(data + view.b);
    if (end < begin) return;
    bytes = end - begin + 8;
  }
  Enqueue(begin, bytes < most ? bytes : most, PendingKind::kRaw, kVoidType, 0, 0);
}

void Walker::FollowDeque(const View& view, uint32_t data, uint8_t level) {
  const uint64_t size_bytes = Type(view.element).size_bytes;
  if (!Expands(level) || size_bytes == 0 || view.c == 0) return;
  const auto below = static_cast<uint8_t>(level + 1);
  uint64_t map = 0, start = 0, left = 0;
  if (view.layout == kLibcxx) {
    map = Word(data + view.a);
    start = Word(data + view.d);
    left = Word(data + view.b);
  } else {
    const uint64_t first = Word(data + view.a + 8);
    const uint64_t current = Word(data + view.a);
    map = Word(data + view.a + 24);
    const uint64_t last_map = Word(data + view.b + 24);
    const uint64_t last_used = Word(data + view.b) - Word(data + view.b + 8);
    if (current < first || last_map < map) return;
    start = (current - first) / size_bytes;
    left = (last_map - map) / 8 * view.c + last_used / size_bytes - start;
  }
  if (map == 0) return;
  if (left > limits_.items) left = limits_.items;
  map += start / view.c * 8;
  start %= view.c;
  // The decoder finds the elements through the same pointers.
  const uint64_t blocks = (start + left + view.c - 1) / view.c;
  Enqueue(map, blocks * 8, PendingKind::kRaw, kVoidType, 0, 0);
  while (left != 0) {
    uint64_t block = 0;
    if (!ReadLinks(map, &block, 8)) return;
    const uint64_t here = view.c - start < left ? view.c - start : left;
    EnqueueElements(block + start * size_bytes, here, view.element, below);
    left -= here;
    map += 8;
    start = 0;
  }
}

void Walker::FollowAny(const View& view, const TypeNode& node, uint32_t data, uint8_t level) {
  const Derived* const held = FindDerived(node, Word(data + view.a));
  if (held == nullptr) return;
  if (held->base_offset == 0) return PushElements(data + view.b, held->type, 1, level);
  EnqueueObject(Word(data + view.b), held->type, level);
}

void Walker::FollowFunction(const View& view, uint32_t data) {
  if (view.layout == kLibcxx) {
    Enqueue(Word(data + view.a), 16, PendingKind::kRaw, kVoidType, 0, 0);
  }
}

// Itanium C++ ABI: Exceptions 2.2.1; the object follows its header.
void Walker::FollowException(uint64_t object) {
  constexpr uint64_t kTypeInfoBelow = 112;
  if (object > kTypeInfoBelow) {
    Enqueue(object - kTypeInfoBelow, 8, PendingKind::kRaw, kVoidType, 0, 0);
  }
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
