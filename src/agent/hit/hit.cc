// Where every trampoline arrives. Hit-path contract: no allocation, lock, lazy TLS, logging,
// exception; no call out of hit/ and ring/; bounded loops; errno untouched; general registers only.
// Stack on the way to a declined hit: tests/agent/probe/stack_use_test.cc.
#include "agent/hit/hit.h"

#include <sys/syscall.h>

#include <cerrno>

#include "agent/hit/abandoned.h"
#include "agent/hit/arch.h"
#include "agent/hit/bytes.h"
#include "agent/hit/capture.h"
#include "agent/hit/entry_stash.h"
#include "agent/hit/facts.h"
#include "agent/hit/last_words.h"
#include "agent/hit/light.h"
#include "agent/hit/limits.h"
#include "agent/hit/meet_thread.h"
#include "agent/hit/memory.h"
#include "agent/hit/process_state.h"
#include "agent/hit/thread_state.h"
#include "agent/hit/unwinder.h"
#include "agent/ring/hit_path.h"
#include "agent/ring/ring.h"
#include "agent/ring/stream.h"
#include "local_ops.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

constexpr uint8_t kRsp = 7;
constexpr auto kRelaxed = std::memory_order_relaxed;
// Reading the time stamp counter twice would double the cost of a declined hit, so one in this
// many is timed and counts for all. Prime, so that no probe of a site with several is left out.
constexpr uint32_t kTimedDecline = 17;
// Parts of a second that a hit is charged at most (Bounded).
constexpr uint64_t kMostOfCapture = 500;
constexpr uint64_t kMostOfDecline = 20'000;
// Around what is timed of an entry: the trampoline, and how a hit begins and ends.
constexpr uint64_t kTrampolineTicks = 16;

// The rule of a site's CFA in one word: generation of the unwind tables (16 bits), a register or
// one of these, 8 bits nothing, offset.
constexpr uint64_t kCfaByTable = 0xfe;  // needs the rule itself, every time
constexpr uint64_t kCfaUnknown = 0xff;

uint64_t EncodeCfaRule(const UnwindRule* rule, uint32_t generation) {
  uint64_t place = kCfaByTable;
  uint64_t offset = 0;
  if (rule == nullptr) {
    place = kCfaUnknown;
  } else if (rule->cfa_kind == CfaKind::kRegisterOffset && rule->cfa_register < kRegisterCount) {
    place = rule->cfa_register;
    offset = static_cast<uint32_t>(rule->cfa_offset);
  }
  return uint64_t{generation & 0xffff} << 48 | place << 40 | offset;
}

__attribute__((noinline)) uint64_t LookUpCfaRule(SiteRuntime* site, const UnwindModules* modules,
                                                 uint64_t pc, uint32_t generation) {
  const uint64_t rule = EncodeCfaRule(FindRule(modules, pc), generation);
  site->cfa_rule.store(rule, kRelaxed);
  return rule;
}

// CFA of the probed frame; false when no rule covers the site.
SF_HIT_INLINE bool CfaOf(SiteRuntime* site, const RegisterFile& registers, FastReader& reader,
                         uint64_t& cfa) {
  // The generation is read first: tables newer than it only make the cache look stale too early.
  const uint32_t generation = g_process.modules_generation.load(std::memory_order_acquire);
  uint64_t rule = site->cfa_rule.load(kRelaxed);
  if (rule == 0 || rule >> 48 != (generation & 0xffff)) {
    rule = LookUpCfaRule(site, g_process.modules.load(std::memory_order_acquire), registers.rip,
                         generation);
  }
  const uint64_t place = rule >> 40 & 0xff;
  if (place < kRegisterCount) {
    cfa = registers.gpr[place] +
          static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(rule)));
    return true;
  }
  if (place == kCfaUnknown) return false;
  const UnwindRule* const slow =
      FindRule(g_process.modules.load(std::memory_order_acquire), registers.rip);
  return slow != nullptr && SiteCfa(*slow, registers, reader.reader(), cfa);
}

EvalResult RunCondition(const ProbeRuntime& probe, const Program& program) {
  ThreadState& thread = t_thread;
  return EvaluateWithStack(thread.cells, probe.unit.code + program.first, program.count,
                           thread.context, thread.memory, probe.unit.strings);
}

// A condition that looks at a vector register: saved only now.
__attribute__((noinline)) EvalResult RunConditionWithXmm(const ProbeRuntime& probe,
                                                         const Program& program) {
  stillframe_save_xmm(t_thread.xmm);
  t_thread.context.xmm = t_thread.xmm;
  return RunCondition(probe, program);
}

