// SPAN tracepoints: a start remembered in its thread, and the end that belongs to it. Hit-path
// contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/; bounded loops;
// general registers only.
#include "agent/hit/spans.h"

#include "agent/hit/thread_state.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

// Frames that far below the one that ends are frames of its callees, on the same stack.
constexpr uint64_t kLargestStackBytes = uint64_t{256} << 20;

void Remove(ThreadState& thread, uint32_t index) {
  --thread.span_count;
  for (uint32_t i = index; i < thread.span_count; ++i) thread.spans[i] = thread.spans[i + 1];
}

}  // namespace

void BeginSpan(ThreadState& thread, uint32_t span, uint64_t frame, uint64_t ticks) {
  for (uint32_t i = thread.span_count; i-- != 0;) {
    OpenSpan& open = thread.spans[i];
    if (open.span == span && open.frame == frame) {  // begun anew before it ended
      open.ticks = ticks;
      return;
    }
  }
  // The oldest is the likeliest never to end: left by an exception, or by another stack.
  if (thread.span_count == kMaxOpenSpans) Remove(thread, 0);
  thread.spans[thread.span_count++] = {ticks, frame, span, 0};
}

bool EndSpan(ThreadState& thread, uint32_t span, uint64_t frame, bool any_frame,
             uint64_t& begin_ticks) {
  for (uint32_t i = thread.span_count; i-- != 0;) {
    const OpenSpan& open = thread.spans[i];
    if (open.span != span || (!any_frame && open.frame != frame)) continue;
    begin_ticks = open.ticks;
    const uint64_t ended = open.frame;
    Remove(thread, i);
    // What calls inside left open was left by an exception.
    for (uint32_t j = thread.span_count; j-- != i;) {
      const uint64_t other = thread.spans[j].frame;
      if (other < ended && ended - other < kLargestStackBytes) Remove(thread, j);
    }
    return true;
  }
  return false;
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
