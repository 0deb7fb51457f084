// Library containers: which memory their elements are in. Hit-path contract: no allocation, lock,
// lazy TLS, logging, exception; no call out of hit/; bounded loops; general registers only.
#include "agent/hit/bytes.h"
#include "agent/hit/walker.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN

struct TreeLinks {
  uint64_t left;
  uint64_t right;
  uint64_t parent;
};

// A word of the object being visited; 0 when it lies outside.
uint64_t Walker::Word(uint32_t data) { return InObject(data, 8) ? Load64(At(data)) : 0; }

void Walker::VisitView(const View& shown, const TypeNode& node, uint32_t data, uint8_t level) {
  const auto below = static_cast<uint8_t>(level + 1);
  const bool is_custom = shown.kind == ViewKind::kCustom;
  if (is_custom && Expands(level)) {
    PushMembers(data, shown.first_member, shown.member_count, level, below);
  }
  const View& view = is_custom ? ItemsOf(shown, data) : shown;
  switch (view.kind) {
    case ViewKind::kString:
    case ViewKind::kStringView:
      return FollowString(view, data);
    case ViewKind::kSequence:
      return FollowSequence(view, data, level);
    case ViewKind::kInlineArray:
      if (Expands(level)) PushElements(data + view.a, view.element, view.count, below);
      return;
    case ViewKind::kTree:
      return FollowTree(view, data, level);
    case ViewKind::kHash:
      return FollowHash(view, data, level);
    case ViewKind::kOptional:
      if (InObject(data + view.a, 1) && *At(data + view.a) != 0) {
        PushElements(data + view.b, view.element, 1, level);
      }
      return;
    case ViewKind::kVariant: {
      if (!Expands(level) || view.size_bytes > 8 || !InObject(data + view.a, view.size_bytes)) {
        return;
      }
      const uint64_t index = LoadSmall(At(data + view.a), view.size_bytes);
      if (index >= view.member_count) return;
      const Member& member = unit_->members[view.first_member + index];
      if ((member.flags & kMemberRedacted) != 0) return;
      return PushElements(data + view.b + member.offset_bytes, member.type, 1, below);
    }
    case ViewKind::kUniquePtr:
    case ViewKind::kSharedPtr:
    case ViewKind::kWeakPtr:
      return FollowSmartPointer(view, data, level);
    case ViewKind::kPair:
    case ViewKind::kTuple:
      if (!Expands(level)) return;
      if (view.member_count != 0) {
        return PushMembers(data, view.first_member, view.member_count, level, below);
      }
      return PushMembers(data, node.first_member, node.member_count, level, below);
    default:
      return VisitOtherView(view, node, data, level);
  }
}

void Walker::FollowString(const View& view, uint32_t data) {
  if (view.layout == kInPlace) return;
  const uint64_t address = Word(data + view.a);
  // Of a short string size_bytes is its room.
  const bool is_short = view.kind == ViewKind::kShortString;
  const uint64_t size = is_short ? Word(data + view.b) : Count(view, data);
  if ((Type(view.element).flags & kFlagRedacted) != 0) return;
  const uint64_t limit = uint64_t{CheckedTextBytes(limits_)} + 1;
  const uint64_t unit = Type(view.element).size_bytes == 0 ? 1 : Type(view.element).size_bytes;
  const uint64_t bytes = size > limit ? limit : size * unit;
  Enqueue(address, bytes > limit ? limit : bytes, PendingKind::kRaw, kVoidType, 0, 0);
  if (size > limit) Enqueue(address + size * unit - 1, 1, PendingKind::kRaw, kVoidType, 0, 0);
}

void Walker::FollowSequence(const View& view, uint32_t data, uint8_t level) {
  const uint64_t begin = Word(data + view.a);
  const uint64_t end = Word(data + view.b);
  const TypeNode& element = Type(view.element);
  if (begin == 0 || end <= begin || element.size_bytes == 0 || !Expands(level) ||
      (element.flags & kFlagRedacted) != 0) {
    return;
  }
  EnqueueElements(begin, (end - begin) / element.size_bytes, view.element,
                  static_cast<uint8_t>(level + 1));
}

bool Walker::ReadLinks(uint64_t node, void* out, uint32_t size_bytes) {
  if (steps_left_ == 0) {
    record_.MarkTruncated();
    return false;
  }
  --steps_left_;
  return reader_.Read(node, out, size_bytes);
}

