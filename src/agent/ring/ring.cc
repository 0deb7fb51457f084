// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of ring/;
// bounded loops; general registers only.
#include "agent/ring/ring.h"

#include <atomic>
#include <cstddef>

#include "agent/ring/hit_path.h"
#include "agent/ring/ring_state.h"
#include "plan/record.h"

namespace stillframe::ring {

// Constant-initialized: lives in .bss, needs no constructor.
constinit RingState g_ring;

SF_HIT_PATH_BEGIN
namespace {

// A failed exchange means that another thread made progress, so this many failures in a row are a
// storm: then the hit is declined like one that finds no slot.
constexpr int kMaxAttempts = 64;

SF_HIT_INLINE uint32_t Bit(const Slot& slot) { return uint32_t{1} << (slot.index % kSlotCount); }

}  // namespace

bool Acquire(Slot& slot) {
  uint8_t* const slots = g_ring.slots.load(std::memory_order_acquire);
  if (slots == nullptr || IsForked(g_ring)) return false;
  uint32_t free = g_ring.free.load(std::memory_order_relaxed);
  for (int i = 0; i < kMaxAttempts && free != 0; ++i) {
    const auto index = static_cast<uint32_t>(__builtin_ctz(free));
    // Acquire: pairs with Release, so the reader is done with the slot.
    if (g_ring.free.compare_exchange_weak(free, free & (free - 1), std::memory_order_acquire,
                                          std::memory_order_relaxed)) {
      slot.index = index;
      slot.data = slots + size_t{index} * kSlotBytes;
      return true;
    }
  }
  return false;
}

uint64_t Commit(const Slot& slot) {
  const uint64_t sequence = g_ring.committed.fetch_add(1, std::memory_order_relaxed) + 1;
  // Release: in a ring file, a record that has a number is whole, whenever the process dies.
  std::atomic_ref<uint64_t>(reinterpret_cast<RecordHeader*>(slot.data)->sequence)
      .store(sequence, std::memory_order_release);
  g_ring.sequence[slot.index % kSlotCount].store(sequence, std::memory_order_relaxed);
  // Release: the record and its sequence are visible to a Take that sees the bit.
  g_ring.ready.fetch_or(Bit(slot), std::memory_order_release);
  return sequence;
}

void Abandon(const Slot& slot) { g_ring.free.fetch_or(Bit(slot), std::memory_order_release); }

SF_HIT_PATH_END
}  // namespace stillframe::ring
