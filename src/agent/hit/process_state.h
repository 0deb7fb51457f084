// State of the whole process that hits read. Private to hit/. Constant-initialized, never
// destroyed: hits may run before constructors and after destructors.
#ifndef STILLFRAME_AGENT_HIT_PROCESS_STATE_H_
#define STILLFRAME_AGENT_HIT_PROCESS_STATE_H_

#include <atomic>
#include <cstdint>

#include "agent/hit/hit.h"

namespace stillframe::hit {

inline constexpr uint32_t kFilterEntries = 4096;

// Hits now running, by epoch. Readers count themselves in and out; WaitForQuiescence turns the
// epoch and waits for the old one to drain (the scheme of sleepable RCU).
struct alignas(64) ActiveShard {
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
  std::atomic<const UnwindModules*> modules{nullptr};  // release; partner: acquire in hits
  std::atomic<uint32_t> modules_generation{1};         // goes up with every publication
  std::atomic<const CallerTable*> callers{nullptr};    // release; partner: acquire in hits
  // 0: no guarded reads. Else counted up at the agent's turns; a thread that sees a new number asks
  // for its signal mask again.
  std::atomic<uint32_t> guard_turn{0};
  std::atomic<const ReadableRanges*> ranges{nullptr};  // release; partner: acquire in hits
  std::atomic<uint32_t> ranges_generation{1};          // goes up with every publication
  std::atomic<uint32_t> epoch{0};

  // Written by hits.
  std::atomic<uint32_t> next_shard{0};
  std::atomic<uint32_t> range_misses{0};  // reads outside of all ranges; the agent looks again
  alignas(64) std::atomic<uint64_t> snapshot_time{0};  // when the snapshot bucket is full again
  std::atomic<uint64_t> budget_window{0};              // start of the current second, in ticks
  std::atomic<uint64_t> budget_used{0};
  std::atomic<uint64_t> paused_until{0};  // not 0: over budget until that time
  ActiveShard active[kShardCount];
  // Pages proven readable, with the coarse time of the proof (memory.cc).
  std::atomic<uint64_t> page_filter[kFilterEntries];
};

extern ProcessState g_process __attribute__((visibility("hidden")));

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_PROCESS_STATE_H_
