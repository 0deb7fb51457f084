// How often each trace was captured: one trace's request may run a line a thousand times, and
// the first few of them tell as much. Hit-path contract as in hit.h; lock-free.
//
// The table remembers the last 4,096 pairs of tracepoint and trace; what it forgot begins anew.
#ifndef STILLFRAME_AGENT_HIT_TRACE_COUNTS_H_
#define STILLFRAME_AGENT_HIT_TRACE_COUNTS_H_

#include "agent/hit/hit.h"

namespace stillframe::hit {

// Counts a capture for the calling thread's trace; false: the trace has probe.per_trace of them.
// True without a count when there is no trace or no limit.
bool TakeOfTrace(const ProbeRuntime& probe);
// The capture did not happen after all.
void ReturnOfTrace(const ProbeRuntime& probe);

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_TRACE_COUNTS_H_
