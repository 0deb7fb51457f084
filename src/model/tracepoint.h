// A tracepoint and its status as outsiders see them (CONTRACT, REST), and their JSON.
#ifndef STILLFRAME_MODEL_TRACEPOINT_H_
#define STILLFRAME_MODEL_TRACEPOINT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace stillframe::model {

enum class Kind : uint8_t { kSnapshot, kLog, kCounter, kDistribution, kSpan };
std::string_view KindName(Kind kind);  // "SNAPSHOT"
std::optional<Kind> KindFromName(std::string_view name);

struct Location {
  std::string file;  // file and line, function, exception, fatal or address: one form
  uint32_t line = 0;
  std::string function;
  // "terminate", "signal" (any fatal one) or the name of one: where the program ends by it.
  std::string fatal;
  bool at_return = false;  // of a function: where it is left; else where it begins
  std::string exception;
  std::optional<uint64_t> address;  // as in the ELF file of `module`
  std::string module;  // only there: a suffix of its path, or a build-id; "" = any (for an address
                       // the executable)

  bool empty() const {
    return file.empty() && function.empty() && exception.empty() && fatal.empty() && !address;
  }
};

// Where and for whom a tracepoint is active; "" and no labels = any.
struct Selector {
  std::string version, environment, instance;  // of the process
  std::map<std::string, std::string> labels;   // all of them
  std::string thread_name;                     // of the thread; a final '*' stands for any ending
  std::string trace_id, session;               // of the request that the thread works for
};

struct Limits {
  uint64_t max_hits = 1;
  double per_second = 1;
  uint64_t expires_in_ms = 3'600'000;
  uint32_t per_trace = 10;  // captures of one trace in one process; 0 = no limit
};

struct Capture {
  uint32_t frames = 32;
  uint32_t local_frames = 5;
  uint32_t depth = 3;
  uint32_t items = 100;
  uint32_t string_bytes = 255;
  uint32_t bytes = 65536;
};

// What may be set; kinds that this version's agent cannot do yet are refused by the agent with
// ERROR / UNSUPPORTED, not by the server.
struct TracepointSpec {
  Kind kind = Kind::kSnapshot;
  Location location;
  Location end_location;
  std::string condition;
  std::vector<std::string> expressions;
  std::string log_message;
  Selector selector;
  Limits limits;
  Capture capture;
  bool allow_trap = false;  // int3 where no jump fits: costs microseconds a hit
  bool dry_run = false;     // counts hits only, and says what the tracepoint would cost
  uint64_t canary_ms = 0;   // so long on one instance before it goes everywhere; 0 = at once
};

// A field's error: `field` is the JSON path, e.g. "location.line".
struct FieldError {
  std::string code;  // "INVALID_ARGUMENT", "UNKNOWN_FIELD", "MALFORMED_JSON", "OVER_LIMIT"
  std::string message;
  std::string field;
};

enum class State : uint8_t {
  kReceived,
  kArmed,
  kEmitting,
  kPending,
  kThrottled,
  kExpired,
  kCompleted,
  kBlocked,
  kError,
};
std::string_view StateName(State state);  // "ARMED"
std::optional<State> StateFromName(std::string_view name);

struct SiteStatus {
  std::string module, build_id, function;
  uint64_t address = 0;  // LinkAddress; JSON "0x12a4"
  std::string method;    // "EXACT_PUN"; "" when refused
  std::string reason;    // why this site is not armed; "" when it is
};

// Names in JSON: hits, conditionFalse, conditionError, rateLimited, budgetStopped, reentrant,
// ringFull, unsafeContext, captured, acked, inFlight, dropped.
struct Counters {
  uint64_t hits = 0, condition_false = 0, condition_error = 0, rate_limited = 0, budget_stopped = 0,
           reentrant = 0, ring_full = 0, unsafe_context = 0, captured = 0;
  uint64_t acked = 0, in_flight = 0;
  std::map<std::string, uint64_t> dropped;  // by reason, e.g. "spoolFull", "shutdownDeadline"
};