void Walker::EnqueueNode(const View& view, uint64_t node, uint8_t level) {
  const PendingKind kind = view.key_value != 0 ? PendingKind::kPairNode : PendingKind::kNode;
  const TypeNode& element = Type(view.element);
  // Of what must not be seen the links alone.
  const bool is_secret = (element.flags & kFlagRedacted) != 0;
  Enqueue(node, uint64_t{view.c} + (is_secret ? 0 : element.size_bytes),
          is_secret ? PendingKind::kRaw : kind, view.element, view.c,
          static_cast<uint8_t>(level + 1));
}

// The links lie in the first 32 bytes of a node: one read for all.
bool Walker::ReadTreeLinks(const View& view, uint64_t node, TreeLinks& links) {
  uint8_t bytes[32];
  if (!ReadLinks(node, bytes, sizeof(bytes))) return false;
  links.left = Load64(bytes + (view.left & 24));
  links.right = Load64(bytes + (view.right & 24));
  links.parent = Load64(bytes + (view.parent & 24)) & ~uint64_t{view.e};
  return true;
}

// The in-order successor; false at the end or when memory cannot be read.
bool Walker::NextTreeNode(const View& view, uint64_t& node, uint32_t& steps_left) {
  TreeLinks links;
  if (!ReadTreeLinks(view, node, links)) return false;
  if (links.right != 0) {
    node = links.right;
    while (steps_left-- != 0 && ReadTreeLinks(view, node, links)) {
      if (links.left == 0) return true;
      node = links.left;
    }
    return false;
  }
  uint64_t parent = links.parent;
  while (steps_left-- != 0 && ReadTreeLinks(view, parent, links)) {
    if (links.right != node) {
      node = parent;
      return true;
    }
    node = parent;
    parent = links.parent;
  }
  return false;
}

void Walker::FollowTree(const View& view, uint32_t data, uint8_t level) {
  if (!Expands(level)) return;
  const uint64_t all = Count(view, data);
  const uint64_t count = Shown(all);
  uint64_t node = Word(data + view.a);
  // A tree of n nodes is walked in 2n steps; a little more for the way to the first.
  uint32_t steps_left = 2 * static_cast<uint32_t>(count) + 64;
  for (uint64_t i = 0; i < count && node != 0; ++i) {
    EnqueueNode(view, node, level);
    if (i + 1 < count && !NextTreeNode(view, node, steps_left)) return;
    if (i % 16 == 15 && stillframe_read_ticks() > deadline_ticks_) return record_.MarkTruncated();
  }
  if (count < all) TakeAncestors(view, node);
}

// The way to the nodes that are shown led through some that are not: what is above the last.
void Walker::TakeAncestors(const View& view, uint64_t node) {
  constexpr uint32_t kMostDepth = 64;
  TreeLinks links;
  if (node == 0 || !ReadTreeLinks(view, node, links)) return;
  for (uint32_t i = 0; i < kMostDepth && links.parent != 0; ++i) {
    const uint64_t above = links.parent;
    if (!ReadTreeLinks(view, above, links)) return;
    Enqueue(above, sizeof(uint64_t) * 4, PendingKind::kRaw, kVoidType, 0, 0);
    if (links.parent == node) return;  // a header and its root are each other's parent
    node = above;
  }
}

void Walker::FollowHash(const View& view, uint32_t data, uint8_t level) {
  if (!Expands(level)) return;
  uint64_t count = view.layout == kUncounted ? limits_.items : Count(view, data);
  if (count > limits_.items) count = limits_.items;
  uint64_t node = Word(data + view.a);
  for (uint64_t i = 0; i < count && node != 0; ++i) {
    EnqueueNode(view, node, level);
    if (i + 1 < count && !ReadLinks(node + view.left, &node, 8)) return;
    if (i % 16 == 15 && stillframe_read_ticks() > deadline_ticks_) return record_.MarkTruncated();
  }
}

void Walker::FollowSmartPointer(const View& view, uint32_t data, uint8_t level) {
  if (view.kind != ViewKind::kUniquePtr) {
    Enqueue(Word(data + view.b), view.layout == kLibcxx ? 24 : 16, PendingKind::kRaw, kVoidType, 0,
            0);
  }
  FollowPointer(Word(data + view.a), view.element, level);
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
