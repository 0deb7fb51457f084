// Of the store: what hits counted, what they cost, and what of it is reported.
#include <algorithm>
#include <cstdio>

#include "agent/hit_times.h"
#include "agent/measure_plan.h"
#include "agent/thrown.h"
#include "agent/tick_clock.h"
#include "agent/tracepoint_store.h"

namespace stillframe::agent {
namespace {

constexpr int64_t kBudgetEveryNs = 50'000'000;
constexpr uint64_t kStoppedNanos = 40;  // of a hit that the budget stops
constexpr int64_t kFirstPauseNs = 1'000'000'000;
constexpr int64_t kMaxPauseNs = 64'000'000'000;

void AddSums(hit::CounterSums& into, const hit::CounterSums& from) {
  for (int i = 0; i < hit::kCounterCount; ++i) into.count[i] += from.count[i];
  into.ticks += from.ticks;
  into.fast_ticks += from.fast_ticks;
  for (int i = 0; i < 32; ++i) into.histogram[i] += from.histogram[i];
}

uint64_t CountedBy(const ModuleProbe& probe) {
  const hit::Action action = probe.runtime().action;
  if (action != hit::Action::kCount && action != hit::Action::kMeasure) return 0;
  return hit::SumCounters(probe.runtime()).count[hit::kCaptured];
}

}  // namespace

hit::CounterSums TracepointStore::Sums(const Active& active) const {
  hit::CounterSums sums = active.retired_sums;
  for (const auto& probe : active.probes) AddSums(sums, hit::SumCounters(probe->runtime()));
  for (const auto& probe : retired_) {
    if (probe->tracepoint_id() == active.desired.id) {
      AddSums(sums, hit::SumCounters(probe->runtime()));
    }
  }
  return sums;
}

uint64_t TracepointStore::Counted(const Active& active) const {
  uint64_t sum = active.retired_counted;
  for (const auto& probe : active.probes) sum += CountedBy(*probe);
  for (const auto& probe : retired_) {
    if (probe->tracepoint_id() == active.desired.id) sum += CountedBy(*probe);
  }
  return sum;
}

hit::DistributionSums TracepointStore::Distribution(const Active& active) const {
  hit::DistributionSums sums;
  if (active.retired_distribution != nullptr) sums = *active.retired_distribution;
  for (const auto& probe : active.probes) {
    AddDistribution(hit::SumDistribution(probe->runtime()), sums);
  }
  for (const auto& probe : retired_) {
    if (probe->tracepoint_id() != active.desired.id) continue;
    AddDistribution(hit::SumDistribution(probe->runtime()), sums);
  }
  return sums;
}

std::vector<model::ThrowCount> TracepointStore::Throws(const Active& active) const {
  std::map<uint64_t, uint64_t> counts = active.retired_throws;
  const auto add = [&counts](uint64_t fingerprint, uint64_t count) {
    counts[fingerprint] += count;
  };
  for (const auto& probe : active.probes) hit::ForEachThrow(probe->runtime(), add);
  for (const auto& probe : retired_) {
    if (probe->tracepoint_id() == active.desired.id) hit::ForEachThrow(probe->runtime(), add);
  }
  std::vector<model::ThrowCount> throws;
  for (const auto& [fingerprint, count] : counts) {
    throws.push_back({FingerprintText(fingerprint), count});
  }
  return throws;
}

std::vector<model::TracepointReport> TracepointStore::Reports() const {
  std::vector<model::TracepointReport> reports;
  for (const auto& [id, active] : active_) {
    const hit::CounterSums sums = Sums(active);
    model::TracepointReport report;
    report.id = id;
    model::AgentStatus& status = report.status;
    status.state = active.state;
    status.reason = active.reason;
    status.message = active.message;
    status.sites = active.sites;
    status.revision = active.desired.revision;
    if (active.desired.lease) {
      status.lease = {active.granted, std::min(Used(active), active.granted), active.wants_more,
                      active.desired.lease->version};
    }
    model::Counters& counters = status.counters;
    counters.hits = sums.count[hit::kHits];
    counters.condition_false = sums.count[hit::kConditionFalse];
    counters.condition_error = sums.count[hit::kConditionError];
    counters.rate_limited = sums.count[hit::kRateLimited];
    counters.budget_stopped = sums.count[hit::kBudgetStopped];
    counters.reentrant = sums.count[hit::kReentrant];
    counters.ring_full = sums.count[hit::kRingFull];
    counters.unsafe_context = sums.count[hit::kUnsafeContext];
    counters.captured = sums.count[hit::kCaptured];
    counters.acked = std::min(Counted(active), counters.captured);  // hits go on meanwhile
    if (active.over_limit > 0) counters.dropped["overHitLimit"] = active.over_limit;
    if (active.desired.spec.kind == model::Kind::kDistribution) {
      status.distribution = DescribeDistribution(Distribution(active));
    }
    status.throws = Throws(active);
    if (active.desired.spec.dry_run) status.projection = Project(active, sums);
    status.hit_nanos_p50 = HitNanos(sums, 0.5, options_.ticks_per_second);
    status.hit_nanos_p99 = HitNanos(sums, 0.99, options_.ticks_per_second);
    reports.push_back(std::move(report));
  }
  return reports;
}

double TracepointStore::HitSeconds() const {
  uint64_t ticks = gone_ticks_;
  for (const auto& [id, active] : active_) {
    ticks += Sums(active).ticks + (active.stash != nullptr ? active.stash->Ticks() : 0);
  }
  for (const auto& stash : retired_stashes_) ticks += stash->Ticks();
  for (const auto& probe : retired_) {
    if (!active_.contains(probe->tracepoint_id()))
      ticks += hit::SumCounters(probe->runtime()).ticks;
  }
  return static_cast<double>(ticks) / static_cast<double>(options_.ticks_per_second);
}

// The hit path keeps its own budget at each hit. Hits that compiled code decides alone, and those
// that the budget stops, are too short for that, so their number is looked at here: the tracepoint
// that took more than half of the process's share, or the most when all together took more than it,
// is taken out of the text for a while.
void TracepointStore::CheckBudget() {
  if (options_.cpu_percent <= 0) return;
  const int64_t now = MonotonicNanos();
  const int64_t elapsed_ns = now - budget_checked_ns_;
  if (elapsed_ns < kBudgetEveryNs) return;
  budget_checked_ns_ = now;
  const double share = options_.cpu_percent / 100 * static_cast<double>(options_.ticks_per_second) *
                       static_cast<double>(elapsed_ns) / 1e9;
  const uint64_t stopped_ticks = options_.ticks_per_second * kStoppedNanos / 1'000'000'000;
  CheckStashBudget(share);
  double total = 0;
  double most = 0;
  Active* worst = nullptr;
  for (auto& [id, active] : active_) {
    const hit::CounterSums sums = Sums(active);
    // Its entries, too, where it cannot do without them.
    const bool needs_stash = active.stash != nullptr && active.stash->is_needed();
    const uint64_t ticks = sums.fast_ticks + sums.count[hit::kBudgetStopped] * stopped_ticks +
                           (needs_stash ? active.stash->Ticks() : 0);
    const auto used = static_cast<double>(ticks - std::min(ticks, active.fast_ticks_seen));
    active.fast_ticks_seen = ticks;
    total += used;
    if (active.out_of_text || active.probes.empty() || used <= most) continue;
    most = used;
    worst = &active;
  }
  if (worst != nullptr && (most > share / 2 || total > share)) {
    Pause(*worst, most / share * options_.cpu_percent);
  }
}

void TracepointStore::Pause(Active& active, double percent) {
  const int64_t now = MonotonicNanos();
  // After a long calm it is a new affair.
  if (now - active.paused_until_ns > kMaxPauseNs) active.pause_ns = 0;
  active.out_of_text = true;
  active.pause_ns =
      active.pause_ns == 0 ? kFirstPauseNs : std::min(active.pause_ns * 2, kMaxPauseNs);
  active.paused_until_ns = now + active.pause_ns;
  for (const auto& probe : active.probes) probe->Pause(*sites_);
  if (active.stash != nullptr) active.stash->Pause(*sites_);
  char text[128];
  std::snprintf(text, sizeof text, "its hits took %.2f %% of a processor; taken out for %lld s",
                percent, static_cast<long long>(active.pause_ns / 1'000'000'000));
  SetState(active, model::State::kThrottled, Status(Code::kOverBudget, text));
}

void TracepointStore::Resume(Active& active) {
  if (active.stash != nullptr) active.stash->Resume(*sites_);
  for (const auto& probe : active.probes) probe->Resume(*sites_);
  active.out_of_text = false;
  SetState(active, Used(active) > 0 ? model::State::kEmitting : model::State::kArmed, Fine(active));
}

void TracepointStore::FreeRetired() {
  for (const auto& probe : retired_) {
    by_id_.erase(probe->id());
    auto found = active_.find(probe->tracepoint_id());
    const bool is_gone = found == active_.end();
    if (is_gone) {
      gone_ticks_ += hit::SumCounters(probe->runtime()).ticks;
      found = gone_.find(probe->tracepoint_id());
    }
    if (!is_gone || found != gone_.end()) {
      AddSums(found->second.retired_sums, hit::SumCounters(probe->runtime()));
      found->second.retired_counted += CountedBy(*probe);
      hit::ForEachThrow(probe->runtime(), [&](uint64_t fingerprint, uint64_t count) {
        found->second.retired_throws[fingerprint] += count;
      });
      if (probe->runtime().distribution == nullptr) continue;
      auto& retired = found->second.retired_distribution;
      if (retired == nullptr) retired = std::make_unique<hit::DistributionSums>();
      AddDistribution(hit::SumDistribution(probe->runtime()), *retired);
    }
  }
  retired_.clear();
  for (const auto& stash : retired_stashes_) gone_ticks_ += stash->Ticks();
  retired_stashes_.clear();
  callers_.FreeRetired();
  unwind_.FreeRetired();
  if (sites_ != nullptr) sites_->FreeRetired();
}

}  // namespace stillframe::agent
