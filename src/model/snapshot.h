// A snapshot or log message as outsiders see it (CONTRACT, REST) and its JSON.
#ifndef STILLFRAME_MODEL_SNAPSHOT_H_
#define STILLFRAME_MODEL_SNAPSHOT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/tracepoint.h"

namespace stillframe::model {

enum class ValueStatus : uint8_t {
  kExact,
  kRecovered,
  kTruncated,
  kRedacted,
  kUnreadable,
  kUnavailable,
};
std::string_view ValueStatusName(ValueStatus status);  // "EXACT"

struct Value {
  std::string name;
  std::string type;
  std::string value;  // "" when there is none (structs, unavailable)
  bool has_value = false;
  ValueStatus status = ValueStatus::kExact;
  std::string reason;  // code, or how it was recovered; "" for EXACT
  std::vector<Value> children;
};

struct Frame {
  std::string function, file;
  uint32_t line = 0;
  std::string module, build_id;
  uint64_t pc = 0;  // LinkAddress; JSON "0x12a4"
  bool inlined = false;
  std::vector<Value> variables;
  // Why there are no variables although there could be (NO_DEBUG_INFO, LIMIT); "" otherwise.
  std::string variables_reason;
};

struct TraceContext {
  std::string trace_id, span_id;  // lower-case hex; "" = no trace
  bool sampled = false;
};

struct Snapshot {
  Kind kind = Kind::kSnapshot;  // or kLog, kSpan
  std::string id, tracepoint_id, service, instance;
  int64_t time_unix_nanos = 0;
  uint32_t thread_id = 0;
  std::string thread_name;
  TraceContext trace;
  std::vector<Frame> frames;       // of a LOG: the site's only, without variables
  std::vector<Value> expressions;  // Value::name is "text" in JSON
  std::string message;             // of a LOG (FormatLog)
  std::string fingerprint;         // of a throw; "" else
  uint64_t duration_nanos = 0;     // of a SPAN; its time is its beginning
  uint32_t capture_nanos = 0;
  bool truncated = false;  // the byte limit was reached
  uint64_t sequence = 0;   // of the agent's epoch
};

// One line of JSON, in CONTRACT's field order. Bytes that are not UTF-8 become U+FFFD.
std::string SnapshotToJson(const Snapshot& snapshot);
// RFC 3339 with nanoseconds, UTC.
std::string FormatTime(int64_t unix_nanos);

}  // namespace stillframe::model

#endif  // STILLFRAME_MODEL_SNAPSHOT_H_
