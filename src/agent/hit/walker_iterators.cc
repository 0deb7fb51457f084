// Iterators: the element that one shows, and what tells whether it shows one. Hit-path contract: no
// allocation, lock, lazy TLS, logging, exception; no call out of hit/; bounded loops; general
// registers only.
#include "agent/hit/bytes.h"
#include "agent/hit/walker.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN

// Of both libraries' nodes; the decoder reads the same bytes.
struct NodeLinks {
  uint64_t left;
  uint64_t right;
  uint64_t parent;
  bool is_red;  // libstdc++; the header always, the root never
};

namespace {
constexpr uint32_t kLinkBytes = 32;
// Balanced trees are no deeper than 128, and one path is walked down and up.
constexpr uint32_t kMostTreeSteps = 256;
}  // namespace

// The node's links, which go into the record too, or that they cannot be read.
bool Walker::TakeTreeLinks(const View& view, uint64_t node, NodeLinks& links) {
  uint8_t bytes[kLinkBytes];
  Enqueue(node, sizeof(bytes), PendingKind::kRaw, kVoidType, 0, 0);
  if (node == 0 || !ReadLinks(node, bytes, sizeof(bytes))) return false;
  links.left = Load64(bytes + (view.left & 24));
  links.right = Load64(bytes + (view.right & 24));
  links.parent = Load64(bytes + (view.parent & 24));
  links.is_red = bytes[0] == 0;
  return true;
}

// Its neighbours know a node; an end node they do not.
void Walker::TakeNeighbours(const View& view, const NodeLinks& links, uint64_t node) {
  NodeLinks other;
  (void)TakeTreeLinks(view, links.parent, other);
  if (view.layout != kInLibcxxTree) return;
  Enqueue(node - 8, 8, PendingKind::kRaw, kVoidType, 0, 0);  // an end node's first node
  (void)TakeTreeLinks(view, links.left, other);
  (void)TakeTreeLinks(view, links.right, other);
}

// The in-order predecessor as the decoder finds it (decode/iterator_formatter.cc), which knows
// where the tree ends; 0 when there is none.
uint64_t Walker::PreviousInTree(const View& view, uint64_t node) {
  NodeLinks links;
  NodeLinks above;
  if (!TakeTreeLinks(view, node, links)) return 0;
  TakeNeighbours(view, links, node);
  // libstdc++'s header, whose parent is the root: the last node is its right link.
  const bool is_header = view.layout == kInTree && links.is_red &&
                         TakeTreeLinks(view, links.parent, above) && above.parent == node;
  uint32_t steps_left = kMostTreeSteps;
  if (links.left != 0 && !is_header) {
    node = links.left;
    while (steps_left-- != 0 && TakeTreeLinks(view, node, links) && links.right != 0) {
      node = links.right;
    }
    return node;
  }
  if (is_header) return links.right;
  while (steps_left-- != 0 && TakeTreeLinks(view, links.parent, above)) {
    if (above.left != node) return links.parent;
    // Or it is the end node.
    TakeNeighbours(view, above, links.parent);
    node = links.parent;
    links = above;
  }
  return 0;
}

void Walker::FollowIterator(const View& view, uint32_t data, uint8_t level) {
  const uint64_t at = Word(data + view.a);
  const TypeNode& element = Type(view.element);
  if (at == 0) return;
  if (view.layout == kAtBit) {  // or the last bit of the word before
    return Enqueue(at - 8, 16, PendingKind::kRaw, kVoidType, 0, 0);
  }
  if (!Expands(level) || (element.flags & kFlagRedacted) != 0) return;
  const auto below = static_cast<uint8_t>(level + 1);
  const bool reversed = view.keys != 0;
  switch (view.layout) {
    case kAtElement:
      return EnqueueObject(reversed ? at - element.size_bytes : at, view.element, below);
    case kInDeque: {
      const uint64_t map = Word(data + view.b);
      Enqueue(map - 8, 16, PendingKind::kRaw, kVoidType, 0, 0);
      uint64_t block = 0;
      if (!reversed) return EnqueueObject(at, view.element, below);
      if (!ReadLinks(map, &block, 8)) return;
      if (at != block) return EnqueueObject(at - element.size_bytes, view.element, below);
      if (!ReadLinks(map - 8, &block, 8)) return;
      return EnqueueObject(block + uint64_t{view.c - 1} * element.size_bytes, view.element, below);
    }
    case kInList: {
      uint64_t node = at;
      Enqueue(at, 16, PendingKind::kRaw, kVoidType, 0, 0);
      if (reversed && !ReadLinks(at + (view.left & 8), &node, 8)) return;
      return EnqueueNode(view, node, level);
    }
    case kInTree:
    case kInLibcxxTree: {
      NodeLinks links;
      const uint64_t node = reversed ? PreviousInTree(view, at) : at;
      if (!TakeTreeLinks(view, node, links)) return;
      TakeNeighbours(view, links, node);
      return EnqueueNode(view, node, level);
    }
    default:
      return EnqueueNode(view, at, level);
  }
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
