// Who may capture now. Hit-path contract as in hit.h; lock-free with bounded attempts.
#ifndef STILLFRAME_AGENT_HIT_LIMITS_H_
#define STILLFRAME_AGENT_HIT_LIMITS_H_

#include <cstdint>

#include "agent/hit/hit.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {

SF_HIT_PATH_BEGIN

// True while the probe's hits, or all hits together, are over their share of a core. Cheap when
// they are not.
bool IsPaused(ProbeRuntime& probe);
// Adds time that hits took; pauses for the rest of the second when a share is used up.
void ChargeBudget(ProbeRuntime& probe, uint64_t ticks, uint64_t now);
// The same for all hits together alone.
void ChargeProcess(uint64_t ticks, uint64_t now);

// Takes one capture from every limit, or none from max_hits and the trace. kOk or kRateLimited, as
// a Counter: kCaptured means go on. Only snapshots use up the process's permits.
Counter TakePermit(ProbeRuntime& probe, uint64_t now, bool is_snapshot);
// The capture did not happen after all.
void ReturnPermit(ProbeRuntime& probe);

SF_HIT_PATH_END

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_LIMITS_H_
