// The less common library types. Hit-path contract: no allocation, lock, lazy TLS, logging,
// exception; no call out of hit/; bounded loops; general registers only.
#include "agent/hit/bytes.h"
#include "agent/hit/walker.h"
#include "agent/ring/hit_path.h"
#include "plan/view_layout.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {
constexpr uint64_t kMostInBlock = uint64_t{1} << 32;
}  // namespace

void Walker::VisitOtherView(const View& view, const TypeNode& node, uint32_t data, uint8_t level) {
  switch (view.kind) {
    case ViewKind::kCounted:
      return FollowCounted(view, data, level);
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
    case ViewKind::kSlots:
      return FollowSlots(view, data, level);
    case ViewKind::kBuckets:
      return FollowBuckets(view, data, level);
    case ViewKind::kRing:
      return FollowRing(view, data, level);
    case ViewKind::kRootedTree:
      return FollowRootedTree(view, data, level);
    default:
      return;
  }
}

// A number of the object, or the part of one that such a view reads.
uint64_t Walker::Number(const View& view, uint32_t offset, uint32_t data) {
  const uint32_t size_bytes = view.size_bytes == 0 ? 8 : view.size_bytes;
  if (!InObject(data + offset, size_bytes)) return 0;
  const uint64_t whole = LoadSmall(At(data + offset), size_bytes);
  if (!HasPartialNumber(view.kind)) return whole;
  const uint64_t part = whole >> (view.left & 63);
  return view.right == 0 ? part : part & ((uint64_t{1} << (view.right & 63)) - 1);
}

uint64_t Walker::Count(const View& view, uint32_t data) { return Number(view, view.b, data); }

void Walker::FollowCounted(const View& view, uint32_t data, uint8_t level) {
  if (!Expands(level)) return;
  const auto below = static_cast<uint8_t>(level + 1);
  uint64_t count = view.layout == kFixedCount ? view.count : Count(view, data);
  if (view.layout == kInPlace) {
    if (count <= view.count) PushElements(data + view.a, view.element, count, below);
    return;
  }
  const uint64_t address = Word(data + view.a);
  if (view.key_value == 0) return EnqueueElements(address, count, view.element, below);
  const uint64_t size_bytes = Type(view.element).size_bytes;
  if (address == 0 || count == 0) return;
  Enqueue(address + count * size_bytes - 1, 1, PendingKind::kRaw, kVoidType, 0, 0);
  if (count > limits_.items) count = limits_.items;
  for (uint64_t i = 0; i < count; ++i) EnqueueNode(view, address + i * size_bytes, level);
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
  uint64_t in_block = view.c;
  if (in_block == 0 && size_bytes != 0) {
    in_block = (Word(data + view.a + 16) - Word(data + view.a + 8)) / size_bytes;
  }
  // Of an empty one without blocks nothing is left to divide by; the decoder says what is wrong.
  if (!Expands(level) || size_bytes == 0 || in_block == 0 || in_block > kMostInBlock) return;
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
    left = (last_map - map) / 8 * in_block + last_used / size_bytes - start;
  }
  if (map == 0) return;
  if (left > limits_.items) left = limits_.items;
  map += start / in_block * 8;
  start %= in_block;
  // The decoder finds the elements through the same pointers.
  const uint64_t blocks = (start + left + in_block - 1) / in_block;
  Enqueue(map, blocks * 8, PendingKind::kRaw, kVoidType, 0, 0);
  while (left != 0) {
    uint64_t block = 0;
    if (!ReadLinks(map, &block, 8)) return;
    const uint64_t here = in_block - start < left ? in_block - start : left;
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
