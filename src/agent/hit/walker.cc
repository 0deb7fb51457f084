// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded loops, no recursion; general registers only.
#include "agent/hit/walker.h"

#include "agent/hit/arch.h"
#include "agent/hit/bytes.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

constexpr uint64_t kPageBytes = 4096;

SF_HIT_INLINE bool IsText(const TypeNode& type) {
  return (type.kind == TypeKind::kChar || type.kind == TypeKind::kUnicode) && type.size_bytes != 0;
}

}  // namespace

void Walker::Enqueue(uint64_t address, uint64_t size_bytes, PendingKind kind, TypeId type,
                     uint32_t count, uint8_t level) {
  if (address == 0 || size_bytes == 0) return;
  if (size_bytes > kMaxObjectBytes) {
    size_bytes = kMaxObjectBytes;
    record_.MarkTruncated();
  }
  const Pending entry = {address, static_cast<uint32_t>(size_bytes), 0, type, count, frame_, level,
                         kind};
  Scratch& scratch = record_.scratch();
  if (size_bytes > kLargeBytes && large_count_ != kMaxLarge) {
    scratch.large[large_count_++] = entry;
  } else if (pending_count_ != kMaxPending) {
    scratch.pending[set_][pending_count_++] = entry;
  } else {
    record_.MarkTruncated();
  }
}

// The next of those that were put off, when nothing else is left.
bool Walker::TakeLarge() {
  if (pending_count_ != 0) return true;
  if (large_next_ == large_count_) return false;
  record_.scratch().pending[set_][pending_count_++] = record_.scratch().large[large_next_++];
  return true;
}

void Walker::EnqueueObject(uint64_t address, TypeId type, uint8_t level) {
  const TypeNode& node = Type(type);
  if ((node.flags & kFlagRedacted) != 0) return;
  uint64_t size_bytes = node.size_bytes;
  if (node.kind == TypeKind::kArray && node.count > limits_.items) {
    size_bytes = uint64_t{limits_.items} * Type(node.target).size_bytes;
  }
  Enqueue(address, size_bytes, PendingKind::kObject, type, 0, level);
}

// Text of unknown length: in pieces that do not cross a page, because the next may be unreadable.
void Walker::EnqueueText(uint64_t address, uint32_t character_bytes) {
  uint64_t left = uint64_t{CheckedTextBytes(limits_)} + character_bytes;
  if (left > kMaxObjectBytes) left = kMaxObjectBytes;
  while (left != 0) {
    const uint64_t to_page_end = kPageBytes - (address & (kPageBytes - 1));
    const uint64_t size_bytes = left < to_page_end ? left : to_page_end;
    Enqueue(address, size_bytes, PendingKind::kRaw, kVoidType, 0, 0);
    address += size_bytes;
    left -= size_bytes;
  }
}

void Walker::AddObject(uint16_t frame, uint64_t address, TypeId type) {
  unit_ = record_.scratch().units[frame];
  frame_ = frame;
  EnqueueObject(address, type, 0);
}

// `level` is the elements'.
void Walker::EnqueueRow(uint64_t address, uint64_t count, TypeId element, uint8_t level) {
  if (!IsText(Type(element))) return EnqueueElements(address, count, element, level);
  const uint64_t unit = Type(element).size_bytes;
  const uint64_t most = limits_.string_bytes / unit;
  Enqueue(address, (count < most ? count : most) * unit, PendingKind::kRaw, kVoidType, 0, 0);
}

void Walker::AddCounted(uint16_t frame, uint64_t address, TypeId type, uint32_t dimensions,
                        uint8_t level) {
  unit_ = record_.scratch().units[frame];
  frame_ = frame;
  const uint64_t* const counts = record_.scratch().extents;
  const uint32_t last = dimensions - 1;
  uint64_t all = 1;   // elements
  uint64_t rows = 1;  // of which some are shown
  for (uint32_t i = 0; i < dimensions; ++i) {
    type = Type(type).target;
    if (!Expands(static_cast<uint8_t>(level + i)) && (i != last || !IsText(Type(type)))) return;
    if (counts[i] == 0 || counts[i] > kLargestCountedBytes / all) return;
    all *= counts[i];
    if (i != last) rows *= Shown(counts[i]);
  }
  const uint64_t element_bytes = Type(type).size_bytes;
  const auto below = static_cast<uint8_t>(level + dimensions);
  if (rows > 1 && all * element_bytes <= kMaxObjectBytes &&
      (Type(type).flags & kFlagNeedsWalk) == 0) {
    return Enqueue(address, all * element_bytes, PendingKind::kRaw, kVoidType, 0, 0);
  }
  if (rows > kMaxPending) {
    rows = kMaxPending;
    record_.MarkTruncated();
  }
  for (uint64_t row = 0; row < rows; ++row) {
    uint64_t rest = row;     // without the dimensions that were looked at
    uint64_t before = 0;     // rows in front of this one
    uint64_t step_rows = 1;  // from one to the next in dimension i
    for (uint32_t i = last; i-- != 0;) {
      before += rest % Shown(counts[i]) * step_rows;
      rest /= Shown(counts[i]);
      step_rows *= counts[i];
    }
    EnqueueRow(address + before * counts[last] * element_bytes, counts[last], type, below);
  }
}

