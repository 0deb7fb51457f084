// Copies what variables lead to: level by level, one batch of reads per level. Hit-path contract as
// in hit.h. Never trusts what it reads: everything is bounded by depth, items, bytes, entries and
// time, so a cycle or a garbage size cannot run away.
//
// Levels, as the decoder counts them: a variable is 0; members, elements and pointees are one more
// than their parent; the target of a reference, a base, an anonymous member, and an optional's
// payload have its level. What is at `depth` is copied but not looked into.
#ifndef STILLFRAME_AGENT_HIT_WALKER_H_
#define STILLFRAME_AGENT_HIT_WALKER_H_

#include <cstdint>

#include "agent/hit/hit.h"
#include "agent/hit/memory.h"
#include "agent/hit/record_writer.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {

SF_HIT_PATH_BEGIN

inline constexpr uint32_t kMaxObjectBytes = 16 * 1024;
// Larger ones come last: a huge table behind `this` must not cost the other variables their place.
inline constexpr uint32_t kLargeBytes = 2 * 1024;
// From node to node in all containers of a capture. Each is a system call where the guard is off,
// so this bounds the time, whatever the containers say.
inline constexpr uint32_t kMaxNodeSteps = 2048;

class Walker {
 public:
  Walker(RecordWriter& record, FastReader& reader, const CaptureLimits& limits,
         uint64_t deadline_ticks)
      : record_(record), reader_(reader), limits_(limits), deadline_ticks_(deadline_ticks) {}

  // The unit whose types frame `frame` (< kMaxLocalFrames) uses. Before anything of that frame.
  void SetUnit(uint16_t frame, const UnitView* unit, uint64_t load_bias) {
    record_.scratch().units[frame] = unit;
    record_.scratch().biases[frame] = load_bias;
  }

  // An object of `type` in target memory at level 0.
  void AddObject(uint16_t frame, uint64_t address, TypeId type);
  // An array of `type` at `level`; how many elements each of its first `dimensions` (at least 1)
  // has is in Scratch::extents.
  void AddCounted(uint16_t frame, uint64_t address, TypeId type, uint32_t dimensions,
                  uint8_t level);
  // Bytes without meaning (a piece of a variable).
  void AddBytes(uint16_t frame, uint64_t address, uint32_t size_bytes);
  // An object at level 0 whose bytes are already in the slot at `data`.
  void AddValue(uint16_t frame, uint32_t data, uint32_t size_bytes, TypeId type);

  // Reads and follows until nothing is left or a bound is reached.
  void Run();

 private:
  const TypeNode& Type(TypeId type) const { return unit_->types[type]; }
  const uint8_t* At(uint32_t data) { return record_.slot() + data; }
  bool InObject(uint32_t data, uint32_t size_bytes) const {
    return data <= end_ && size_bytes <= end_ - data;
  }
  uint64_t Shown(uint64_t count) const { return count < limits_.items ? count : limits_.items; }
  bool Expands(uint8_t level) const { return level < limits_.depth; }

  void Enqueue(uint64_t address, uint64_t size_bytes, PendingKind kind, TypeId type, uint32_t count,
               uint8_t level);
  void EnqueueObject(uint64_t address, TypeId type, uint8_t level);
  bool TakeLarge();
  void VisitPending(const Pending& entry);
  // Visits an object and all its inline parts.
  void VisitTree(uint32_t data, TypeId type, uint8_t level);
  void Visit(uint32_t data, TypeId type, uint8_t level);
  void Advance(Cursor& cursor);
  void PushMembers(uint32_t data, uint32_t first, uint32_t count, uint8_t own_level,
                   uint8_t child_level);
  void PushElements(uint32_t data, TypeId type, uint64_t count, uint8_t level);
  void FollowPointer(uint64_t address, TypeId target, uint8_t level);
  // The object that `address` is part of, when a vtable tells and the plan knows its class; else
  // the object of `type` itself.
  void EnqueueDynamic(uint64_t address, TypeId type, uint8_t level);
  const Derived* FindDerived(const TypeNode& type, uint64_t runtime_address) const;
  void VisitVirtualBase(const Cursor& cursor, const Member& member);
  void EnqueueText(uint64_t address, uint32_t character_bytes);

  // walker_views.cc
  void VisitView(const View& view, const TypeNode& node, uint32_t data, uint8_t level);
  void FollowString(const View& view, uint32_t data);
  void FollowSequence(const View& view, uint32_t data, uint8_t level);
  void FollowTree(const View& view, uint32_t data, uint8_t level);
  void TakeAncestors(const View& view, uint64_t node);
  void FollowHash(const View& view, uint32_t data, uint8_t level);
  void FollowSmartPointer(const View& view, uint32_t data, uint8_t level);
  bool ReadTreeLinks(const View& view, uint64_t node, struct TreeLinks& links);
  bool NextTreeNode(const View& view, uint64_t& node, uint32_t& steps_left);
  void EnqueueNode(const View& view, uint64_t node, uint8_t level);
  // walker_more_views.cc
  void VisitOtherView(const View& view, const TypeNode& node, uint32_t data, uint8_t level);
  void FollowCounted(const View& view, uint32_t data, uint8_t level);
  void EnqueueRow(uint64_t address, uint64_t count, TypeId element, uint8_t level);
  void EnqueueElements(uint64_t address, uint64_t count, TypeId element, uint8_t level);
  void FollowShortString(const View& view, uint32_t data);
  void FollowBits(const View& view, uint32_t data);
  void FollowDeque(const View& view, uint32_t data, uint8_t level);
  void FollowAny(const View& view, const TypeNode& node, uint32_t data, uint8_t level);
  void FollowFunction(const View& view, uint32_t data);
  void FollowException(uint64_t object);
  // walker_custom.cc
  const View& ItemsOf(const View& custom, uint32_t data);
  void FollowSlots(const View& view, uint32_t data, uint8_t level);
  void FollowBuckets(const View& view, uint32_t data, uint8_t level);
  void FollowRing(const View& view, uint32_t data, uint8_t level);
  void FollowRootedTree(const View& view, uint32_t data, uint8_t level);
  // walker_iterators.cc
  void FollowIterator(const View& view, uint32_t data, uint8_t level);
  uint64_t PreviousInTree(const View& view, uint64_t node);
  bool TakeTreeLinks(const View& view, uint64_t node, struct NodeLinks& links);
  void TakeNeighbours(const View& view, const struct NodeLinks& links, uint64_t node);
  uint64_t Number(const View& view, uint32_t offset, uint32_t data);
  // An element count of view.size_bytes (0 = 8).
  uint64_t Count(const View& view, uint32_t data);
  uint64_t Word(uint32_t data);
  // A node's links while there are reads left for such steps.
  bool ReadLinks(uint64_t node, void* out, uint32_t size_bytes);

  RecordWriter& record_;
  FastReader& reader_;
  const CaptureLimits& limits_;
  uint64_t deadline_ticks_;
  const UnitView* unit_ = nullptr;  // of the frame being visited
  uint16_t frame_ = 0;
  uint8_t set_ = 0;  // which pending array is being filled
  uint32_t pending_count_ = 0;
  uint32_t large_count_ = 0;
  uint32_t large_next_ = 0;
  uint32_t nesting_ = 0;  // cursors in use
  uint32_t steps_left_ = kMaxNodeSteps;
  uint32_t end_ = 0;  // end of the bytes of the object being visited
};

SF_HIT_PATH_END

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_WALKER_H_