// What programs of the site may look at.
SF_HIT_INLINE void SetContext(SiteRuntime* site, const ProbeRuntime& probe,
                              const RegisterFile& registers, ThreadState& thread) {
  FrameContext& context = thread.context;
  context.registers = registers.gpr;
  context.valid_registers = 0xffff;
  context.cfa = 0;
  context.cfa_known = CfaOf(site, registers, thread.reader, context.cfa) ? 1 : 0;
  context.load_bias = probe.load_bias;
  context.thread_pointer = stillframe_thread_pointer();
  context.tls_module = probe.tls_module;
  context.tls_modules = &g_process.tls_modules;
  context.xmm = nullptr;
  context.entry = nullptr;
  context.facts = probe.uses_facts ? &thread.facts : nullptr;
}

// The entry values of the site's frame, for programs that run before a record is made. In the
// thread's slot, because its own storage and the application's stack are scarce: without one there
// are none.
__attribute__((noinline)) void SetEntryValues(const ProbeRuntime& probe, uint32_t site_index,
                                              const RegisterFile& registers, ThreadState& thread) {
  if (thread.slot == nullptr || thread.context.cfa_known == 0) return;
  EntryValues& entry = thread.slot->entry;
  ReadSiteStash(probe, site_index, registers.rip, thread.context.cfa, thread.memory, entry);
  thread.context.entry = &entry;
}

// kCaptured: the condition holds. Otherwise what the hit counts as.
SF_HIT_INLINE Counter CheckCondition(const ProbeRuntime& probe, const Program& program) {
  EvalResult result = RunCondition(probe, program);
  // In this frame every general register is known, so it was a vector register or the CFA.
  if (result.error == Code::kNotSaved) result = RunConditionWithXmm(probe, program);
  if (result.error != Code::kOk) return kConditionError;
  return result.value != 0 ? kCaptured : kConditionFalse;
}

// One instruction, so that a hit in a signal handler of this thread loses no count.
SF_HIT_INLINE void Count(const ThreadState& thread, CounterShard& shard, Counter what) {
  std::atomic<uint64_t>& count = shard.count[what];
  if (thread.slot != nullptr) {
    stillframe_increment(&count);
  } else {
    count.fetch_add(1, kRelaxed);
  }
}

void CountTime(CounterShard& shard, uint64_t ticks, uint32_t weight) {
  const uint32_t bucket = ticks == 0 ? 0 : 63 - static_cast<uint32_t>(__builtin_clzll(ticks));
  shard.ticks.fetch_add(ticks * weight, kRelaxed);
  shard.histogram[bucket < 31 ? bucket : 31].fetch_add(weight, kRelaxed);
}

// Before what was captured can be taken, so that a taken record is never ahead of the sum.
SF_HIT_INLINE void CountCaptured(ThreadState& thread, CounterShard& shard) {
  thread.open = nullptr;
  Count(thread, shard, kCaptured);
}

// At most a bit of a second: a thread that was not running in the midst of a hit took no time. One
// hit alone is never over budget, and many soon are.
SF_HIT_INLINE uint64_t Bounded(uint64_t ticks, uint64_t part_of_second) {
  const uint64_t most = g_process.ticks_per_second.load(kRelaxed) / part_of_second;
  return ticks < most ? ticks : most;
}

Counter EndCapture(ProbeRuntime& probe, CounterShard& shard, uint64_t start) {
  const uint64_t now = stillframe_read_ticks();
  CountTime(shard, now - start, 1);
  ChargeBudget(probe, Bounded(now - start, kMostOfCapture), now);
  return kCaptured;
}

// What follows is off the way of declined hits.

// A permit is there: slot, record. `span_ticks`: 0 but for spans.
__attribute__((noinline)) Counter MakeRecord(const SiteProbe& entry, const RegisterFile* registers,
                                             CounterShard& shard, uint64_t start,
                                             uint64_t span_ticks) {
  ProbeRuntime& probe = *entry.probe;
  ring::Slot slot;
  if (!ring::Acquire(slot)) {
    ReturnPermit(probe);
    return kRingFull;
  }
  Capture({&probe, entry.site_index, registers, start, span_ticks, t_thread.cells}, t_thread.reader,
          slot);
  // What calls pass was computed there, secrets among it.
  ClearWords(t_thread.cells, sizeof t_thread.cells / sizeof(uint64_t));
  CountCaptured(t_thread, shard);
  probe.last_words ? CommitLastWords(slot) : (void)ring::Commit(slot);
  return EndCapture(probe, shard, start);
}

