// The one instruction that the hit path wants inline. Found through the include path of the chosen
// architecture, as <increment.h>.
#ifndef STILLFRAME_AGENT_PROBE_ARCH_X86_64_HIT_INCREMENT_H_
#define STILLFRAME_AGENT_PROBE_ARCH_X86_64_HIT_INCREMENT_H_

#include <atomic>
#include <cstdint>

// Adds one by a single instruction: a signal handler of the same thread that adds to the same word
// loses nothing. No other thread may write the word; others may read it.
inline __attribute__((always_inline)) void stillframe_increment(std::atomic<uint64_t>* word) {
  asm volatile("incq %0" : "+m"(*word) : : "cc");
}

#endif  // STILLFRAME_AGENT_PROBE_ARCH_X86_64_HIT_INCREMENT_H_
