// The agent thread's side of the hit path: set-up, publication, quiescence, sums; and the trace
// context that application threads set.
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>

#include "agent/hit/arch.h"
#include "agent/hit/hit.h"
#include "agent/hit/process_state.h"
#include "agent/hit/read_method.h"
#include "agent/hit/thread_state.h"
#include "agent/hit/throws.h"
#include "agent/hit/unwinder.h"
#include "agent/ring/ring.h"

namespace stillframe::hit {
namespace {

// Whether a hit that began before `epoch` still runs.
bool AnyOlder(uint32_t epoch) {
  if (g_process.unslotted.running[(epoch - 2) >> 1 & 1].load(std::memory_order_seq_cst) != 0)
    return true;
  const uint32_t used = g_process.slots_used.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < used; ++i) {
    const ThreadSlot& slot = g_process.slots[i];
    const uint32_t announced = slot.announced.load(std::memory_order_acquire);
    if (announced != 0 && static_cast<int32_t>(announced - epoch) < 0) return true;
  }
  return false;
}

// Every thread of the process passes a full barrier: an announcement made before it is seen, and
// a list read after it is the new one.
void Barrier() {
  if (g_process.slots_work.load(std::memory_order_relaxed) == 0) return;
  syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

uint64_t MonotonicNanos() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// A hit takes microseconds, so look often at first.
bool WaitForEpoch(uint32_t epoch, uint64_t deadline_ns) {
  long pause_ns = 20'000;
  while (AnyOlder(epoch)) {
    if (MonotonicNanos() >= deadline_ns) {
      FreeDeadSlots();  // a thread that ended in a hit would be waited for for ever
      return !AnyOlder(epoch);
    }
    const timespec pause{0, pause_ns};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
    pause_ns = std::min(pause_ns * 2, 1'000'000L);
  }
  return true;
}

struct FastTicks {
  uint32_t counted = 0;
  uint32_t logged = 0;
};
constinit FastTicks g_fast_ticks;  // of the agent thread

}  // namespace

void SetFastHitTicks(uint32_t counted, uint32_t logged) { g_fast_ticks = {counted, logged}; }

void FreeDeadSlots() {
  const auto pid = static_cast<pid_t>(g_process.pid.load(std::memory_order_relaxed));
  const uint32_t used = g_process.slots_used.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < used; ++i) {
    ThreadSlot& slot = g_process.slots[i];
    uint32_t owner = slot.owner.load(std::memory_order_acquire);
    if (owner == 0 || owner == kTakingBack) continue;
    if (syscall(SYS_tgkill, pid, owner, 0) == 0 || errno != ESRCH) continue;
    if (!slot.owner.compare_exchange_strong(owner, kTakingBack, std::memory_order_acq_rel)) {
      continue;
    }
    // Asked again, now that nobody else can take it: the number may be a new thread's.
    const bool dead = syscall(SYS_tgkill, pid, owner, 0) != 0 && errno == ESRCH;
    if (dead) slot.announced.store(0, std::memory_order_relaxed);
    slot.owner.store(dead ? 0 : owner, std::memory_order_release);
  }
}

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
  // The tracepoint that takes most is stopped before all are.
  g_process.probe_budget_ticks.store(g_process.budget_ticks.load(std::memory_order_relaxed) / 2,
                                     std::memory_order_relaxed);
  g_process.budget.used.store(0, std::memory_order_relaxed);
  g_process.budget.paused_until.store(0, std::memory_order_relaxed);
  const bool registered =
      syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
  g_process.slots_work.store(registered ? 1 : 0, std::memory_order_relaxed);
  return ChooseReadMethod();
}

bool HasStreams() { return g_process.slots[0].stream.bytes != nullptr; }

Status PrepareStreams() {
  if (g_process.slots[0].stream.bytes != nullptr) return {};
  uint8_t* const streams = ring::MapStreams(kThreadSlots);
  if (streams == nullptr) return {Code::kOverLimit, "there is no memory for log messages"};
  for (uint32_t i = 0; i < kThreadSlots; ++i) {
    ring::PlaceStream(g_process.slots[i].stream, i, streams);
  }
  return {};
}

uint32_t TakeLightRecords(uint32_t max, LightSink sink, void* self, uint64_t& abandoned) {
  alignas(8) static uint8_t copy[kMaxLightBytes];  // one thread, and too large for its stack
  uint32_t count = 0;
  const uint32_t used = g_process.slots_used.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < used; ++i) {
    ThreadSlot& slot = g_process.slots[i];
    while (count < max) {
      uint32_t size_bytes = 0;
      const auto result = ring::Peek(slot.stream, slot.announced, copy, size_bytes);
      if (result == ring::TakeResult::kNothing) break;
      if (result == ring::TakeResult::kAbandoned) {
        ++abandoned;
        break;
      }
      ++count;
      sink(self, {copy, size_bytes});
      ring::Drop(slot.stream, size_bytes);  // when it is somewhere else
      std::memset(copy, 0, size_bytes);     // a text in it may be a secret that the sink left out
    }
  }
  return count;
}

