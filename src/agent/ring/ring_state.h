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
  // Sequence of each ready slot: written before its bit in `ready`. Kept outside the slots, where
  // the hostile record cannot change the order.
  std::atomic<uint64_t> sequence[kSlotCount];
};

extern RingState g_ring __attribute__((visibility("hidden")));

}  // namespace stillframe::ring

#endif  // STILLFRAME_AGENT_RING_RING_STATE_H_