__attribute__((noinline)) Counter TryCapture(const SiteProbe& entry, const RegisterFile* registers,
                                             CounterShard& shard) {
  const uint64_t start = stillframe_read_ticks();
  const Counter permit = TakePermit(*entry.probe, start, true);
  return permit == kCaptured ? MakeRecord(entry, registers, shard, start, 0) : permit;
}

__attribute__((noinline)) Counter TryLog(SiteRuntime* site, const SiteProbe& entry,
                                         const RegisterFile* registers, CounterShard& shard) {
  ProbeRuntime& probe = *entry.probe;
  ThreadState& thread = t_thread;
  const uint64_t start = stillframe_read_ticks();
  const Counter permit = TakePermit(probe, start, false);
  if (permit != kCaptured) return permit;
  SetContext(site, probe, *registers, thread);
  uint8_t* record = nullptr;
  const Counter outcome = WriteLight(probe, entry.site_index, start, record);
  if (outcome != kCaptured) {
    ReturnPermit(probe);
    return outcome;
  }
  CountCaptured(thread, shard);
  ring::CommitLight(record);
  return EndCapture(probe, shard, start);
}

// A permit is there.
Counter LeaveSpan(const SiteProbe& entry, CounterShard& shard, uint64_t now, uint64_t span_ticks) {
  uint8_t* record = nullptr;
  const Counter outcome = WriteLight(*entry.probe, entry.site_index, now, record);
  if (outcome != kCaptured) {
    ReturnPermit(*entry.probe);
    return outcome;
  }
  const LightSite& site = entry.probe->light[entry.site_index];
  auto* const value = reinterpret_cast<LightValue*>(record + site.span_offset);
  value->value = span_ticks;
  value->code = 0;
  value->text_bytes = 0;
  CountCaptured(t_thread, shard);
  ring::CommitLight(record);
  return EndCapture(*entry.probe, shard, now);
}

// kCaptured: there is nothing to be counted.
__attribute__((noinline)) Counter StartSpan(SiteRuntime* site, const SiteProbe& entry,
                                            const RegisterFile* registers) {
  ThreadState& thread = t_thread;
  SetContext(site, *entry.probe, *registers, thread);
  if (thread.context.cfa_known == 0 || thread.slot == nullptr) return kUnsafeContext;
  thread.open = nullptr;
  BeginSpan(thread.slot->spans, entry.probe->span, thread.context.cfa, stillframe_read_ticks());
  return kCaptured;
}

// The same when no span was begun.
__attribute__((noinline)) Counter FinishSpan(SiteRuntime* site, const SiteProbe& entry,
                                             const RegisterFile* registers, CounterShard& shard) {
  ProbeRuntime& probe = *entry.probe;
  ThreadState& thread = t_thread;
  const uint64_t now = stillframe_read_ticks();
  SetContext(site, probe, *registers, thread);
  if (thread.context.cfa_known == 0 || thread.slot == nullptr) return kUnsafeContext;
  uint64_t begun = 0;
  if (!EndSpan(thread.slot->spans, probe.span, thread.context.cfa, probe.span_any_frame, begun)) {
    thread.open = nullptr;
    return kCaptured;
  }
  const Program& condition = probe.sites[entry.site_index].condition;
  if (condition.count != 0) {
    if (probe.asks_stash) SetEntryValues(probe, entry.site_index, *registers, thread);
    AddDuration(thread.facts, now - begun);
    const Counter verdict = CheckCondition(probe, condition);
    if (verdict != kCaptured) return verdict;
  }
  const Counter permit = TakePermit(probe, now, false);
  if (permit != kCaptured) return permit;
  if (probe.light != nullptr) return LeaveSpan(entry, shard, now, now - begun);
  return MakeRecord(entry, registers, shard, now, now - begun);
}

// The measured value as a double's bits; false when it cannot be had.
bool ReadMeasured(const ProbeRuntime& probe, const MeasureSite& measure, ThreadState& thread,
                  uint64_t& f64_bits) {
  EvalResult result = RunCondition(probe, measure.program);
  if (result.error == Code::kNotSaved) result = RunConditionWithXmm(probe, measure.program);
  if (result.error != Code::kOk) return false;
  uint64_t bits = result.value;
  if (measure.in_memory != 0) {
    bits = 0;
    if (!thread.memory.read(thread.memory.self, result.value, &bits, measure.size_bytes)) {
      return false;
    }
  }
  f64_bits = ToFloat64(bits, measure.size_bytes, measure.format);
  return true;
}

