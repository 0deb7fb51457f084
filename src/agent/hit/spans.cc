// SPAN tracepoints: a start remembered in its thread, and the end that belongs to it. Hit-path
// contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/; bounded loops;
// general registers only.
#include "agent/hit/spans.h"

#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

// Frames that far below the one that ends are frames of its callees, on the same stack.
constexpr uint64_t kLargestStackBytes = uint64_t{256} << 20;

void Remove(OpenSpans& spans, uint32_t index) {
  --spans.count;
  for (uint32_t i = index; i < spans.count; ++i) spans.open[i] = spans.open[i + 1];
}

}  // namespace

void BeginSpan(OpenSpans& spans, uint32_t span, uint64_t frame, uint64_t ticks) {
  for (uint32_t i = spans.count; i-- != 0;) {
    OpenSpan& open = spans.open[i];
    if (open.span == span && open.frame == frame) {  // begun anew before it ended
      open.ticks = ticks;
      return;
    }
  }
  // The oldest is the likeliest never to end: left by an exception, or by another stack.
  if (spans.count == kMaxOpenSpans) Remove(spans, 0);
  spans.open[spans.count++] = {ticks, frame, span, 0};
}

bool EndSpan(OpenSpans& spans, uint32_t span, uint64_t frame, bool any_frame,
             uint64_t& begin_ticks) {
  for (uint32_t i = spans.count; i-- != 0;) {
    const OpenSpan& open = spans.open[i];
    if (open.span != span || (!any_frame && open.frame != frame)) continue;
    begin_ticks = open.ticks;
    const uint64_t ended = open.frame;
    Remove(spans, i);
    // What calls inside left open was left by an exception.
    for (uint32_t j = spans.count; j-- != i;) {
      const uint64_t other = spans.open[j].frame;
      if (other < ended && ended - other < kLargestStackBytes) Remove(spans, j);
    }
    return true;
  }
  return false;
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
