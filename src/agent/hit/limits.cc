// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded loops; general registers only.
#include "agent/hit/limits.h"

#include "agent/hit/arch.h"
#include "agent/hit/process_state.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

constexpr int kMaxAttempts = 16;
constexpr auto kRelaxed = std::memory_order_relaxed;

// One capture of this probe every ticks_per_permit.
bool TakeProbePermit(ProbeRuntime& probe, uint64_t now) {
  if (probe.ticks_per_permit == 0) return true;
  uint64_t next = probe.next_permit.load(kRelaxed);
  // A failed exchange: another thread took this permit.
  return now >= next &&
         probe.next_permit.compare_exchange_strong(next, now + probe.ticks_per_permit, kRelaxed);
}

// A token bucket as one time stamp (the generic cell rate algorithm): each snapshot moves the time
// at which the bucket is full again by ticks_per_snapshot; it may run a second ahead at most.
bool TakeProcessPermit(uint64_t now) {
  const uint64_t step = g_process.ticks_per_snapshot.load(kRelaxed);
  if (step == 0) return true;
  const uint64_t burst = g_process.ticks_per_second.load(kRelaxed);
  uint64_t full_at = g_process.snapshot_time.load(kRelaxed);
  for (int i = 0; i < kMaxAttempts; ++i) {
    const uint64_t from = full_at > now ? full_at : now;
    if (from + step - now > burst) return false;
    if (g_process.snapshot_time.compare_exchange_weak(full_at, from + step, kRelaxed)) return true;
  }
  return false;
}

bool TakeHit(ProbeRuntime& probe) {
  if (probe.max_hits == 0) return true;
  uint64_t left = probe.captures_left.load(kRelaxed);
  for (int i = 0; i < kMaxAttempts && left != 0; ++i) {
    if (probe.captures_left.compare_exchange_weak(left, left - 1, kRelaxed)) return true;
  }
  return false;
}

}  // namespace

bool IsPaused() {
  uint64_t until = g_process.paused_until.load(kRelaxed);
  if (until == 0) return false;
  if (stillframe_read_ticks() < until) return true;
  // Whoever is first ends the pause; a newer pause stays.
  g_process.paused_until.compare_exchange_strong(until, 0, kRelaxed);
  return false;
}

void ChargeBudget(uint64_t ticks, uint64_t now) {
  const uint64_t budget = g_process.budget_ticks.load(kRelaxed);
  if (budget == 0) return;
  const uint64_t second = g_process.ticks_per_second.load(kRelaxed);
  uint64_t window = g_process.budget_window.load(kRelaxed);
  if (now - window >= second &&
      g_process.budget_window.compare_exchange_strong(window, now, kRelaxed)) {
    g_process.budget_used.store(0, kRelaxed);
    window = now;
  }
  const uint64_t used = g_process.budget_used.fetch_add(ticks, kRelaxed) + ticks;
  if (used > budget) g_process.paused_until.store(window + second, kRelaxed);
}

Counter TakePermit(ProbeRuntime& probe, uint64_t now) {
  // Looked at first, so that an exhausted probe uses up nobody's permits.
  if (probe.max_hits != 0 && probe.captures_left.load(kRelaxed) == 0) return kRateLimited;
  if (!TakeProbePermit(probe, now) || !TakeProcessPermit(now)) return kRateLimited;
  return TakeHit(probe) ? kCaptured : kRateLimited;
}

void ReturnPermit(ProbeRuntime& probe) {
  if (probe.max_hits != 0) probe.captures_left.fetch_add(1, kRelaxed);
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
