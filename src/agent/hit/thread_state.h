// What the hit path keeps per thread. Initial-exec TLS: no allocation and no call to reach it, and
// no destructor. A signal handler may interrupt any use by the same thread.
#ifndef STILLFRAME_AGENT_HIT_THREAD_STATE_H_
#define STILLFRAME_AGENT_HIT_THREAD_STATE_H_

#include <sys/stat.h>

#include <atomic>
#include <cstdint>

#include "agent/hit/interpreter.h"
#include "agent/hit/memory.h"
#include "agent/hit/scope.h"
#include "plan/program.h"
#include "plan/record.h"

namespace stillframe::hit {

struct CounterShard;
struct ThrowEntry;
struct SiteProbeList;
struct ThreadSlot;

struct ThreadState {
  // Read by compiled probe code as well (hit::CodeLayout).
  ThreadSlot* slot;         // nullptr: not met yet, or there is none for this thread
  uint32_t fast_turn;       // the process's guard_turn while guarded reads are usable, else 0
  uint32_t guard_turn;      // the turn at which that was found out
  uint64_t range_start[2];  // readable memory, last used first; good for the turn
  uint64_t range_limit[2];  // a read of up to 8 bytes may begin this far from the start

  std::atomic<uint32_t> in_hit;  // partner: hits in signal handlers of the same thread
  uint32_t shard_plus_one;       // 0 = nothing is known of this thread yet
  uint32_t decline_count;        // decides which declined hits are timed
  uint32_t hit_count;            // of sites with several probes
  uint32_t thread_id;            // 0 = not asked yet; a forked child makes no records
  // The current one is traces[trace_index]; a writer fills the other and then flips, so that a hit
  // in a signal handler sees the old one or the new one, never half of each.
  std::atomic<uint32_t> trace_index;
  uint32_t outer_announced;  // what the slot announced before: this hit interrupted probe code
  TraceContextRecord traces[2];
  // Not twice: a hit in a signal handler that sees half of a new one matches neither.
  SessionSet sessions;
  // Working memory of the hit that is running: not on the application's stack, which may be small.
  const SiteProbeList* list;  // the site's
  uint64_t probe_start;       // of the probe that is looked at, in ticks; 0: it is not timed
  uint32_t next_probe;        // in the list
  uint64_t cells[kMaxStack + kSideCells];
  IoVec iovecs[2];
  uint64_t signal_mask;
  uint64_t proof[2];           // addresses whose pages are proven by the read that runs
  uint8_t xmm[kXmmCount][16];  // of the site, once a program has asked for it
  struct stat memory_file;     // what is known of its descriptor now
  FrameContext context;
  HitFacts facts;  // of the hit that is running, once a program may ask for them
  FastReader reader;
  MemoryReader memory;
  std::atomic<uint32_t>* running;  // without a slot: where the hit counted itself in
  // Of the hit that is running: on the application's stack, below everything that was live there.
  const RegisterFile* hit_registers;
  ThrowEntry* thrown;    // claimed by the hit that is running; nullptr: none
  uint64_t fingerprint;  // of its throw
  // Of a fault, while its handler runs: the vector registers that it found; and where and why.
  const void* fault_vectors;
  uint64_t fault_address;
  uint32_t fault_signal;
  CounterShard* open;  // the hit is counted there, its outcome is not yet
};

extern thread_local constinit ThreadState t_thread
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_THREAD_STATE_H_
