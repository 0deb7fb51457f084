// Whom a probe is for: requests by trace or session, threads by name. Hit-path contract as in
// hit.h.
#ifndef STILLFRAME_AGENT_HIT_SCOPE_H_
#define STILLFRAME_AGENT_HIT_SCOPE_H_

#include <cstdint>

namespace stillframe::hit {

inline constexpr uint32_t kMaxSessions = 2;
inline constexpr uint32_t kThreadNameBytes = 16;  // TASK_COMM_LEN, with its final 0

// A session's name as the hit path compares it: 128 bits of a hash, because thread-local storage is
// scarce. All zero: none.
struct SessionId {
  uint64_t word[2];
};
// The sessions that a thread works for.
struct SessionSet {
  SessionId id[kMaxSessions];
};

// All of what is wanted must hold.
struct Scope {
  bool by_trace = false, by_session = false;
  uint64_t trace_id[2] = {};
  SessionId session{};
  uint8_t name_bytes = 0;       // of thread_name; 0 = any thread
  bool name_is_prefix = false;  // it may go on
  char thread_name[kThreadNameBytes] = {};
};

// Of the calling thread, now. May ask the kernel for the thread's name, ten times a second at most.
bool InScope(const Scope& scope);

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_SCOPE_H_
