// The spans that a thread has begun and not ended. Hit-path contract as in hit.h; only the thread
// itself touches them, and no hit interrupts another.
#ifndef STILLFRAME_AGENT_HIT_SPANS_H_
#define STILLFRAME_AGENT_HIT_SPANS_H_

#include <cstdint>

namespace stillframe::hit {

inline constexpr uint32_t kMaxOpenSpans = 8;

struct OpenSpan {
  uint64_t ticks;
  uint64_t frame;  // canonical frame address of the function that began it
  uint32_t span;   // of which tracepoint
  uint32_t pad;
};

// In the thread's slot: thread-local storage is scarce.
struct OpenSpans {
  uint32_t count;
  OpenSpan open[kMaxOpenSpans];
};

void BeginSpan(OpenSpans& spans, uint32_t span, uint64_t frame, uint64_t ticks);
// The latest that the frame began (any frame, if so wanted). False when there is none.
bool EndSpan(OpenSpans& spans, uint32_t span, uint64_t frame, bool any_frame,
             uint64_t& begin_ticks);

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_SPANS_H_
