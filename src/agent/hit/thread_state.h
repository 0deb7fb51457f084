// What the hit path keeps per thread. Initial-exec TLS: no allocation and no call to reach it, and
// no destructor. A signal handler may interrupt any use by the same thread.
#ifndef STILLFRAME_AGENT_HIT_THREAD_STATE_H_
#define STILLFRAME_AGENT_HIT_THREAD_STATE_H_

#include <atomic>
#include <cstdint>

#include "agent/hit/interpreter.h"
#include "agent/hit/memory.h"
#include "plan/program.h"
#include "plan/record.h"

namespace stillframe::hit {

struct ThreadState {
  std::atomic<uint32_t> in_hit;  // partner: hits in signal handlers of the same thread
  uint32_t shard_plus_one;       // 0 = not given yet
  uint32_t decline_count;        // every 16th declined hit is timed
  uint32_t guard_usable;         // result of the last check
  uint32_t thread_id;            // 0 = not asked yet; a forked child makes no records
  uint32_t guard_turn;           // guard_usable holds while this is the process's
  uint32_t range_generation;     // the range of the last guarded read holds while this is current
  uint64_t range_start;
  uint64_t range_bytes;
  // The current one is traces[trace_index]; a writer fills the other and then flips, so that a hit
  // in a signal handler sees the old one or the new one, never half of each.
  std::atomic<uint32_t> trace_index;
  TraceContextRecord traces[2];
  // Working memory of the hit that is running: not on the application's stack, which may be small.
  uint64_t cells[kMaxStack];
  FrameContext context;
  FastReader reader;
  MemoryReader memory;
  std::atomic<uint32_t>* running;  // where the hit counted itself in
};

extern thread_local constinit ThreadState t_thread
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_THREAD_STATE_H_