// Of a DISTRIBUTION: an exponential histogram as in OpenTelemetry's data model. Bucket i counts
// magnitudes in (2^(i / 2^scale), 2^((i + 1) / 2^scale)].
struct Distribution {
  uint64_t count = 0, zero_count = 0;
  double sum = 0, min = 0, max = 0;
  int32_t scale = 0;
  std::map<int32_t, uint64_t> positive, negative;  // by index; only what is not empty
};

// Of a dry run: what the tracepoint would do if it were none.
struct Projection {
  double hits_per_second = 0, captures_per_second = 0;
  double cpu_percent = 0;  // of one core
};

// Throws of one kind in one process: what was thrown from where.
struct ThrowCount {
  std::string fingerprint;  // 16 hexadecimal digits, as in its snapshot
  uint64_t count = 0;
};

// An agent's part of the fleet's maxHits.
struct LeaseReport {
  uint64_t granted = 0, used = 0;
  bool wanted = false;   // hits were declined for want of more
  uint64_t version = 0;  // of the lease that this speaks of
};

struct AgentStatus {  // of one tracepoint in one process
  std::string instance;
  State state = State::kReceived;
  std::string reason;   // stable code, "" when none
  std::string message;  // for a person
  std::vector<SiteStatus> sites;
  Counters counters;
  uint32_t hit_nanos_p50 = 0, hit_nanos_p99 = 0;
  std::optional<Distribution> distribution;
  std::optional<Projection> projection;
  std::optional<LeaseReport> lease;
  std::vector<ThrowCount> throws;  // of a tracepoint on an exception
  uint64_t revision = 0;           // of the tracepoint that this speaks of
};

// How far a canary is.
struct CanaryStatus {
  std::string state;     // "WAITING" for an instance, "RUNNING", "DONE", "FAILED"
  std::string instance;  // on which it runs or ran
  std::string until;     // RFC 3339, while it runs
};

// One tracepoint as stored: what agents get and REST shows.
struct Tracepoint {
  std::string id;
  std::string service;
  uint64_t revision = 1;               // counts its own changes
  std::string created_at, expires_at;  // RFC 3339
  std::string created_by;              // key id
  TracepointSpec spec;
  std::optional<CanaryStatus> canary;  // when spec.canary_ms is not 0
};

// Parses a POST body (or one element of a tracepoints file). Unknown fields, wrong types, values
// out of range and a missing location are errors that name the field. `id` receives the optional
// "id" when not null (file mode), else "id" is an unknown field.
std::optional<FieldError> ParseTracepointSpec(std::string_view json, TracepointSpec& out,
                                              std::string* id);
// Applies a PATCH body: only the fields present change.
std::optional<FieldError> PatchTracepointSpec(std::string_view json, TracepointSpec& spec);
struct NamedSpec {
  std::string id;
  TracepointSpec spec;
};
// {"tracepoints": […], "stopped": true} of STILLFRAME_TRACEPOINTS. Ids that are absent become
// "file:line" based; "stopped" is the kill switch and may be left out.
struct TracepointsFile {
  std::vector<NamedSpec> tracepoints;
  bool stopped = false;
};
std::optional<FieldError> ParseTracepointsFile(std::string_view json, TracepointsFile& out);

// {"error":{"code","message","field"}}, as REST answers.
std::string ErrorToJson(const FieldError& error);
// One entry of GET /v1/services.
std::string ServiceToJson(const std::string& name, uint64_t agents, uint64_t tracepoints);

// JSON text (one line) of the tracepoint with an "agents" list.
std::string TracepointToJson(const Tracepoint& tracepoint, const std::vector<AgentStatus>& agents);
std::string AgentStatusToJson(const AgentStatus& status);
// The spec alone, every field, in the REST form (parsable by ParseTracepointSpec).
std::string SpecToJson(const TracepointSpec& spec);

// "30s", "1.5s", "3600s" <-> milliseconds.
std::optional<uint64_t> ParseDurationMs(std::string_view text);
std::string FormatDuration(uint64_t ms);

}  // namespace stillframe::model

#endif  // STILLFRAME_MODEL_TRACEPOINT_H_