void Walker::AddBytes(uint16_t frame, uint64_t address, uint32_t size_bytes) {
  frame_ = frame;
  Enqueue(address, size_bytes, PendingKind::kRaw, kVoidType, 0, 0);
}

void Walker::AddValue(uint16_t frame, uint32_t data, uint32_t size_bytes, TypeId type) {
  unit_ = record_.scratch().units[frame];
  frame_ = frame;
  end_ = data + size_bytes;
  VisitTree(data, type, 0);
}

void Walker::Run() {
  while (TakeLarge()) {
    Pending* const entries = record_.scratch().pending[set_];
    const uint32_t count = pending_count_;
    set_ ^= 1;
    pending_count_ = 0;
    record_.ReadPending(entries, count);
    for (uint32_t i = 0; i < count; ++i) {
      if (entries[i].data != 0) VisitPending(entries[i]);
      if (i % 16 == 15 && stillframe_read_ticks() > deadline_ticks_) {
        record_.MarkTruncated();
        return;
      }
    }
    if (pending_count_ != 0 && stillframe_read_ticks() > deadline_ticks_) {
      record_.MarkTruncated();
      return;
    }
  }
}

void Walker::VisitPending(const Pending& entry) {
  if (entry.kind == PendingKind::kRaw) return;
  unit_ = record_.scratch().units[entry.frame];
  frame_ = entry.frame;
  end_ = entry.data + entry.size_bytes;
  nesting_ = 0;
  if (entry.kind == PendingKind::kElements) {
    PushElements(entry.data, entry.type, entry.count, entry.level);
    VisitTree(0, kVoidType, 0);
  } else if (entry.kind == PendingKind::kObject) {
    VisitTree(entry.data, entry.type, entry.level);
  } else {
    const TypeNode& node = Type(entry.type);
    const uint32_t data = entry.data + entry.count;
    if (entry.kind == PendingKind::kPairNode && node.kind == TypeKind::kStruct) {
      PushMembers(data, node.first_member, node.member_count, entry.level, entry.level);
      VisitTree(0, kVoidType, 0);
    } else {
      VisitTree(data, entry.type, entry.level);
    }
  }
}

// Goes on with the cursors that were pushed before, too. `data` 0: only those.
void Walker::VisitTree(uint32_t data, TypeId type, uint8_t level) {
  if (data != 0) {
    nesting_ = 0;
    Visit(data, type, level);
  }
  while (nesting_ != 0) Advance(record_.scratch().cursors[nesting_ - 1]);
}

// One step: the next child of the innermost cursor, or the end of that cursor.
void Walker::Advance(Cursor& cursor) {
  if (cursor.next == cursor.count) {
    --nesting_;
    return;
  }
  const uint32_t i = cursor.next++;
  if (cursor.is_elements != 0) {
    Visit(cursor.data + i * Type(cursor.first).size_bytes, cursor.first, cursor.child_level);
    return;
  }
  const Member& member = unit_->members[cursor.first + i];
  constexpr uint8_t kSkipped = kMemberArtificial | kMemberRedacted;
  if ((member.flags & kSkipped) != 0 || member.bit_size != 0) return;
  if ((member.flags & kMemberVirtualBase) != 0) return VisitVirtualBase(cursor, member);
  const bool same_level = (member.flags & (kMemberBase | kMemberAnonymous)) != 0;
  const uint32_t data = cursor.data + member.offset_bytes;
  Visit(data, member.type, same_level ? cursor.own_level : cursor.child_level);
}

void Walker::PushMembers(uint32_t data, uint32_t first, uint32_t count, uint8_t own_level,
                         uint8_t child_level) {
  if (count == 0 || nesting_ == kMaxNesting) return;
  record_.scratch().cursors[nesting_++] = {data, first, count, 0, own_level, child_level, 0, 0};
}

