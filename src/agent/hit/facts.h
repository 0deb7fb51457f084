// What Op::kFact tells about the hit that is running. Hit-path contract as in hit.h.
#ifndef STILLFRAME_AGENT_HIT_FACTS_H_
#define STILLFRAME_AGENT_HIT_FACTS_H_

#include <cstdint>

#include "agent/hit/hit.h"
#include "agent/hit/thread_state.h"

namespace stillframe::hit {

// thread.facts, but for a duration: once a hit, where a program may ask.
void FillFacts(const ProbeRuntime& probe, ThreadState& thread);
// Of the span that ends.
void AddDuration(HitFacts& facts, uint64_t ticks);

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_FACTS_H_
