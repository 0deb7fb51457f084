// Of the store: limits in the course of time: life, the kill switch, hits and their leases.
#include <algorithm>

#include "agent/tick_clock.h"
#include "agent/tracepoint_store.h"

namespace stillframe::agent {
namespace {

constexpr double kSnapshotNanos = 20'000;  // five frames and some twenty variables
constexpr double kLightNanos = 100;
constexpr int64_t kCalmNs = 1'500'000'000;  // more than the second that a pause lasts
constexpr int64_t kMaxLifeMs = 100ll * 365 * 24 * 3'600'000;  // fits into 64 bits of nanoseconds

// The wall clock is asked once: it may jump, and a tracepoint's life must not (HAZARDS D8).
int64_t MonotonicExpiry(uint64_t expires_unix_ms) {
  if (expires_unix_ms == 0) return 0;
  const int64_t left_ms = static_cast<int64_t>(expires_unix_ms) - RealtimeNanos() / 1'000'000;
  return MonotonicNanos() + std::clamp<int64_t>(left_ms, 0, kMaxLifeMs) * 1'000'000;
}

// Takes back up to `count` captures that the probe has not made; returns how many.
uint64_t TakeBack(hit::ProbeRuntime& probe, uint64_t count) {
  uint64_t left = probe.captures_left.load(std::memory_order_relaxed);
  while (true) {
    const uint64_t taken = std::min(left, count);
    if (probe.captures_left.compare_exchange_weak(left, left - taken, std::memory_order_relaxed)) {
      return taken;
    }
  }
}

}  // namespace

void TracepointStore::Accept(Active& active, const model::DesiredTracepoint& tracepoint,
                             bool begins) {
  using model::State;
  const bool changed = begins || active.desired.revision != tracepoint.revision;
  if (changed) {
    Begin(active, tracepoint);
  } else {
    if (active.desired.expires_unix_ms != tracepoint.expires_unix_ms) {
      active.expires_ns = MonotonicExpiry(tracepoint.expires_unix_ms);
      active.desired.expires_unix_ms = tracepoint.expires_unix_ms;
    }
    const bool news = tracepoint.lease != active.desired.lease;
    active.desired.lease = tracepoint.lease;
    if (tracepoint.lease && news) SetGrant(active, tracepoint.lease->granted);
  }
  if (Stop()) return Block(active);
  const bool was_out = active.state == State::kBlocked || active.state == State::kExpired;
  if (changed || was_out) Arm(active);
}

void TracepointStore::Begin(Active& active, const model::DesiredTracepoint& tracepoint) {
  TakeOut(active);
  active.desired = tracepoint;
  active.expires_ns = MonotonicExpiry(tracepoint.expires_unix_ms);
  active.granted = tracepoint.lease ? tracepoint.lease->granted : 0;
  active.begun_ns = MonotonicNanos();
  active.begun_sums = Sums(active);
  active.captured_before = active.begun_sums.count[hit::kCaptured];
  active.admitted = 0;
  active.limited_before = active.begun_sums.count[hit::kRateLimited];
  active.wants_more = false;
  active.state = model::State::kReceived;
  active.out_of_text = false;
}

// What is over stays so: there is nothing to be stopped.
void TracepointStore::Block(Active& active) {
  using model::State;
  if (active.state == State::kCompleted || active.state == State::kExpired) return;
  TakeOut(active);
  SetState(active, State::kBlocked, Status(Code::kStopped, "stopped " + Stop().value_or("")));
}

// Of code in headers: a library that came since may have the line, too.
bool TracepointStore::IsInNewModules(const Active& active) {
  const model::Location& location = active.desired.spec.location;
  const bool has_place = location.fatal.empty() || location.fatal == "terminate";
  Plans plans;
  return has_place && CompileEverywhere(active, false, plans, active.modules_seen).ok() &&
         !plans.empty();
}

void TracepointStore::TickOne(Active& active, int64_t now_ns, bool files_changed) {
  using model::State;
  if (active.expires_ns != 0 && now_ns >= active.expires_ns && active.state != State::kExpired) {
    TakeOut(active);
    return SetState(active, State::kExpired, Status());
  }
  // By the version: others look at the modules, too, whenever the desired set changes.
  const bool modules_changed = active.modules_seen != modules_version_;
  if ((modules_changed || files_changed) &&
      (active.state == State::kPending || active.state == State::kError)) {
    return Arm(active);
  }
  if (modules_changed && (active.state == State::kArmed || active.state == State::kEmitting)) {
    const bool has_more = IsInNewModules(active);
    active.modules_seen = modules_version_;
    if (has_more) {
      TakeOut(active);
      return Arm(active);
    }
  }
  if (active.state == State::kThrottled) return TickThrottled(active, now_ns);
  if (active.state == State::kArmed || active.state == State::kEmitting) TickArmed(active, now_ns);
}

bool TracepointStore::IsOver(const Active& active) const {
  const uint64_t max_hits = active.desired.spec.dry_run ? 0 : active.desired.spec.limits.max_hits;
  const bool fleet_has_all = active.desired.lease && active.desired.lease->over;
  return max_hits != 0 && (fleet_has_all || Used(active) >= max_hits);
}

bool TracepointStore::LostItsSignals(const Active& active) {
  uint32_t wanted = 0;
  for (const auto& probe : active.probes) wanted |= probe->plan().fatal_signals;
  return wanted != 0 && (hit::LostFatalSignals() & wanted) != 0;
}

void TracepointStore::TickArmed(Active& active, int64_t now_ns) {
  using model::State;
  if (IsOver(active)) {
    TakeOut(active);
    return SetState(active, State::kCompleted, Status());
  }
  if (LostItsSignals(active)) {
    TakeOut(active);
    return SetState(active, State::kError,
                    Status(Code::kUnsafeSite,
                           "the program has installed its own handler since: ours, which it may "
                           "call, is left alone"));
  }
  if (WasStoppedByBudget(active, now_ns)) {
    return SetState(active, State::kThrottled,
                    Status(Code::kOverBudget,
                           "hits take more than their share of a processor: in the rest of each "
                           "second they are only counted"));
  }
  const uint64_t used = Used(active);
  if (used > 0) SetState(active, State::kEmitting, Fine(active));
  if (!active.desired.lease || used < active.granted || active.wants_more) return;
  const uint64_t limited = Sums(active).count[hit::kRateLimited];
  active.wants_more = limited > active.limited_before;
  if (active.wants_more) ++status_version_;  // the server hears it at once
}

void TracepointStore::TickThrottled(Active& active, int64_t now_ns) {
  if (IsOver(active)) {
    TakeOut(active);
    return SetState(active, model::State::kCompleted, Status());
  }
  if (active.out_of_text) {
    if (now_ns >= active.paused_until_ns) Resume(active);
  } else if (!WasStoppedByBudget(active, now_ns) && now_ns - active.stopped_ns > kCalmNs) {
    SetState(active, Used(active) > 0 ? model::State::kEmitting : model::State::kArmed,
             Fine(active));
  }
}

bool TracepointStore::WasStoppedByBudget(Active& active, int64_t now_ns) {
  const uint64_t stopped = Sums(active).count[hit::kBudgetStopped];
  if (stopped == active.stopped_seen) return false;
  active.stopped_seen = stopped;
  active.stopped_ns = now_ns;
  return true;
}

// A dry run only counts: what it would capture, its own limit allowing, costs as much as such
// captures usually do (benchmarks/results).
model::Projection TracepointStore::Project(const Active& active,
                                           const hit::CounterSums& sums) const {
  const model::TracepointSpec& spec = active.desired.spec;
  const double seconds = std::max(1e-3, double(MonotonicNanos() - active.begun_ns) * 1e-9);
  const auto rate = [&](hit::Counter counter) {
    return static_cast<double>(sums.count[counter] - active.begun_sums.count[counter]) / seconds;
  };
  model::Projection projection;
  projection.hits_per_second = rate(hit::kHits);
  projection.captures_per_second = rate(hit::kCaptured);
  if (spec.limits.per_second > 0) {
    projection.captures_per_second =
        std::min(projection.captures_per_second, spec.limits.per_second);
  }
  const double nanos = spec.kind == model::Kind::kSnapshot  ? kSnapshotNanos
                       : spec.kind == model::Kind::kSpan    ? kSnapshotNanos
                       : spec.kind == model::Kind::kCounter ? 0
                                                            : kLightNanos;
  const double hits = static_cast<double>(sums.ticks - active.begun_sums.ticks) /
                      static_cast<double>(options_.ticks_per_second) / seconds;
  projection.cpu_percent = 100 * (hits + projection.captures_per_second * nanos * 1e-9);
  return projection;
}

void TracepointStore::SetGrant(Active& active, uint64_t granted) {
  if (granted >= active.granted) {
    for (const auto& probe : active.probes) {
      probe->runtime().captures_left.fetch_add(granted - active.granted, std::memory_order_relaxed);
    }
    active.granted = granted;
  } else {
    // Hits go on meanwhile: what they have taken cannot be given back.
    uint64_t back = active.granted - granted;
    for (const auto& probe : active.probes) back = std::min(back, TakeBack(probe->runtime(), back));
    active.granted = std::max(active.granted - back, Used(active));
  }
  active.wants_more = false;
  active.limited_before = Sums(active).count[hit::kRateLimited];
  ++status_version_;  // the server waits for the answer
}

uint64_t TracepointStore::Allowed(const Active& active) {
  return active.desired.lease ? active.granted : active.desired.spec.limits.max_hits;
}

uint64_t TracepointStore::Used(const Active& active) const {
  return Sums(active).count[hit::kCaptured] - active.captured_before;
}

}  // namespace stillframe::agent
