// A record's trace context as outsiders see it.
#ifndef STILLFRAME_AGENT_DECODE_TRACE_TEXT_H_
#define STILLFRAME_AGENT_DECODE_TRACE_TEXT_H_

#include <string>

#include "model/snapshot.h"
#include "plan/record.h"

namespace stillframe::decode {

inline std::string HexText(const uint8_t* bytes, size_t size) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

// Empty ids when there is no trace.
inline model::TraceContext TraceText(const TraceContextRecord& trace) {
  model::TraceContext out;
  if (trace.valid == 0) return out;
  out.trace_id = HexText(trace.trace_id, sizeof trace.trace_id);
  out.span_id = HexText(trace.span_id, sizeof trace.span_id);
  out.sampled = (trace.flags & 1) != 0;
  return out;
}

}  // namespace stillframe::decode

#endif  // STILLFRAME_AGENT_DECODE_TRACE_TEXT_H_