__attribute__((noinline)) Counter TryMeasure(SiteRuntime* site, const SiteProbe& entry,
                                             const RegisterFile* registers, CounterShard& shard) {
  ProbeRuntime& probe = *entry.probe;
  ThreadState& thread = t_thread;
  const uint64_t start = stillframe_read_ticks();
  const Counter permit = TakePermit(probe, start, false);
  if (permit != kCaptured) return permit;
  SetContext(site, probe, *registers, thread);
  if (probe.asks_stash) SetEntryValues(probe, entry.site_index, *registers, thread);
  DistributionShard& share = probe.distribution[thread.shard_plus_one - 1];
  uint64_t bits = 0;
  if (!ReadMeasured(probe, probe.measure[entry.site_index], thread, bits) || !Record(share, bits)) {
    ReturnPermit(probe);
    return kConditionError;
  }
  CountCaptured(thread, shard);
  return EndCapture(probe, shard, start);
}

SF_HIT_INLINE Counter Decide(SiteRuntime* site, const SiteProbe& entry,
                             const RegisterFile* registers, ThreadState& thread) {
  ProbeRuntime& probe = *entry.probe;
  if (probe.stopped.load(kRelaxed) != 0 || IsPaused(probe)) return kBudgetStopped;
  if (probe.scope != nullptr && !InScope(*probe.scope)) return kConditionFalse;
  if (probe.uses_facts) FillFacts(probe, thread);
  const Program& condition = probe.sites[entry.site_index].condition;
  // That of a span's end is for spans that were begun.
  if (condition.count != 0 && probe.action != Action::kEndSpan) {
    SetContext(site, probe, *registers, thread);
    if (probe.asks_stash) SetEntryValues(probe, entry.site_index, *registers, thread);
    const Counter verdict = CheckCondition(probe, condition);
    if (verdict != kCaptured) return verdict;
  }
  if (probe.action == Action::kCount) {
    if (probe.max_hits != 0 || probe.ticks_per_permit != 0) {
      const Counter permit = TakePermit(probe, stillframe_read_ticks(), false);
      if (permit != kCaptured) return permit;
    }
    CountCaptured(thread, *thread.open);
    return kCaptured;
  }
  if (probe.action == Action::kBeginSpan) return StartSpan(site, entry, registers);
  if (probe.action == Action::kEndSpan) return FinishSpan(site, entry, registers, *thread.open);
  if (probe.action == Action::kMeasure) return TryMeasure(site, entry, registers, *thread.open);
  if (probe.action == Action::kLog) return TryLog(site, entry, registers, *thread.open);
  return TryCapture(entry, registers, *thread.open);
}

__attribute__((noinline)) void FinishTimedDecline(ProbeRuntime& probe, CounterShard& shard,
                                                  uint64_t start) {
  const uint64_t now = stillframe_read_ticks();
  CountTime(shard, now - start, kTimedDecline);
  ChargeBudget(probe, Bounded(now - start, kMostOfDecline) * kTimedDecline, now);
}

// A function is entered. It is no hit of the tracepoint, so nothing is counted but what it costs;
// and whether the tracepoint is paused does not matter, or an older call's values would stay.
__attribute__((noinline)) void OneEntry(const SiteProbe& entry, const RegisterFile& registers) {
  ProbeRuntime& probe = *entry.probe;
  ThreadState& thread = t_thread;
  const bool timed = thread.decline_count++ % kTimedDecline == 0;
  const uint64_t start = timed ? stillframe_read_ticks() : 0;
  StashEntry(probe.stashed[entry.site_index], registers);
  if (!timed) return;
  const uint64_t now = stillframe_read_ticks();
  const uint64_t ticks = Bounded(now - start + kTrampolineTicks, kMostOfDecline) * kTimedDecline;
  probe.shards[thread.shard_plus_one - 1].ticks.fetch_add(ticks, kRelaxed);
  ChargeProcess(ticks, now);
}

SF_HIT_INLINE void OneProbe(SiteRuntime* site, const SiteProbe& entry,
                            const RegisterFile* registers) {
  if (entry.probe->action == Action::kStash) return OneEntry(entry, *registers);
  ThreadState& thread = t_thread;
  thread.open = &entry.probe->shards[thread.shard_plus_one - 1];
  const bool timed = thread.decline_count++ % kTimedDecline == 0;
  thread.probe_start = timed ? stillframe_read_ticks() : 0;
  thread.reader.Start(registers->gpr[kRsp]);
  thread.memory = thread.reader.reader();
  const Counter outcome = Decide(site, entry, registers, thread);
  if (outcome == kCaptured) return;  // counted and timed where it happened
  CounterShard& shard = *thread.open;
  thread.open = nullptr;
  Count(thread, shard, outcome);
  if (thread.probe_start != 0) FinishTimedDecline(*entry.probe, shard, thread.probe_start);
}

