// A thread's first hit. Hit-path contract as in hit.h.
#ifndef STILLFRAME_AGENT_HIT_MEET_THREAD_H_
#define STILLFRAME_AGENT_HIT_MEET_THREAD_H_

#include "agent/hit/thread_state.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {

SF_HIT_PATH_BEGIN

// Gives the calling thread its number, a slot if there is one, and its shard of every counter.
void MeetThread(ThreadState& thread);

SF_HIT_PATH_END

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_MEET_THREAD_H_
