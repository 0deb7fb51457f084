// A record's trace context as outsiders see it.
#ifndef STILLFRAME_AGENT_DECODE_TRACE_TEXT_H_
#define STILLFRAME_AGENT_DECODE_TRACE_TEXT_H_

#include <string>

#include "base/hex.h"
#include "model/snapshot.h"
#include "plan/record.h"

namespace stillframe::decode {

// Empty ids when there is no trace.
inline model::TraceContext TraceText(const TraceContextRecord& trace) {
  model::TraceContext out;
  if (trace.valid == 0) return out;
  out.trace_id = ToHex(trace.trace_id);
  out.span_id = ToHex(trace.span_id);
  out.sampled = (trace.flags & 1) != 0;
  return out;
}

}  // namespace stillframe::decode

#endif  // STILLFRAME_AGENT_DECODE_TRACE_TEXT_H_
