// The agent thread's side of the hit path: set-up, publication, quiescence, sums; and the trace
// context that application threads set.
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "agent/hit/arch.h"
#include "agent/hit/hit.h"
#include "agent/hit/process_state.h"
#include "agent/hit/read_method.h"
#include "agent/hit/thread_state.h"
#include "agent/ring/ring.h"

namespace stillframe::hit {
namespace {

uint32_t Running(uint32_t epoch) {
  uint32_t sum = 0;
  for (const ActiveShard& shard : g_process.active) {
    sum += shard.running[epoch].load(std::memory_order_seq_cst);
  }
  return sum;
}

uint64_t MonotonicNanos() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// Waits until nobody is counted in `epoch`: a hit takes microseconds, so look often at first.
bool WaitForEpoch(uint32_t epoch, uint64_t deadline_ns) {
  long pause_ns = 20'000;
  while (Running(epoch) != 0) {
    if (MonotonicNanos() >= deadline_ns) return false;
    const timespec pause{0, pause_ns};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
    pause_ns = std::min(pause_ns * 2, 1'000'000L);
  }
  return true;
}

}  // namespace

Status Initialize(const ProcessLimits& limits) {
  SF_RETURN_IF_ERROR(ring::Initialize());
  g_process.pid.store(static_cast<uint32_t>(getpid()), std::memory_order_relaxed);
  g_process.ticks_per_second.store(limits.ticks_per_second, std::memory_order_relaxed);
  g_process.ticks_per_snapshot.store(
      limits.snapshots_per_second == 0 ? 0 : limits.ticks_per_second / limits.snapshots_per_second,
      std::memory_order_relaxed);
  g_process.budget_ticks.store(limits.ticks_per_second / 1000 * limits.cpu_permille,
                               std::memory_order_relaxed);
  g_process.snapshot_time.store(0, std::memory_order_relaxed);
  g_process.budget_used.store(0, std::memory_order_relaxed);
  g_process.paused_until.store(0, std::memory_order_relaxed);
  return ChooseReadMethod();
}

void PublishUnwindModules(const UnwindModules* modules) {
  g_process.modules.store(modules, std::memory_order_release);
  // After the tables: a hit that sees the new generation sees the new tables (acquire in CfaOf).
  g_process.modules_generation.fetch_add(1, std::memory_order_release);
}

void PublishCallers(const CallerTable* table) {
  g_process.callers.store(table, std::memory_order_release);
}

void DisableInChild() { g_process.disabled.store(1, std::memory_order_relaxed); }

bool WaitForQuiescence(uint32_t timeout_ms) {
  const uint64_t deadline_ns = MonotonicNanos() + uint64_t{timeout_ms} * 1'000'000;
  // Twice, because a hit may have read the epoch before a turn and count itself in after it; such a
  // hit reads its list later still, but an older one may be counted in either.
  for (int turn = 0; turn < 2; ++turn) {
    const uint32_t old = g_process.epoch.fetch_add(1, std::memory_order_seq_cst) & 1;
    if (!WaitForEpoch(old, deadline_ns)) return false;
  }
  return true;
}

uint64_t ReadTicks() { return stillframe_read_ticks(); }

CounterSums SumCounters(const ProbeRuntime& probe) {
  CounterSums sums{};
  for (const CounterShard& shard : probe.shards) {
    for (int i = 0; i < kCounterCount; ++i) {
      sums.count[i] += shard.count[i].load(std::memory_order_relaxed);
    }
    sums.ticks += shard.ticks.load(std::memory_order_relaxed);
    for (int i = 0; i < 32; ++i) {
      sums.histogram[i] += shard.histogram[i].load(std::memory_order_relaxed);
    }
  }
  return sums;
}

void SetThreadTraceContext(const TraceContextRecord& context) {
  const uint32_t other = (t_thread.trace_index.load(std::memory_order_relaxed) & 1) ^ 1;
  t_thread.traces[other] = context;
  // A hit in a signal handler of this thread sees the new one only when it is whole.
  std::atomic_signal_fence(std::memory_order_release);
  t_thread.trace_index.store(other, std::memory_order_relaxed);
}

TraceContextRecord GetThreadTraceContext() {
  return t_thread.traces[t_thread.trace_index.load(std::memory_order_relaxed) & 1];
}

}  // namespace stillframe::hit
