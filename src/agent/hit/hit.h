// The runtime side of a probe: what trampolines reach, and how the agent thread makes, publishes
// and retires it. Everything named *Runtime is read by application threads at any moment.
//
// Hit-path contract (STYLE.md): no allocation, no lock, no lazy TLS, no logging, no exception.
#ifndef STILLFRAME_AGENT_HIT_HIT_H_
#define STILLFRAME_AGENT_HIT_HIT_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>

#include "agent/hit/interpreter.h"
#include "agent/hit/measure.h"
#include "agent/hit/scope.h"
#include "plan/light_record.h"
#include "plan/plan.h"
#include "plan/record.h"
#include "plan/unwind_table.h"

namespace stillframe::hit {

// Accounting of one probe: hits = the sum of all the others, which is how SumCounters makes it.
// kUnsafeContext: a signal handler left the hit by longjmp.
enum Counter : uint8_t {
  kHits = 0,
  kConditionFalse,
  kConditionError,
  kRateLimited,
  kBudgetStopped,
  kReentrant,
  kRingFull,
  kUnsafeContext,
  kCaptured,
  kCounterCount,
};

// Sharded so that threads do not share cache lines. All but the last shard belong to one thread
// each (its ThreadSlot); threads beyond those share the last one.
inline constexpr uint32_t kShardCount = 256;
struct alignas(64) CounterShard {
  std::atomic<uint64_t> count[kCounterCount];  // relaxed; partner: SumCounters on the agent thread
  std::atomic<uint64_t> ticks;                 // time spent in hits, in time stamp counter ticks
  std::atomic<uint32_t> histogram[32];         // hits by log2(ticks)
};

// A plan unit as the hit path sees it: bare arrays that live as long as the runtime.
struct UnitView {
  const Insn* code;
  const StringRef* strings;
  const TypeNode* types;
  const Member* members;
  const View* views;
  const Piece* pieces;
  const Variable* variables;
  const Program* extents;
  const VirtualFrame* virtual_frames;
  const FramePlan* frames;
  const CallParameter* call_parameters;
  const Derived* derived;
};

// What a hit does once its condition holds.
enum class Action : uint8_t {
  kCapture,    // a record with frames and variables
  kCount,      // nothing more: counted as captured
  kLog,        // a light record
  kBeginSpan,  // remembered in the thread, and not counted
  kEndSpan,    // a record, if the span was begun; else not counted either
  kMeasure,    // a number, into the thread's share of the distribution
  kStash,      // argument registers, into the table of entry_stash.h; never counted
};

// Time that hits took in the current second, against a share of it (limits.cc).
struct Budget {
  std::atomic<uint64_t> window{0};        // start of the second, in ticks
  std::atomic<uint64_t> used{0};          // ticks
  std::atomic<uint64_t> paused_until{0};  // not 0: over budget until that time
};

struct ThrowEntry;       // throws.h
struct StashedFunction;  // entry_stash.h

// A tracepoint in one module, in force. Immutable after publication but for the atomics.
struct ProbeRuntime {
  // Shards are zero and cost memory only once their thread hits; without memory for them, hits are
  // not counted at all and the probe must not be armed (shards == nullptr).
  ProbeRuntime();
  ~ProbeRuntime();
  ProbeRuntime(const ProbeRuntime&) = delete;
  ProbeRuntime& operator=(const ProbeRuntime&) = delete;
  // For kMeasure. False when there is no memory.
  bool MakeDistribution();
  // For throws that are told apart. False when there is no memory.
  bool MakeThrows();