void ExcludeThisThread() {
  ThreadState& thread = t_thread;
  thread.slot = nullptr;
  thread.shard_plus_one = kSharedShard + 1;
  // Above every stack, so that the hit which seems to run never seems abandoned.
  thread.hit_registers = reinterpret_cast<const RegisterFile*>(~uintptr_t{0});
  thread.in_hit.store(1, std::memory_order_relaxed);
}

void PublishUnwindModules(const UnwindModules* modules) {
  g_process.modules.store(modules, std::memory_order_release);
  // After the tables: a hit that sees the new generation sees the new tables (acquire in CfaOf).
  g_process.modules_generation.fetch_add(1, std::memory_order_release);
}

void PublishCallers(const CallerTable* table) {
  g_process.callers.store(table, std::memory_order_release);
}

void SetTlsModules(const TlsModules& modules) { g_process.tls_modules = modules; }

ProbeRuntime::ProbeRuntime() {
  void* const map = mmap(nullptr, sizeof(CounterShard) * kShardCount, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map != MAP_FAILED) shards = static_cast<CounterShard*>(map);
}

bool ProbeRuntime::MakeDistribution() {
  void* const map = mmap(nullptr, sizeof(DistributionShard) * kShardCount, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) return false;
  distribution = static_cast<DistributionShard*>(map);
  return true;
}

bool ProbeRuntime::MakeThrows() {
  void* const map = mmap(nullptr, sizeof(ThrowEntry) * kThrowEntries, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) return false;
  throws = static_cast<ThrowEntry*>(map);
  return true;
}

void ForEachThrow(const ProbeRuntime& probe,
                  const std::function<void(uint64_t fingerprint, uint64_t count)>& visit) {
  for (uint32_t i = 0; probe.throws != nullptr && i < kThrowEntries; ++i) {
    const ThrowEntry& entry = probe.throws[i];
    const uint64_t fingerprint = entry.fingerprint.load(std::memory_order_relaxed);
    if (fingerprint != 0) visit(fingerprint, entry.count.load(std::memory_order_relaxed));
  }
}

void SetShipped(uint64_t sequence) { g_process.shipped.store(sequence, std::memory_order_release); }

bool IsWaiting(uint64_t sequence) {
  const uint64_t waiting = g_process.waiting.load(std::memory_order_acquire);
  return waiting == sequence || waiting == kAboutToWait;
}

bool IsAnyoneWaiting() { return g_process.waiting.load(std::memory_order_acquire) != 0; }

ProbeRuntime::~ProbeRuntime() {
  if (throws != nullptr) munmap(throws, sizeof(ThrowEntry) * kThrowEntries);
  if (distribution != nullptr) munmap(distribution, sizeof(DistributionShard) * kShardCount);
  if (shards != nullptr) munmap(shards, sizeof(CounterShard) * kShardCount);
}

CodeLayout GetCodeLayout() {
  CodeLayout layout{};
  layout.thread =
      static_cast<int64_t>(reinterpret_cast<uint64_t>(&t_thread) - stillframe_thread_pointer());
  layout.slot = offsetof(ThreadState, slot);
  layout.fast_turn = offsetof(ThreadState, fast_turn);
  layout.range_start = offsetof(ThreadState, range_start);
  layout.range_limit = offsetof(ThreadState, range_limit);
  layout.slot_announced = offsetof(ThreadSlot, announced);
  layout.slot_stack = offsetof(ThreadSlot, stack);
  layout.slot_shard_bytes = offsetof(ThreadSlot, shard_bytes);
  layout.slot_head = offsetof(ThreadSlot, stream) + offsetof(ring::Stream, head);
  layout.slot_tail = offsetof(ThreadSlot, stream) + offsetof(ring::Stream, tail);
  layout.slot_bytes = offsetof(ThreadSlot, stream) + offsetof(ring::Stream, bytes);
  layout.thread_id = offsetof(ThreadState, thread_id);
  layout.trace_index = offsetof(ThreadState, trace_index);
  layout.traces = offsetof(ThreadState, traces);
  layout.epoch = reinterpret_cast<uint64_t>(&g_process.epoch);
  layout.fork_guard = reinterpret_cast<uint64_t>(ring::ForkGuard());
  layout.guard_turn = reinterpret_cast<uint64_t>(&g_process.guard_turn);
  return layout;
}

bool SimpleCfaAt(uint64_t pc, uint8_t& dwarf_register, int32_t& offset) {
  const UnwindRule* const rule = FindRule(g_process.modules.load(std::memory_order_acquire), pc);
  if (rule == nullptr || rule->cfa_kind != CfaKind::kRegisterOffset) return false;
  dwarf_register = rule->cfa_register;
  offset = rule->cfa_offset;
  return dwarf_register < kRegisterCount;
}

