// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded loops; general registers only.
#include "agent/hit/limits.h"

#include "agent/hit/arch.h"
#include "agent/hit/process_state.h"
#include "agent/hit/throws.h"
#include "agent/hit/trace_counts.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

constexpr int kMaxAttempts = 16;
constexpr auto kRelaxed = std::memory_order_relaxed;

// A token bucket as one time stamp (the generic cell rate algorithm): each permit moves the time at
// which the bucket is full again by `step`; it may run `burst` ahead at most.
bool TakeToken(std::atomic<uint64_t>& full_again, uint64_t step, uint64_t burst, uint64_t now) {
  if (step == 0) return true;
  uint64_t full_at = full_again.load(kRelaxed);
  for (int i = 0; i < kMaxAttempts; ++i) {
    const uint64_t from = full_at > now ? full_at : now;
    if (from + step - now > burst) return false;
    if (full_again.compare_exchange_weak(full_at, from + step, kRelaxed)) return true;
  }
  return false;
}

// A second's worth at once: the hits of one loop come within microseconds.
bool TakeProbePermit(ProbeRuntime& probe, uint64_t now) {
  const uint64_t step = probe.ticks_per_permit;
  const uint64_t second = g_process.ticks_per_second.load(kRelaxed);
  return TakeToken(probe.permits_full_again, step, step > second ? step : second, now);
}

bool TakeProcessPermit(uint64_t now) {
  return TakeToken(g_process.snapshot_time, g_process.ticks_per_snapshot.load(kRelaxed),
                   g_process.ticks_per_second.load(kRelaxed), now);
}

bool TakeHit(ProbeRuntime& probe) {
  if (probe.max_hits == 0) return true;
  uint64_t left = probe.captures_left.load(kRelaxed);
  for (int i = 0; i < kMaxAttempts && left != 0; ++i) {
    if (probe.captures_left.compare_exchange_weak(left, left - 1, kRelaxed)) return true;
  }
  return false;
}

bool IsPausedBy(Budget& budget) {
  uint64_t until = budget.paused_until.load(kRelaxed);
  if (until == 0) return false;
  if (stillframe_read_ticks() < until) return true;
  // Whoever is first ends the pause; a newer pause stays.
  budget.paused_until.compare_exchange_strong(until, 0, kRelaxed);
  return false;
}

void Charge(Budget& budget, uint64_t limit, uint64_t ticks, uint64_t now) {
  if (limit == 0) return;
  const uint64_t second = g_process.ticks_per_second.load(kRelaxed);
  uint64_t window = budget.window.load(kRelaxed);
  if (now - window >= second && budget.window.compare_exchange_strong(window, now, kRelaxed)) {
    budget.used.store(0, kRelaxed);
    window = now;
  }
  const uint64_t used = budget.used.fetch_add(ticks, kRelaxed) + ticks;
  if (used > limit) budget.paused_until.store(window + second, kRelaxed);
}

// All but the one of throws.
Counter TakeEveryPermit(ProbeRuntime& probe, uint64_t now, bool is_snapshot) {
  // Looked at first, so that an exhausted probe uses up nobody's permits.
  if (probe.max_hits != 0 && probe.captures_left.load(kRelaxed) == 0) return kRateLimited;
  if (!TakeOfTrace(probe)) return kRateLimited;
  if (TakeProbePermit(probe, now) && (!is_snapshot || TakeProcessPermit(now)) && TakeHit(probe)) {
    return kCaptured;
  }
  ReturnOfTrace(probe);
  return kRateLimited;
}

}  // namespace

bool IsPaused(ProbeRuntime& probe) {
  return IsPausedBy(g_process.budget) || IsPausedBy(probe.budget);
}

void ChargeBudget(ProbeRuntime& probe, uint64_t ticks, uint64_t now) {
  Charge(probe.budget, g_process.probe_budget_ticks.load(kRelaxed), ticks, now);
  ChargeProcess(ticks, now);
}

void ChargeProcess(uint64_t ticks, uint64_t now) {
  Charge(g_process.budget, g_process.budget_ticks.load(kRelaxed), ticks, now);
}

Counter TakePermit(ProbeRuntime& probe, uint64_t now, bool is_snapshot) {
  // Counts what was captured before as well.
  if (probe.throws != nullptr) {
    const Counter first = ClaimThrow(probe);
    if (first != kCaptured) return first;
  }
  const Counter permit = TakeEveryPermit(probe, now, is_snapshot);
  if (permit != kCaptured) ReturnThrow(probe);
  return permit;
}

void ReturnPermit(ProbeRuntime& probe) {
  if (probe.max_hits != 0) probe.captures_left.fetch_add(1, kRelaxed);
  ReturnOfTrace(probe);
  ReturnThrow(probe);
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
