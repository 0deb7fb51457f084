// What the two sides of the ring share. Private to ring/.
#ifndef STILLFRAME_AGENT_RING_RING_STATE_H_
#define STILLFRAME_AGENT_RING_RING_STATE_H_

#include <atomic>
#include <cstdint>

#include "agent/ring/ring.h"

namespace stillframe::ring {

static_assert(kSlotCount == 32, "the sets of slots are the bits of a 32-bit word");

// A slot's bit is in `free`, or in `ready`, or in neither while a writer or the reader owns it.
struct RingState {
  std::atomic<uint8_t*> slots{nullptr};        // release in Initialize; partner: Acquire
  alignas(64) std::atomic<uint32_t> free{0};   // partners: Acquire takes, Release and Abandon give
  alignas(64) std::atomic<uint32_t> ready{0};  // partners: Commit gives, Take takes
  std::atomic<uint64_t> committed{0};          // partner: itself (fetch_add by Commit)
  // Of a ring in a file (ring_file.h); nullptr: it is private.
  std::atomic<uint8_t*> file{nullptr};
  // Not 0 in the process that the file is for, 0 in its forked children.
  std::atomic<const std::atomic<uint32_t>*> fork_guard{nullptr};
  // Sequence of each ready slot: written before its bit in `ready`. Kept outside the slots, where
  // the hostile record cannot change the order.
  std::atomic<uint64_t> sequence[kSlotCount];
};

// Whether this is a child of the process whose file the memory is.
inline __attribute__((always_inline)) bool IsForked(const RingState& ring) {
  const std::atomic<uint32_t>* const guard = ring.fork_guard.load(std::memory_order_relaxed);
  return guard != nullptr && guard->load(std::memory_order_relaxed) == 0;
}

extern RingState g_ring __attribute__((visibility("hidden")));

}  // namespace stillframe::ring

#endif  // STILLFRAME_AGENT_RING_RING_STATE_H_