void Walker::PushElements(uint32_t data, TypeId type, uint64_t count, uint8_t level) {
  if (count > limits_.items) count = limits_.items;
  const TypeNode& node = Type(type);
  if (count == 0 || nesting_ == kMaxNesting || (node.flags & kFlagNeedsWalk) == 0) return;
  record_.scratch().cursors[nesting_++] = {
      data, type, static_cast<uint32_t>(count), 0, level, level, 1, 0};
}

void Walker::Visit(uint32_t data, TypeId type, uint8_t level) {
  const TypeNode& node = Type(type);
  if ((node.flags & kFlagRedacted) != 0 || !InObject(data, node.size_bytes)) {
    // A long array may be there in part.
    if (node.kind != TypeKind::kArray || (node.flags & kFlagRedacted) != 0) return;
  }
  if (node.view != 0) return VisitView(unit_->views[node.view], node, data, level);
  switch (node.kind) {
    case TypeKind::kPointer:
      FollowPointer(Word(data), node.target, level);
      break;
    case TypeKind::kReference:
      EnqueueDynamic(Word(data), node.target, level);
      break;
    case TypeKind::kStruct:
    case TypeKind::kUnion:
      if ((node.flags & kFlagNeedsWalk) != 0 && Expands(level)) {
        PushMembers(data, node.first_member, node.member_count, level,
                    static_cast<uint8_t>(level + 1));
      }
      break;
    case TypeKind::kArray:
      if (Expands(level)) {
        PushElements(data, node.target, node.count, static_cast<uint8_t>(level + 1));
      }
      break;
    default:
      break;
  }
}

void Walker::FollowPointer(uint64_t address, TypeId target, uint8_t level) {
  const TypeNode& node = Type(target);
  if ((node.flags & kFlagRedacted) != 0) return;
  if (IsText(node)) {
    if (address != 0) EnqueueText(address, node.size_bytes);
  } else if (Expands(level)) {
    EnqueueDynamic(address, target, static_cast<uint8_t>(level + 1));
  }
}

// Ranges of one type are sorted and do not overlap.
const Derived* Walker::FindDerived(const TypeNode& type, uint64_t runtime_address) const {
  const uint64_t address = runtime_address - record_.scratch().biases[frame_];
  uint32_t low = type.first_derived;
  uint32_t high = low + type.derived_count;
  while (low != high) {
    const uint32_t middle = low + (high - low) / 2;
    const Derived& derived = unit_->derived[middle];
    if (address >= derived.start && address < derived.end) return &derived;
    if (address < derived.start) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return nullptr;
}

void Walker::EnqueueDynamic(uint64_t address, TypeId type, uint8_t level) {
  const TypeNode& node = Type(type);
  uint64_t vptr = 0;
  if (node.derived_count == 0 || address == 0 || (node.flags & kFlagRedacted) != 0 ||
      !ReadLinks(address, &vptr, 8)) {
    return EnqueueObject(address, type, level);
  }
  const Derived* const derived = FindDerived(node, vptr);
  if (derived == nullptr) return EnqueueObject(address, type, level);
  uint64_t offset = derived->base_offset;
  if (derived->base_offset == kOffsetInVtable) {
    uint64_t to_top = 0;
    if (!ReadLinks(vptr - 16, &to_top, 8)) return EnqueueObject(address, type, level);
    Enqueue(vptr - 16, 8, PendingKind::kRaw, kVoidType, 0, 0);  // the decoder asks the same
    offset = 0 - to_top;
  }
  if (offset > kMaxObjectBytes) return EnqueueObject(address, type, level);
  EnqueueObject(address - offset, derived->type, level);
}

// Where the base is stands in the vtable (Itanium C++ ABI 2.5.2); the decoder wants that word too.
void Walker::VisitVirtualBase(const Cursor& cursor, const Member& member) {
  const uint64_t vptr = Word(cursor.data);
  if (vptr == 0 || member.offset_bytes == 0) return;
  const uint64_t slot = vptr - member.offset_bytes;
  uint64_t offset = 0;
  if (!ReadLinks(slot, &offset, 8)) return;
  Enqueue(slot, 8, PendingKind::kRaw, kVoidType, 0, 0);
  // Inside the object it came along; behind its own end the whole object is not there.
  if (offset < kMaxObjectBytes && InObject(cursor.data, static_cast<uint32_t>(offset))) {
    Visit(cursor.data + static_cast<uint32_t>(offset), member.type, cursor.own_level);
  }
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