uint64_t InstructionBoundaryBefore(uint64_t pc) {
  const UnwindModules* const modules = g_process.modules.load(std::memory_order_acquire);
  if (FindRule(modules, pc) == nullptr) return 0;  // a gap's row begins behind a function
  for (uint32_t i = 0; i < modules->count; ++i) {
    const UnwindModule& module = modules->modules[i];
    if (pc < module.start || pc >= module.end) continue;
    const uint32_t* const end = module.pcs + module.row_count;
    const uint32_t* const row = std::upper_bound(module.pcs, end, pc - module.table_base);
    return row == module.pcs ? 0 : module.table_base + row[-1];
  }
  return 0;
}

Status AddCodeRegion(uint64_t start) {
  for (std::atomic<uint64_t>& region : g_process.code_regions) {
    if (region.load(std::memory_order_relaxed) != 0) continue;
    region.store(start, std::memory_order_release);
    return {};
  }
  return {Code::kOverLimit, "there are " + std::to_string(kMaxCodeRegions) +
                                " regions of compiled conditions already"};
}

void DisableInChild() {
  g_process.disabled.store(1, std::memory_order_relaxed);
  g_process.guard_turn.store(0, std::memory_order_relaxed);
}

bool WaitForQuiescence(uint32_t timeout_ms) {
  const uint64_t deadline_ns = MonotonicNanos() + uint64_t{timeout_ms} * 1'000'000;
  // Twice, because a hit without a slot may have read the epoch before a turn and count itself in
  // after it; such a hit reads its list later still, but an older one may be counted in either.
  for (int turn = 0; turn < 2; ++turn) {
    const uint32_t epoch = g_process.epoch.fetch_add(2, std::memory_order_seq_cst) + 2;
    Barrier();
    if (!WaitForEpoch(epoch, deadline_ns)) return false;
  }
  return true;
}

uint64_t ReadTicks() { return stillframe_read_ticks(); }

DistributionSums SumDistribution(const ProbeRuntime& probe) {
  const auto number = [](const std::atomic<uint64_t>& bits) {
    return std::bit_cast<double>(bits.load(std::memory_order_relaxed));
  };
  DistributionSums sums;
  const uint32_t used = g_process.slots_used.load(std::memory_order_acquire);
  for (uint32_t at = 0; probe.distribution != nullptr && at < kShardCount; ++at) {
    if (at == used) at = kSharedShard;
    const DistributionShard& shard = probe.distribution[at];
    const uint64_t count = shard.count.load(std::memory_order_relaxed);
    if (count == 0) continue;
    const double min = number(shard.min), max = number(shard.max);
    sums.min = sums.count == 0 ? min : std::min(sums.min, min);
    sums.max = sums.count == 0 ? max : std::max(sums.max, max);
    sums.count += count;
    sums.sum += number(shard.sum);
    sums.zeros += shard.zeros.load(std::memory_order_relaxed);
    for (int sign = 0; sign < 2; ++sign) {
      for (int i = 0; i < kBuckets; ++i) {
        sums.buckets[sign][i] += shard.buckets[sign][i].load(std::memory_order_relaxed);
      }
    }
  }
  return sums;
}

CounterSums SumCounters(const ProbeRuntime& probe) {
  CounterSums sums{};
  const uint32_t used = g_process.slots_used.load(std::memory_order_acquire);
  for (uint32_t at = 0; at < kShardCount; ++at) {
    if (at == used) at = kSharedShard;
    const CounterShard& shard = probe.shards[at];
    for (int i = 0; i < kCounterCount; ++i) {
      sums.count[i] += shard.count[i].load(std::memory_order_relaxed);
    }
    sums.ticks += shard.ticks.load(std::memory_order_relaxed);
    for (int i = 0; i < 32; ++i) {
      sums.histogram[i] += shard.histogram[i].load(std::memory_order_relaxed);
    }
  }
  // Not counted for itself: one locked addition less for every hit, and a hit that is under way is
  // in neither side of the identity.
  sums.count[kHits] = 0;
  for (int i = kHits + 1; i < kCounterCount; ++i) sums.count[kHits] += sums.count[i];
  uint64_t timed = 0;
  for (const uint64_t count : sums.histogram) timed += count;
  const uint32_t price = probe.action == Action::kLog ? g_fast_ticks.logged : g_fast_ticks.counted;
  if (!probe.compiled || sums.count[kHits] <= timed || price == 0) return sums;
  const uint64_t fast = sums.count[kHits] - timed;
  sums.histogram[std::min<uint32_t>(static_cast<uint32_t>(std::bit_width(price)) - 1, 31)] += fast;
  sums.fast_ticks = fast * price;
  sums.ticks += sums.fast_ticks;
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

void SetThreadSessions(const SessionSet& sessions) { t_thread.sessions = sessions; }

SessionSet GetThreadSessions() { return t_thread.sessions; }

}  // namespace stillframe::hit
