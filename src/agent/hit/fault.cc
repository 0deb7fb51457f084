// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded loops; general registers only.
#include "agent/hit/fault.h"

#include "agent/hit/process_state.h"
#include "agent/hit/thread_state.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN

void HitFault(SiteRuntime& site, RegisterFile& registers, const CaptureContext& fault) {
  ThreadState& thread = t_thread;
  // No guarded reads as long as this turn lasts; at the next one the thread looks at its mask.
  thread.fast_turn = 0;
  thread.guard_turn = g_process.guard_turn.load(std::memory_order_acquire);
  thread.fault_vectors = fault.vectors;
  thread.fault_address = fault.address;
  thread.fault_signal = fault.signal;
  stillframe_hit(&site, &registers);
  thread.fault_vectors = nullptr;
  thread.fault_address = 0;
  thread.fault_signal = 0;
  // The mask is another one when the handler is left.
  thread.guard_turn = 0;
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
