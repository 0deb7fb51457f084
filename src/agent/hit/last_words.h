// What a thread says before its program ends. Hit-path contract as in hit.h, but for the wait.
#ifndef STILLFRAME_AGENT_HIT_LAST_WORDS_H_
#define STILLFRAME_AGENT_HIT_LAST_WORDS_H_

#include <cstdint>

#include "agent/hit/hit.h"
#include "agent/ring/ring.h"

namespace stillframe::hit {

// How long a thread that ends the program waits at most until its record is out.
inline constexpr uint32_t kLastWordsMs = 2'000;

// Commits the record and waits until it has reached the outside, or the time is over. The memory
// that the thread was about to lose stays as it is meanwhile.
void CommitLastWords(const ring::Slot& slot);

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_LAST_WORDS_H_