  uint64_t probe_id = 0;  // never reused in the process
  UnitView unit{};
  const SitePlan* sites = nullptr;
  uint64_t load_bias = 0;
  uint64_t tls_module = 0;  // FrameContext
  CaptureLimits limits;
  uint64_t max_hits = 0;                   // captures, then silent; 0 = no limit
  uint64_t ticks_per_permit = 0;           // rate limit: a second's share of each capture; 0 = none
  std::atomic<uint64_t> captures_left{0};  // partner: itself (fetch_sub by hits)
  std::atomic<uint64_t> permits_full_again{0};  // time stamp, see limits.cc
  Budget budget;
  uint32_t per_trace = 0;            // captures of one trace; 0 = no limit
  uint64_t trace_key = 0;            // tells tracepoints apart where traces are counted
  const Scope* scope = nullptr;      // nullptr: everyone is meant
  std::atomic<uint32_t> stopped{0};  // 1: the agent stopped it (budget); partner: agent thread
  Action action = Action::kCapture;
  const LightSite* light = nullptr;      // kLog, and kEndSpan without expressions: by site index
  uint32_t span = 0;                     // kBeginSpan, kEndSpan: which belong together
  bool span_any_frame = false;           // begun in one function, ended in another
  const MeasureSite* measure = nullptr;  // kMeasure: by site index
  DistributionShard* distribution = nullptr;  // kMeasure: kShardCount
  bool uses_facts = false;                    // some program of the unit has Op::kFact
  bool asks_stash = false;  // conditions (and the measured value) may want entry values
  // Whose entries are stashed for it. kStash: by site index.
  const StashedFunction* stashed = nullptr;
  uint32_t stashed_count = 0;
  ThrowEntry* throws = nullptr;    // kCapture of throws: kThrowEntries, else nullptr
  bool last_words = false;         // the program ends: the thread waits for its record
  bool uses_x87 = false;           // some location is in st(0) or st(1)
  bool compiled = false;           // some site has code that decides hits alone; agent thread only
  CounterShard* shards = nullptr;  // kShardCount
};

// One (probe, site) pair; a patched address may serve several tracepoints.
struct SiteProbe {
  ProbeRuntime* probe;
  uint32_t site_index;
};
struct SiteProbeList {
  uint32_t count;
  SiteProbe entries[8];  // a ninth tracepoint on one address is refused
};

// One per patched address; lives as long as the process, like its trampoline. `list` is replaced
// whole (RCU): the old one and retired ProbeRuntimes are freed only after WaitForQuiescence().
struct SiteRuntime {
  // Where the trampoline goes on: full_entry, or code compiled for the one probe of the site, which
  // decides most hits by itself. The hit is announced before it is read. Partner: agent thread.
  std::atomic<uint64_t> entry{0};
  uint64_t full_entry = 0;                          // saves every register and calls stillframe_hit
  uint64_t decline_entry = 0;                       // the displaced instruction, then back
  uint32_t rsp_below_site_bytes = 0;                // where the trampoline's own stack begins
  std::atomic<const SiteProbeList*> list{nullptr};  // acquire in hits; partner: agent thread
  uint64_t address = 0;                             // runtime address of the probed instruction
  std::atomic<uint64_t> cfa_rule{0};                // cache of the hit path; starts empty
};

// Called by every trampoline. Signal safety: yes, at any instruction of the host.
extern "C" void stillframe_hit(SiteRuntime* site, RegisterFile* registers);

// ---- Process-wide state, written by the agent thread, read by hits ----

// A loaded module for the unwinder. Arrays must outlive their publication.
struct UnwindModule {
  uint64_t start;  // runtime range of its text
  uint64_t end;
  uint64_t load_bias;
  uint64_t table_base;  // runtime address of row 0
  const uint32_t* pcs;
  const uint16_t* row_rules;
  const UnwindRule* rules;
  uint32_t row_count;
  uint32_t rule_count;
  const uint32_t* blocks = nullptr;  // UnwindTable; nullptr: none, all rows are searched
  uint64_t block_count = 0;
};
// `start` and `end`: of the module's text at run time.
inline UnwindModule ViewOf(const UnwindTable& table, uint64_t load_bias, uint64_t start,
                           uint64_t end) {
  return {start,
          end,
          load_bias,
          load_bias + table.base.value,
          table.pcs.data(),
          table.row_rules.data(),
          table.rules.data(),
          static_cast<uint32_t>(table.pcs.size()),
          static_cast<uint32_t>(table.rules.size()),
          table.blocks.data(),
          table.blocks.size()};
}
struct UnwindModules {
  uint32_t count;  // sorted by start
  const UnwindModule* modules;
};

// Caller plans by return address, an open-addressing table (power of two; key 0 = empty).
struct CallerEntry {
  uint64_t return_address;  // runtime
  uint64_t caller_plan_id;  // goes into FrameRecord
  uint64_t load_bias;
  uint64_t tls_module;  // FrameContext
  UnitView unit;        // frames[0] is the plan; without frames there is nothing to show
};
// Where a key's search begins (linear probing from there).
inline uint32_t CallerHash(uint64_t return_address) {
  return static_cast<uint32_t>((return_address * 0x9e3779b97f4a7c15u) >> 32);
}
struct CallerTable {
  uint32_t mask;  // entries - 1
  const CallerEntry* entries;
};

enum class ReadMethod : uint8_t { kProcessVmReadv, kProcSelfMem, kNone };

struct ProcessLimits {
  uint64_t ticks_per_second;      // of the time stamp counter
  uint32_t snapshots_per_second;  // per process; 0 = no limit
  uint32_t cpu_permille;          // of one core, for all hits together; 0 = no limit
};

// Sets up the ring and self-tests the read methods. Agent thread, once per process (again in no
// child: see Disable). May fail with kIoError.
Status Initialize(const ProcessLimits& limits);
// Every hit of the calling thread counts as reentrant from now on: the agent's own calls of malloc
// and the like are not the host's, and a snapshot of one would make more. At the thread's start.
void ExcludeThisThread();
// Once, before the first probe. Agent thread.
void SetTlsModules(const TlsModules& modules);
// Publish replacements; the previous value may be freed after WaitForQuiescence().
void PublishUnwindModules(const UnwindModules* modules);
void PublishCallers(const CallerTable* table);
// After fork, in the child: hits return at once (counted nowhere). Async-signal-safe.
void DisableInChild();
// Lets conditions read pages that were proven readable moments ago without a system call, by a copy
// that a handler of SIGSEGV and SIGBUS rescues (guard_control.cc). On: the handlers are installed
// in front of the host's, which still get every fault that is not ours. Call with true when the
// first probe is armed, with false when the last is gone. Agent thread. kIoError when refused.
Status SetGuardedReads(bool enabled);
// The agent thread's turn for guarded reads: asks whether the handlers in force are still ours,
// looks at the maps again when it is time, makes every thread ask for its signal mask anew. Every
// 10 ms or so while guarded reads are on. False: the program has put its own handler in our place,
// and guarded reads are off from now on.
bool RefreshGuardedReads(int64_t now_ns);
// Returns true once every hit that was running at the call has returned; false after timeout_ms
// (a thread may be blocked in a debugger): then free nothing and try again later.
bool WaitForQuiescence(uint32_t timeout_ms);
// Gives back what ended threads held, so that new ones count without locks. Agent thread, every
// second or so while probes are armed.
void FreeDeadSlots();
ReadMethod read_method();
// Which reads are possible when the sandbox forbids the better ones; for doctor and logs.
const char* ReadMethodName(ReadMethod method);
// Time stamp counter now; ticks_per_second() calibrated against CLOCK_MONOTONIC by the agent.
uint64_t ReadTicks();

// What code that is compiled for a probe must know of this process: offsets in bytes and addresses.
// Thread-local fields are at fs:[thread + field].
struct CodeLayout {
  int64_t thread;             // ThreadState from the thread pointer; fits in 32 bits
  uint32_t slot;              // ThreadState::slot
  uint32_t fast_turn;         // ThreadState::fast_turn
  uint32_t range_start;       // ThreadState::range_start[0]; [1] follows
  uint32_t range_limit;       // ThreadState::range_limit[0]; [1] follows
  uint32_t slot_announced;    // ThreadSlot::announced
  uint32_t slot_stack;        // ThreadSlot::stack
  uint32_t slot_shard_bytes;  // ThreadSlot::shard_bytes
  uint32_t slot_head;         // ThreadSlot::stream.head
  uint32_t slot_tail;         // ThreadSlot::stream.tail
  uint32_t slot_bytes;        // ThreadSlot::stream.bytes
  uint32_t thread_id;         // ThreadState::thread_id
  uint32_t trace_index;       // ThreadState::trace_index
  uint32_t traces;            // ThreadState::traces
  uint64_t epoch;             // address of the epoch, which is what a hit announces
  uint64_t guard_turn;        // address of the process's guard_turn
  uint64_t fork_guard;  // address of what is 0 in forked children, if light records are shared
};
CodeLayout GetCodeLayout();
// The published rule for the CFA at a site, when it is a register plus an offset. Agent thread.
bool SimpleCfaAt(uint64_t pc, uint8_t& dwarf_register, int32_t& offset);
// The start of the published unwind row that covers pc: an instruction begins there. 0: no row.
// Agent thread.
uint64_t InstructionBoundaryBefore(uint64_t pc);
// Tells the fault handler that probe code may run in [start, start + kCodeRegionBytes). kOverLimit.
inline constexpr uint64_t kCodeRegionBytes = 64 * 1024;
Status AddCodeRegion(uint64_t start);

// Memory for light records: before the first probe of Action::kLog is armed. kOverLimit.
Status PrepareStreams();
bool HasStreams();
// Takes the light records that hits left behind, at most `max`, and says what was in them. Agent
// thread. The span is good during the call. Returns how many were taken; `abandoned` counts streams
// that had to be skipped because a hit never ended.
using LightSink = void (*)(void* self, std::span<const uint8_t> record);
uint32_t TakeLightRecords(uint32_t max, LightSink sink, void* self, uint64_t& abandoned);

// What hits cost that compiled code decides alone (ProbeInstaller::MeasureFastHits): they are not
// timed, so SumCounters counts them at this price. Agent thread, before any probe is armed.
void SetFastHitTicks(uint32_t counted, uint32_t logged);

// Sums the shards. Any thread.
struct CounterSums {
  uint64_t count[kCounterCount];
  uint64_t ticks;
  uint64_t histogram[32];  // hits by log2(ticks)
  uint64_t fast_ticks;     // of `ticks`: those of hits that the hit path did not see
};
// Calls visit for each kind of throw that the probe met.
void ForEachThrow(const ProbeRuntime& probe,
                  const std::function<void(uint64_t fingerprint, uint64_t count)>& visit);

// ---- Records of threads that end the program (last_words.h) ----
// Records up to this number have reached the outside.
void SetShipped(uint64_t sequence);
// Whether the thread that made the record still stands where it was captured.
bool IsWaiting(uint64_t sequence);
// Whether some thread waits: nothing may wait for it in turn, such as WaitForQuiescence.
bool IsAnyoneWaiting();

// ---- Fatal signals (guard_control.cc) ----
// SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT, in this order, in masks: bit 0 is SIGSEGV.
inline constexpr int kFatalSignals = 5;
// The probe sees those signals before the program's own handlers do. Agent thread. kIoError when a
// handler cannot be installed, or the program took the place of ours before.
Status AddFatalProbe(ProbeRuntime* probe, uint32_t signals);
void RemoveFatalProbe(const ProbeRuntime* probe);
// Signals that probes are for and whose handlers the program has replaced since. Agent thread.
uint32_t LostFatalSignals();

DistributionSums SumDistribution(const ProbeRuntime& probe);
CounterSums SumCounters(const ProbeRuntime& probe);

// ---- Trace context of the calling thread (thread-local, initial-exec) ----
void SetThreadTraceContext(const TraceContextRecord& context);
TraceContextRecord GetThreadTraceContext();

// ---- Sessions of the calling thread, likewise ----
void SetThreadSessions(const SessionSet& sessions);
SessionSet GetThreadSessions();

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_HIT_H_
