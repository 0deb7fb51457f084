// What formatters do to a value.
#ifndef STILLFRAME_AGENT_DECODE_VALUE_TEXT_H_
#define STILLFRAME_AGENT_DECODE_VALUE_TEXT_H_

#include <string>
#include <utility>

#include "base/status.h"
#include "model/snapshot.h"

namespace stillframe::decode {

inline void Set(model::Value& value, std::string text) {
  value.value = std::move(text);
  value.has_value = true;
}

// Some of it is not shown, for the limits. A status that says more stays.
inline void Truncate(model::Value& value) {
  if (value.status != model::ValueStatus::kExact) return;
  value.status = model::ValueStatus::kTruncated;
  value.reason = CodeName(Code::kLimit);
}

}  // namespace stillframe::decode

#endif  // STILLFRAME_AGENT_DECODE_VALUE_TEXT_H_