// Announced before the list is read. Partner: WaitForQuiescence.
SF_HIT_INLINE void Enter(ThreadState& thread, const RegisterFile* registers) {
  // Said first, placed second: a handler in between finds a hit of unknown place, which it leaves
  // alone (and if it longjmps from there, for ever). The other way round its own hit would leave
  // its place behind as if it were this one's, and the next would take this one for abandoned.
  thread.in_hit.store(1, kRelaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread.hit_registers = registers;
  const uint32_t epoch = g_process.epoch.load(kRelaxed);
  if (ThreadSlot* const slot = thread.slot) {
    // Not 0 when this hit is in a signal handler that interrupted a trampoline: what that announced
    // stays, because it is older.
    thread.outer_announced = slot->announced.load(kRelaxed);
    if (thread.outer_announced != 0 && IsAbandoned(slot->stack, registers)) {
      thread.outer_announced = 0;
    }
    if (thread.outer_announced == 0) {
      slot->announced.store(epoch, kRelaxed);
      std::atomic_signal_fence(std::memory_order_seq_cst);
      slot->stack = reinterpret_cast<uint64_t>(registers);
    }
    std::atomic_signal_fence(std::memory_order_seq_cst);
    return;
  }
  std::atomic<uint32_t>* const running = &g_process.unslotted.running[epoch >> 1 & 1];
  running->fetch_add(1, std::memory_order_seq_cst);
  thread.running = running;
}

SF_HIT_INLINE void Withdraw(ThreadState& thread) {
  if (thread.slot != nullptr) {
    thread.slot->announced.store(thread.outer_announced, std::memory_order_release);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (thread.outer_announced == 0) thread.slot->stack = 0;
  } else if (std::atomic<uint32_t>* const running = thread.running) {
    thread.running = nullptr;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    running->fetch_sub(1, std::memory_order_release);
  }
  thread.hit_registers = nullptr;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread.in_hit.store(0, kRelaxed);
}

// The hit that ran was left by longjmp. It counts as unsafe; a slot of the ring that it held is
// lost.
__attribute__((noinline)) bool EndAbandonedHit(const RegisterFile* registers) {
  ThreadState& thread = t_thread;
  if (!IsAbandoned(reinterpret_cast<uint64_t>(thread.hit_registers), registers)) return false;
  CounterShard* const open = thread.open;
  thread.open = nullptr;
  if (open != nullptr) Count(thread, *open, kUnsafeContext);
  Withdraw(thread);
  return true;
}

// A signal handler of this thread interrupted a hit and hit a probe itself. The list is protected
// by the interrupted hit, which WaitForQuiescence waits for. Entries are stashed even so: what an
// ended call left must not stay.
__attribute__((noinline)) void CountReentrant(const SiteRuntime* site,
                                              const RegisterFile& registers) {
  const ThreadState& thread = t_thread;
  const SiteProbeList* const list = site->list.load(std::memory_order_acquire);
  if (list == nullptr) return;
  for (uint32_t i = 0; i < list->count; ++i) {
    const SiteProbe& entry = list->entries[i];
    if (entry.probe->action == Action::kStash) {
      StashEntry(entry.probe->stashed[entry.site_index], registers);
    } else {
      Count(thread, entry.probe->shards[thread.shard_plus_one - 1], kReentrant);
    }
  }
}

}  // namespace

extern "C" void stillframe_hit(SiteRuntime* site, RegisterFile* registers) {
  if (g_process.disabled.load(kRelaxed) != 0) return;
  ThreadState& thread = t_thread;
  if (thread.shard_plus_one == 0) MeetThread(thread);
  if (thread.in_hit.load(kRelaxed) != 0 && !EndAbandonedHit(registers)) {
    return CountReentrant(site, *registers);
  }
  Enter(thread, registers);
  thread.list = site->list.load(std::memory_order_acquire);
  if (thread.list != nullptr) {
    // Who comes first takes what is left of the process's permits, so they take turns: irregular
    // ones, because hits and permits may both come in a regular beat.
    uint32_t left = thread.list->count;
    thread.next_probe = left == 1 ? 0 : (thread.hit_count++ * 0x9e3779b9u >> 16) % left;
    for (; left != 0; --left) {
      OneProbe(site, t_thread.list->entries[t_thread.next_probe], registers);
      if (++t_thread.next_probe == t_thread.list->count) t_thread.next_probe = 0;
    }
  }
  Withdraw(t_thread);
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
