// The spans that a thread has begun and not ended. Hit-path contract as in hit.h; only the thread
// itself touches them, and no hit interrupts another.
#ifndef STILLFRAME_AGENT_HIT_SPANS_H_
#define STILLFRAME_AGENT_HIT_SPANS_H_

#include <cstdint>

namespace stillframe::hit {

struct ThreadState;

inline constexpr uint32_t kMaxOpenSpans = 16;

struct OpenSpan {
  uint64_t ticks;
  uint64_t frame;  // canonical frame address of the function that began it
  uint32_t span;   // of which tracepoint
  uint32_t pad;
};

void BeginSpan(ThreadState& thread, uint32_t span, uint64_t frame, uint64_t ticks);
// The latest that the frame began (any frame, if so wanted). False when there is none.
bool EndSpan(ThreadState& thread, uint32_t span, uint64_t frame, bool any_frame,
             uint64_t& begin_ticks);

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_SPANS_H_
