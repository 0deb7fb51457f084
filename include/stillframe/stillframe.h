// Stillframe's API for programs that link the agent. None of it is needed: the library reads its
// environment by itself (see the README). C and C++.
//
// Every function here is a weak reference: a program that includes this header and is run without
// the agent works the same, and the calls do nothing. None throws. Not for signal handlers.
#ifndef STILLFRAME_STILLFRAME_H_
#define STILLFRAME_STILLFRAME_H_

#include <stddef.h>
#include <stdint.h>

#ifdef STILLFRAME_BUILDING_AGENT
#define STILLFRAME_API __attribute__((visibility("default")))
#else
#define STILLFRAME_API __attribute__((visibility("default"), weak))
#endif

#ifdef __cplusplus
extern "C" {
#endif

// A W3C trace context. All zero = none.
typedef struct stillframe_trace {
  uint8_t trace_id[16];
  uint8_t span_id[8];
  uint8_t valid;  // 1 when the ids are set
  uint8_t flags;  // trace flags, bit 0 = sampled
  uint8_t reserved[6];
} stillframe_trace;

// Version of the loaded agent, "0.1.0"; static storage.
STILLFRAME_API const char* stillframe_version(void);

// Starts the agent with the environment's settings, overridden by the arguments that are not NULL.
// 0 = running (or already was), -1 = refused (one line on standard error says why); also after
// stillframe_stop and in a forked child. Any thread.
STILLFRAME_API int stillframe_start(const char* server, const char* service, const char* api_key);
// Takes all probes out (the text is restored), sends what is left within the exit deadline of
// 500 ms and ends the agent's thread. Any thread.
STILLFRAME_API void stillframe_stop(void);
// Waits until everything captured so far is acknowledged or written, at most timeout_ms.
// 1 = done, 0 = not within the time. For code about to freeze (AWS Lambda). Any thread.
STILLFRAME_API int stillframe_flush(uint32_t timeout_ms);

// Parses a `traceparent` header into *out. 1 = valid; 0 = malformed, *out is then all zero.
STILLFRAME_API int stillframe_trace_parse(const char* traceparent, size_t size_bytes,
                                          stillframe_trace* out);
// Sets or reads the calling thread's context, which snapshots of this thread carry. A few
// nanoseconds; no allocation.
STILLFRAME_API void stillframe_trace_set(const stillframe_trace* context);
STILLFRAME_API void stillframe_trace_get(stillframe_trace* out);

// The debugging sessions that a request belongs to. All zero = none; else the agent's own form.
typedef struct stillframe_sessions {
  uint64_t words[4];
} stillframe_sessions;

// Finds the members `stillframe=SESSION` of a W3C `baggage` header, two at most. Returns how many;
// *out is all zero when there are none. Several headers of a request are joined by commas first.
STILLFRAME_API int stillframe_baggage_parse(const char* baggage, size_t size_bytes,
                                            stillframe_sessions* out);
// Sets or reads the calling thread's sessions: tracepoints with a session are active only where
// theirs is among them. A few nanoseconds; no allocation. NULL sets none.
STILLFRAME_API void stillframe_sessions_set(const stillframe_sessions* sessions);
STILLFRAME_API void stillframe_sessions_get(stillframe_sessions* out);

#ifdef __cplusplus
}  // extern "C"
#endif

#if defined(__cplusplus) && !defined(STILLFRAME_BUILDING_AGENT)
namespace stillframe {

// Starts the agent; see stillframe_start. True = running.
inline bool Start(const char* server = nullptr, const char* service = nullptr,
                  const char* api_key = nullptr) {
  return stillframe_start != nullptr && stillframe_start(server, service, api_key) == 0;
}
inline void Stop() {
  if (stillframe_stop != nullptr) stillframe_stop();
}
inline bool Flush(uint32_t timeout_ms) {
  return stillframe_flush == nullptr || stillframe_flush(timeout_ms) == 1;
}

}  // namespace stillframe
#endif

#endif  // STILLFRAME_STILLFRAME_H_
