// Which bytes of an object a view reads: asked by the symbolizer when it makes one, and by the
// verifier before a hit may use it.
#ifndef STILLFRAME_PLAN_VIEW_LAYOUT_H_
#define STILLFRAME_PLAN_VIEW_LAYOUT_H_

#include <cstdint>

#include "plan/plan.h"

namespace stillframe {

// The element is laid out inside the object itself.
inline bool HoldsElement(ViewKind kind) {
  return kind == ViewKind::kInlineArray || kind == ViewKind::kOptional ||
         kind == ViewKind::kWrapper || kind == ViewKind::kDuration;
}

// Walking a structure without elements of its own leads nowhere else than its element does.
inline bool IsInlineView(ViewKind kind) {
  return HoldsElement(kind) || kind == ViewKind::kVariant || kind == ViewKind::kTuple ||
         kind == ViewKind::kPair || kind == ViewKind::kBitset || kind == ViewKind::kMutex;
}

// The same, of a view as it is.
inline bool HoldsElement(const View& view) {
  return HoldsElement(view.kind) || (view.kind == ViewKind::kCounted && view.layout == kInPlace);
}

// What a user's formatter may say of its items.
inline bool MayBeItems(ViewKind kind) {
  switch (kind) {
    case ViewKind::kNone:
    case ViewKind::kString:
    case ViewKind::kSequence:
    case ViewKind::kInlineArray:
    case ViewKind::kTree:
    case ViewKind::kHash:
    case ViewKind::kOptional:
    case ViewKind::kVariant:
    case ViewKind::kUniquePtr:
    case ViewKind::kSharedPtr:
    case ViewKind::kWeakPtr:
    case ViewKind::kCounted:
    case ViewKind::kDeque:
    case ViewKind::kChoice:
    case ViewKind::kSlots:
    case ViewKind::kBuckets:
    case ViewKind::kRing:
    case ViewKind::kRootedTree:
      return true;
    default:
      return false;
  }
}

// The number that such a view reads may be a part of its bytes: `left` and `right` say which.
inline bool HasPartialNumber(ViewKind kind) {
  return kind == ViewKind::kCounted || kind == ViewKind::kString || kind == ViewKind::kChoice ||
         kind == ViewKind::kSlots || kind == ViewKind::kBuckets || kind == ViewKind::kRing;
}

// Every view that may hold the items of a user's formatter; false when `use` says so of one, or
// when they are not what the type table says (plan/type_table.h, kChoice).
template <typename F>
bool EachItemsView(const PlanUnit& unit, const View& custom, const F& use) {
  uint32_t at = custom.b;
  for (uint32_t i = 0; i <= kMaxChoices; ++i) {
    if (at >= unit.views.size()) return false;
    const View& view = unit.views[at];
    if (!use(view)) return false;
    if (view.kind != ViewKind::kChoice) return true;
    if (view.b >= unit.views.size() || unit.views[view.b].kind == ViewKind::kChoice) return false;
    if (!use(unit.views[view.b])) return false;
    at = view.c;
  }
  return false;
}

// The fields that the view reads lie in an object of size_bytes; its members are not looked at.
inline bool ViewFits(const PlanUnit& unit, const View& view, uint64_t size_bytes) {
  const uint64_t element = unit.types[view.element].size_bytes;
  const auto fits = [size_bytes](uint64_t offset, uint64_t bytes) {
    return offset + bytes <= size_bytes;
  };
  // What stands for the object is walked on its level; through a reference a cycle would never end.
  const bool reference = unit.types[view.element].kind == TypeKind::kReference;
  const uint64_t count = view.size_bytes == 0 ? 8 : view.size_bytes;
  switch (view.kind) {
    case ViewKind::kNone:
    case ViewKind::kTuple:
    case ViewKind::kPair:
    case ViewKind::kCustom:
      return true;
    case ViewKind::kInlineArray:
      return view.a <= size_bytes &&
             (element == 0 || view.count <= (size_bytes - view.a) / element);
    case ViewKind::kTree:
      return fits(view.a, 8) && fits(view.b, count) && view.d <= size_bytes;
    case ViewKind::kHash:
    case ViewKind::kRootedTree:
      return fits(view.a, 8) && (view.layout == kUncounted || fits(view.b, count));
    case ViewKind::kChoice:
      return fits(view.a, count);
    case ViewKind::kSlots:
    case ViewKind::kBuckets:
      return fits(view.a, 8) && fits(view.b, count) && fits(view.d, 8) && view.count != 0 &&
             (view.kind == ViewKind::kBuckets || fits(view.e, 8));
    case ViewKind::kRing:
      return fits(view.a, 8) && fits(view.b, count) && fits(view.d, 8) && fits(view.e, 8);
    case ViewKind::kString:
      if (view.layout == kInPlace) return fits(view.a, view.c) && fits(view.b, count);
      return fits(view.a, 8) && fits(view.b, count);
    case ViewKind::kCounted:
      if (view.layout == kInPlace) {
        return fits(view.b, count) && view.a <= size_bytes && !reference &&
               (element == 0 || view.count <= (size_bytes - view.a) / element);
      }
      return fits(view.a, 8) && (view.layout == kFixedCount || fits(view.b, count));
    case ViewKind::kOptional:
      return view.a < size_bytes && fits(view.b, element) && !reference;
    case ViewKind::kVariant: {
      const uint8_t bytes = view.size_bytes;
      const bool legal = bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
      return legal && fits(view.a, bytes);
    }
    case ViewKind::kUniquePtr:
    case ViewKind::kExceptionPtr:
    case ViewKind::kCoroutine:
      return fits(view.a, 8);
    case ViewKind::kShortString:
      return fits(view.a, 8) && fits(view.b, 8) && fits(view.c, view.size_bytes) &&
             fits(view.d, 1) && view.left != 0;
    case ViewKind::kBits:
      return fits(view.a, 8) && fits(view.b, 8) && (view.layout == kLibcxx || fits(view.c, 4));
    case ViewKind::kBitset:
      return view.count <= UINT32_MAX && fits(view.a, (view.count + 63) / 64 * 8);
    case ViewKind::kDeque:
      if (view.layout == kLibcxx) {
        return view.c != 0 && fits(view.a, 8) && fits(view.b, 8) && fits(view.d, 8);
      }
      return fits(view.a, 32) && fits(view.b, 32);
    case ViewKind::kWrapper:
      return fits(view.a, element) && !reference;
    case ViewKind::kDuration:
      return fits(view.a, element) && view.count != 0 && (view.c | view.d) != 0;
    case ViewKind::kMutex:
      return fits(view.a, view.layout == kReadWrite              ? 28
                          : view.layout == kLibcxxTimed          ? 1
                          : view.layout == kLibcxxRecursiveTimed ? 16
                          : view.layout == kLibcxxShared         ? 4
                                                                 : 12);
    case ViewKind::kIterator:
      if (view.layout == kAtBit) return fits(view.a, 8) && fits(view.b, 4);
      if (view.layout == kInDeque) return fits(view.a, 8) && fits(view.b, 8) && view.c != 0;
      return fits(view.a, 8);
    case ViewKind::kFunction:
      return fits(view.a, 8) && (view.layout == kLibcxx || fits(view.b, 16));
    default:
      return fits(view.a, 8) && fits(view.b, 8);
  }
}

}  // namespace stillframe

#endif  // STILLFRAME_PLAN_VIEW_LAYOUT_H_
