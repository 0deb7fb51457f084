// Who may capture now. Hit-path contract as in hit.h; lock-free with bounded attempts.
#ifndef STILLFRAME_AGENT_HIT_LIMITS_H_
#define STILLFRAME_AGENT_HIT_LIMITS_H_

#include <cstdint>

#include "agent/hit/hit.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {

SF_HIT_PATH_BEGIN

// True while all hits together are over the process's share of a core. Cheap when they are not.
bool IsPaused();
// Adds time that hits took; pauses for the rest of the second when the share is used up.
void ChargeBudget(uint64_t ticks, uint64_t now);

// Takes one capture from every limit, or none from max_hits. kOk or kRateLimited, as a Counter:
// kCaptured means go on.
Counter TakePermit(ProbeRuntime& probe, uint64_t now);
// The same from the probe's own limits only: log points do not use up snapshots.
Counter TakeLogPermit(ProbeRuntime& probe, uint64_t now);
// The capture did not happen after all.
void ReturnPermit(ProbeRuntime& probe);

SF_HIT_PATH_END

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_LIMITS_H_
