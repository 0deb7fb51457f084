// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of ring/;
// bounded loops; general registers only.
#include "agent/ring/stream.h"

#include "agent/ring/hit_path.h"
#include "agent/ring/ring_state.h"
#include "local_ops.h"

namespace stillframe::ring {
SF_HIT_PATH_BEGIN

uint8_t* Reserve(Stream& stream, uint32_t size_bytes) {
  // Only hits in signal handlers of this thread can come between.
  constexpr int kMaxAttempts = 16;
  if (stream.bytes == nullptr || IsForked(g_ring)) return nullptr;
  uint64_t head = stream.head.load(std::memory_order_relaxed);
  for (int i = 0; i < kMaxAttempts; ++i) {
    // Acquire: pairs with Take, whose zeros are there before the room is.
    const uint64_t tail = stream.tail.load(std::memory_order_acquire);
    if (head + size_bytes - tail > kStreamBytes) return nullptr;
    if (stillframe_local_exchange(&stream.head, head, head + size_bytes)) {
      return stream.bytes + (head & (kStreamBytes - 1));
    }
  }
  return nullptr;
}

SF_HIT_PATH_END
}  // namespace stillframe::ring
