// State of the whole process that hits read. Private to hit/. Constant-initialized, never
// destroyed: hits may run before constructors and after destructors.
#ifndef STILLFRAME_AGENT_HIT_PROCESS_STATE_H_
#define STILLFRAME_AGENT_HIT_PROCESS_STATE_H_

#include <atomic>
#include <cstdint>

#include "agent/hit/hit.h"
#include "agent/hit/spans.h"
#include "agent/ring/stream.h"

namespace stillframe::hit {

inline constexpr uint32_t kFilterEntries = 4096;
inline constexpr uint32_t kMaxCodeRegions = 256;

// One thread's announcement that it runs a hit, and which shard of every probe's counters is its
// own. One owner, so plain stores do; that the agent sees them before the thread reads anything is
// the work of membarrier(2) on the agent's side. Compiled probe code reads it (hit::CodeLayout).
struct alignas(64) ThreadSlot {
  std::atomic<uint32_t> owner;      // thread id; 0 = free; claimed by hits, freed by the agent
  std::atomic<uint32_t> announced;  // the epoch of the hit that runs; 0 = none
  uint64_t stack = 0;               // where that hit is on its stack; 0 = not known (yet)
  uint64_t shard_bytes = 0;         // from a probe's first shard to this thread's; set when claimed
  ring::Stream stream;              // the slot's, whoever owns it
  OpenSpans spans{};                // the owner's; set when claimed
  EntryValues entry{};              // of the hit that runs, for its conditions
  uint64_t name_ticks = 0;          // when the owner's name was asked for; 0: never
  char name[kThreadNameBytes] = {};
};
// Owner of a slot that is being taken back from a thread that may be dead. Taken first and asked
// then: between a question and an exchange, the dead thread's number or its slot may become another
// thread's, whose announcement would be wiped out (tests/models/quiescence.pml).
inline constexpr uint32_t kTakingBack = ~uint32_t{0};
// The last shard is for all threads that found no slot.
inline constexpr uint32_t kSharedShard = kShardCount - 1;
inline constexpr uint32_t kThreadSlots = kSharedShard;

// Hits of threads without a slot, by the epoch's second bit: they count themselves in and out with
// locked additions, and WaitForQuiescence waits for the old side to drain (sleepable RCU).
struct alignas(64) UnslottedHits {
  std::atomic<uint32_t> running[2];
};

// Readable memory at the last look at the maps, sorted, neighbours joined.
struct ReadableRange {
  uint64_t start;
  uint64_t end;
};
struct ReadableRanges {
  uint32_t count;
  const ReadableRange* ranges;
};

// ProcessState::waiting before the record has a number.
inline constexpr uint64_t kAboutToWait = ~uint64_t{0};

struct ProcessState {
  // Written by the agent thread.
  std::atomic<uint32_t> disabled{0};  // 1 in a forked child
  std::atomic<ReadMethod> read_method{ReadMethod::kNone};
  std::atomic<uint32_t> pid{0};
  std::atomic<int32_t> memory_fd{-1};  // /proc/self/mem
  std::atomic<uint64_t> memory_device{0};
  std::atomic<uint64_t> memory_inode{0};
  std::atomic<uint64_t> ticks_per_second{0};
  std::atomic<uint64_t> ticks_per_snapshot{0};         // 0 = no limit
  std::atomic<uint64_t> budget_ticks{0};               // of hits in one second; 0 = no limit
  std::atomic<uint64_t> probe_budget_ticks{0};         // of one probe's; 0 = no limit
  std::atomic<const UnwindModules*> modules{nullptr};  // release; partner: acquire in hits
  std::atomic<uint32_t> modules_generation{1};         // goes up with every publication
  std::atomic<const CallerTable*> callers{nullptr};    // release; partner: acquire in hits
  // 0: no guarded reads. Else counted up at the agent's turns and whenever `ranges` is replaced; a
  // thread that sees a new number forgets its ranges and asks for its signal mask again.
  std::atomic<uint32_t> guard_turn{0};                 // release; partner: acquire in hits
  std::atomic<const ReadableRanges*> ranges{nullptr};  // release; partner: acquire in hits
  std::atomic<uint32_t> epoch{1};                      // goes up by 2, so that it is never 0
  std::atomic<uint32_t> slots_work{0};  // 1: membarrier(2) does; 0: no thread gets a slot

  TlsModules tls_modules{};          // before the first probe
  std::atomic<uint64_t> shipped{0};  // records up to this number are out; partner: last_words.cc

  // Written by hits.
  std::atomic<uint64_t> waiting{0};       // the record that a thread waits for before it ends
  std::atomic<uint32_t> range_misses{0};  // reads outside of all ranges; the agent looks again
  alignas(64) std::atomic<uint64_t> snapshot_time{0};  // when the snapshot bucket is full again
  Budget budget;                                       // of all hits together
  UnslottedHits unslotted;
  ThreadSlot slots[kThreadSlots];
  std::atomic<uint32_t> slots_used;                     // no slot from here on was ever claimed
  std::atomic<uint64_t> code_regions[kMaxCodeRegions];  // starts; 0 ends the list
  // Pages proven readable, with the coarse time of the proof (memory.cc).
  std::atomic<uint64_t> page_filter[kFilterEntries];
};

extern ProcessState g_process __attribute__((visibility("hidden")));

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_PROCESS_STATE_H_
