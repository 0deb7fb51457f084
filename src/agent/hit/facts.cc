// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded loops; general registers only.
#include "agent/hit/facts.h"

#include "agent/hit/process_state.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

// The hits of all threads so far, and this one. The shards of threads that never hit are not
// touched.
uint64_t CountHits(const ProbeRuntime& probe) {
  const uint32_t used = g_process.slots_used.load(kRelaxed);
  uint64_t hits = 1;
  for (uint32_t i = 0; i <= used && i < kShardCount; ++i) {
    const CounterShard& shard = probe.shards[i == used ? kSharedShard : i];
    for (int what = kHits + 1; what < kCounterCount; ++what)
      hits += shard.count[what].load(kRelaxed);
  }
  return hits;
}

// In halves, because 128-bit division is a call.
uint64_t ToNanoseconds(uint64_t ticks) {
  constexpr uint64_t kNanoseconds = 1'000'000'000;
  const uint64_t rate = g_process.ticks_per_second.load(kRelaxed);
  if (rate == 0) return 0;
  return ticks / rate * kNanoseconds + ticks % rate * kNanoseconds / rate;
}

}  // namespace

void FillFacts(const ProbeRuntime& probe, ThreadState& thread) {
  HitFacts& facts = thread.facts;
  facts.thread_id = thread.thread_id;
  facts.hits = CountHits(probe);
  facts.duration_ns = 0;
  facts.has_duration = 0;
  facts.trace = &thread.traces[thread.trace_index.load(kRelaxed) & 1];
}

void AddDuration(HitFacts& facts, uint64_t ticks) {
  facts.duration_ns = ToNanoseconds(ticks);
  facts.has_duration = 1;
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
