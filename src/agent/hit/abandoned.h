// Whether a hit that seems to run was left by longjmp. Hit-path contract as in hit.h.
#ifndef STILLFRAME_AGENT_HIT_ABANDONED_H_
#define STILLFRAME_AGENT_HIT_ABANDONED_H_

#include <cstdint>

#include "agent/hit/hit.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {

SF_HIT_PATH_BEGIN

// A signal handler that interrupted a hit may leave by longjmp or an exception: the hit never ends,
// and without this the thread would count as inside it for ever. Stacks grow down, so a hit that
// begins above the one that runs, on the same stack, tells that the latter's frames are gone; so
// does one at about the same depth (the site once more), because a handler's hit is below a signal
// frame. On an alternate signal stack nothing can be told. running_at: 0 = not known.
bool IsAbandoned(uint64_t running_at, const RegisterFile* registers);

SF_HIT_PATH_END

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_ABANDONED_H_
