// The items of users' formatters that no library type of ours has. Hit-path contract: no
// allocation, lock, lazy TLS, logging, exception; no call out of hit/; bounded loops; general
// registers only.
#include "agent/hit/bytes.h"
#include "agent/hit/walker.h"
#include "agent/ring/hit_path.h"
#include "plan/view_layout.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

// A table is looked through in pieces of so many bytes. Each is a step from node to node.
constexpr uint32_t kPieceBytes = 64;

// kInGroups (plan/type_table.h).
constexpr uint64_t kGroupBytes = 16;
constexpr uint64_t kGroupSlots = 15;

}  // namespace

// The view that the object's own numbers choose; the verifier has seen that there is an end.
const View& Walker::ItemsOf(const View& custom, uint32_t data) {
  uint32_t at = custom.b;
  for (uint32_t i = 0; i <= kMaxChoices; ++i) {
    const View& view = unit_->views[at];
    if (view.kind != ViewKind::kChoice) return view;
    const bool equal = Number(view, view.a, data) == view.count;
    at = equal != (view.keys == kUnequal) ? view.b : view.c;
  }
  return unit_->views[0];
}

void Walker::FollowSlots(const View& view, uint32_t data, uint8_t level) {
  if (!Expands(level)) return;
  uint64_t left = Shown(Count(view, data));
  const uint64_t marks = Word(data + view.a);
  const uint64_t slots = Word(data + view.e);
  uint64_t end = Word(data + view.d);
  if (left == 0 || marks == 0 || slots == 0) return;
  const bool grouped = view.layout == kInGroups;
  const uint64_t most = kMaxObjectBytes;
  if (grouped) end = end < most / kGroupBytes ? (end + 1) * kGroupBytes : most;
  if (end > most) end = most;
  uint8_t piece[kPieceBytes];
  for (uint64_t at = 0; at < end && left != 0; at += kPieceBytes) {
    const uint64_t bytes = end - at < kPieceBytes ? end - at : kPieceBytes;
    Enqueue(marks + at, bytes, PendingKind::kRaw, kVoidType, 0, 0);  // for the decoder
    if (!ReadLinks(marks + at, piece, static_cast<uint32_t>(bytes))) return;
    for (uint64_t i = 0; i < bytes && left != 0; ++i) {
      const uint64_t in_group = (at + i) % kGroupBytes;
      if (piece[i] < view.keys || piece[i] > view.parent) continue;
      if (grouped && in_group == kGroupSlots) continue;
      const uint64_t index = grouped ? (at + i) / kGroupBytes * kGroupSlots + in_group : at + i;
      uint64_t node = slots + index * view.count;
      --left;
      if (view.layout == kBehindPointers) {
        Enqueue(node, 8, PendingKind::kRaw, kVoidType, 0, 0);
        if (!ReadLinks(node, &node, 8)) return;
      }
      EnqueueNode(view, node, level);
    }
    if (stillframe_read_ticks() > deadline_ticks_) return record_.MarkTruncated();
  }
}

void Walker::FollowBuckets(const View& view, uint32_t data, uint8_t level) {
  if (!Expands(level)) return;
  uint64_t left = Shown(Count(view, data));
  const uint64_t buckets = Word(data + view.a);
  uint64_t count = Word(data + view.d);
  if (left == 0 || buckets == 0 || view.count < 8 || view.e > view.count - 8) return;
  const uint64_t most = kMaxObjectBytes / view.count;
  if (count > most) count = most;
  const uint64_t in_piece = view.count < kPieceBytes ? kPieceBytes / view.count : 1;
  uint8_t piece[kPieceBytes];
  for (uint64_t at = 0; at < count && left != 0; at += in_piece) {
    const uint64_t here = count - at < in_piece ? count - at : in_piece;
    // Large buckets one by one, and of those the pointer alone.
    const bool alone = view.count > kPieceBytes;
    const uint64_t address = buckets + at * view.count + (alone ? view.e : 0);
    const uint64_t bytes = alone ? 8 : here * view.count;
    Enqueue(address, bytes, PendingKind::kRaw, kVoidType, 0, 0);
    if (!ReadLinks(address, piece, static_cast<uint32_t>(bytes))) return;
    for (uint64_t i = 0; i < here && left != 0; ++i) {
      uint64_t node = Load64(piece + (alone ? 0 : i * view.count + view.e));
      while (node != 0 && left != 0) {
        --left;
        EnqueueNode(view, node, level);
        if (left != 0 && !ReadLinks(node + view.parent, &node, 8)) return;
      }
    }
    if (stillframe_read_ticks() > deadline_ticks_) return record_.MarkTruncated();
  }
}

void Walker::FollowRing(const View& view, uint32_t data, uint8_t level) {
  const uint64_t begin = Word(data + view.a);
  const uint64_t end = Word(data + view.d);
  const uint64_t first = Word(data + view.e);
  const uint64_t size_bytes = Type(view.element).size_bytes;
  const uint64_t count = Count(view, data);
  if (!Expands(level) || size_bytes == 0 || begin == 0 || first < begin || end < first) return;
  const auto below = static_cast<uint8_t>(level + 1);
  const uint64_t to_end = (end - first) / size_bytes;
  const uint64_t at_first = count < to_end ? count : to_end;
  EnqueueElements(first, at_first, view.element, below);
  if (at_first < limits_.items) EnqueueElements(begin, count - at_first, view.element, below);
}

// In order, with the nodes above in the scratch space.
void Walker::FollowRootedTree(const View& view, uint32_t data, uint8_t level) {
  if (!Expands(level)) return;
  uint64_t left = view.layout == kUncounted ? limits_.items : Shown(Count(view, data));
  uint64_t node = Word(data + view.a);
  uint64_t* const path = record_.scratch().path;
  const uint32_t link_bytes = (view.left > view.right ? view.left : view.right) + 8;
  uint32_t depth = 0;
  while (left != 0 && (node != 0 || depth != 0)) {
    while (node != 0) {
      // Both links are for the decoder, too, which comes the same way.
      Enqueue(node, link_bytes, PendingKind::kRaw, kVoidType, 0, 0);
      if (depth == kMaxTreeDepth) return record_.MarkTruncated();
      path[depth++] = node;
      if (!ReadLinks(node + view.left, &node, 8)) return;
    }
    node = path[--depth];
    EnqueueNode(view, node, level);
    --left;
    if (!ReadLinks(node + view.right, &node, 8)) return;
    if (left % 16 == 0 && stillframe_read_ticks() > deadline_ticks_) {
      return record_.MarkTruncated();
    }
  }
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
