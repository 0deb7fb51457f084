// Single instructions on words that one thread alone writes: whole as seen by a signal handler of
// that thread, without the price of a locked one. Found through the include path of the chosen
// architecture, as <local_ops.h>.
#ifndef STILLFRAME_AGENT_PROBE_ARCH_X86_64_HIT_LOCAL_OPS_H_
#define STILLFRAME_AGENT_PROBE_ARCH_X86_64_HIT_LOCAL_OPS_H_

#include <atomic>
#include <cstdint>

inline __attribute__((always_inline)) void stillframe_increment(std::atomic<uint64_t>* word) {
  asm volatile("incq %0" : "+m"(*word) : : "cc");
}

// Stores `desired` if the word is `expected`; else `expected` becomes what it is, and false.
inline __attribute__((always_inline)) bool stillframe_local_exchange(std::atomic<uint64_t>* word,
                                                                     uint64_t& expected,
                                                                     uint64_t desired) {
  bool done = false;
  asm volatile("cmpxchgq %3, %1"
               : "=@ccz"(done), "+m"(*word), "+a"(expected)
               : "r"(desired)
               : "memory");
  return done;
}

#endif  // STILLFRAME_AGENT_PROBE_ARCH_X86_64_HIT_LOCAL_OPS_H_
