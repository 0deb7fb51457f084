// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded loops; general registers only.
#include "agent/hit/trace_counts.h"

#include "agent/hit/bytes.h"
#include "agent/hit/thread_state.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr uint32_t kTableBuckets = 512;
constexpr uint32_t kWays = 8;
constexpr int kMaxAttempts = 16;
constexpr uint64_t kCountMask = 0xffff;

// Entries: 48 bits of the pair's hash, 16 bits of count; 0 = free.
struct alignas(64) Bucket {
  std::atomic<uint64_t> entries[kWays];
};
constinit Bucket g_buckets[kTableBuckets];
constinit std::atomic<uint8_t> g_oldest[kTableBuckets];  // the way to be given up next

SF_HIT_INLINE uint64_t Mix(uint64_t value) {
  value = (value ^ (value >> 32)) * 0x9e3779b97f4a7c15u;
  return value ^ (value >> 29);
}

// The pair's hash; 0: the thread works for no trace.
SF_HIT_INLINE uint64_t PairHash(const ProbeRuntime& probe) {
  const ThreadState& thread = t_thread;
  const TraceContextRecord& trace = thread.traces[thread.trace_index.load(kRelaxed) & 1];
  if (trace.valid == 0) return 0;
  const uint64_t hash =
      Mix(Mix(Load64(trace.trace_id) ^ probe.trace_key) + Load64(trace.trace_id + 8));
  return hash >> 16 != 0 ? hash : hash | uint64_t{1} << 16;
}

// 1: counted; 0: the trace has enough; -1: somebody came between.
int TryTake(uint64_t hash, uint32_t limit) {
  const uint32_t at = static_cast<uint32_t>(hash) % kTableBuckets;
  const uint64_t tag = hash & ~kCountMask;
  // Read before the entries: who finds the place already given up finds what took it, too.
  const uint8_t oldest = g_oldest[at].load(std::memory_order_acquire);
  std::atomic<uint64_t>* free = nullptr;
  uint64_t old = 0;
  for (std::atomic<uint64_t>& entry : g_buckets[at].entries) {
    uint64_t value = entry.load(std::memory_order_acquire);
    if ((value & ~kCountMask) == tag) {
      if ((value & kCountMask) >= limit) return 0;
      return entry.compare_exchange_strong(value, value + 1, kRelaxed) ? 1 : -1;
    }
    if (value == 0 && free == nullptr) free = &entry;
    if (&entry == &g_buckets[at].entries[oldest % kWays]) old = value;
  }
  if (free != nullptr) {
    uint64_t none = 0;
    return free->compare_exchange_strong(none, tag | 1, std::memory_order_release) ? 1 : -1;
  }
  if (!g_buckets[at].entries[oldest % kWays].compare_exchange_strong(old, tag | 1,
                                                                     std::memory_order_release)) {
    return -1;
  }
  g_oldest[at].store(static_cast<uint8_t>(oldest + 1), std::memory_order_release);
  return 1;
}

}  // namespace

__attribute__((noinline)) bool TakeOfTrace(const ProbeRuntime& probe) {
  if (probe.per_trace == 0) return true;
  const uint64_t hash = PairHash(probe);
  if (hash == 0) return true;
  for (int i = 0; i < kMaxAttempts; ++i) {
    const int taken = TryTake(hash, probe.per_trace);
    if (taken >= 0) return taken == 1;
  }
  return false;
}

__attribute__((noinline)) void ReturnOfTrace(const ProbeRuntime& probe) {
  if (probe.per_trace == 0) return;
  const uint64_t hash = PairHash(probe);
  if (hash == 0) return;
  for (std::atomic<uint64_t>& entry :
       g_buckets[static_cast<uint32_t>(hash) % kTableBuckets].entries) {
    uint64_t value = entry.load(kRelaxed);
    for (int i = 0; i < kMaxAttempts; ++i) {
      if ((value & ~kCountMask) != (hash & ~kCountMask) || (value & kCountMask) == 0) break;
      if (entry.compare_exchange_strong(value, value - 1, kRelaxed)) return;
    }
  }
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
