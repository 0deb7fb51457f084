#include <ctime>
#include <nlohmann/json.hpp>

#include "model/agent_info.h"
#include "model/snapshot.h"
#include "model/tracepoint.h"

namespace stillframe::model {
namespace {

using Json = nlohmann::ordered_json;

std::string Hex(uint64_t value) {
  char text[20];
  snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

// Target data may hold any bytes; JSON holds UTF-8 only.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json LocationJson(const Location& location) {
  Json json = Json::object();
  if (!location.file.empty()) {
    json["file"] = location.file;
    json["line"] = location.line;
  }
  if (!location.function.empty()) json["function"] = location.function;
  if (location.at_return) json["at"] = "return";
  if (!location.fatal.empty()) json["fatal"] = location.fatal;
  if (!location.exception.empty()) json["exception"] = location.exception;
  if (location.address) json["address"] = Hex(*location.address);
  if (!location.module.empty()) json["module"] = location.module;
  return json;
}

void AddSpec(Json& json, const TracepointSpec& spec) {
  json["kind"] = KindName(spec.kind);
  json["location"] = LocationJson(spec.location);
  const Json end = LocationJson(spec.end_location);
  if (!end.empty()) json["endLocation"] = end;
  json["condition"] = spec.condition;
  json["expressions"] = spec.expressions;
  json["logMessage"] = spec.log_message;
  json["selector"] = {
      {"version", spec.selector.version},    {"environment", spec.selector.environment},
      {"instance", spec.selector.instance},  {"traceId", spec.selector.trace_id},
      {"session", spec.selector.session},    {"threadName", spec.selector.thread_name},
      {"labels", Json(spec.selector.labels)}};
  json["limits"] = {{"maxHits", spec.limits.max_hits},
                    {"perSecond", spec.limits.per_second},
                    {"expiresIn", FormatDuration(spec.limits.expires_in_ms)},
                    {"perTrace", spec.limits.per_trace}};
  json["capture"] = {{"frames", spec.capture.frames},
                     {"localFrames", spec.capture.local_frames},
                     {"depth", spec.capture.depth},
                     {"items", spec.capture.items},
                     {"stringBytes", spec.capture.string_bytes},
                     {"bytes", spec.capture.bytes}};
  json["allowTrap"] = spec.allow_trap;
  json["dryRun"] = spec.dry_run;
  json["canary"] = FormatDuration(spec.canary_ms);
}

Json CanaryJson(const CanaryStatus& canary) {
  Json json = {{"state", canary.state}, {"instance", canary.instance}};
  if (!canary.until.empty()) json["until"] = canary.until;
  return json;
}

Json CountersJson(const Counters& counters) {
  Json json = {{"hits", counters.hits},
               {"conditionFalse", counters.condition_false},
               {"conditionError", counters.condition_error},
               {"rateLimited", counters.rate_limited},
               {"budgetStopped", counters.budget_stopped},
               {"reentrant", counters.reentrant},
               {"ringFull", counters.ring_full},
               {"unsafeContext", counters.unsafe_context},
               {"captured", counters.captured},
               {"acked", counters.acked},
               {"inFlight", counters.in_flight}};
  json["dropped"] = Json::object();
  for (const auto& [reason, count] : counters.dropped) json["dropped"][reason] = count;
  return json;
}

// Counts by index: "positive": {"12": 3}.
Json BucketsJson(const std::map<int32_t, uint64_t>& buckets) {
  Json json = Json::object();
  for (const auto& [index, count] : buckets) json[std::to_string(index)] = count;
  return json;
}

Json DistributionJson(const Distribution& distribution) {
  return {{"count", distribution.count},
          {"sum", distribution.sum},
          {"min", distribution.min},
          {"max", distribution.max},
          {"scale", distribution.scale},
          {"zeroCount", distribution.zero_count},
          {"positive", BucketsJson(distribution.positive)},
          {"negative", BucketsJson(distribution.negative)}};
}

Json AgentJson(const AgentStatus& status) {
  Json json = {{"instance", status.instance},
               {"state", StateName(status.state)},
               {"reason", status.reason},
               {"message", status.message}};
  json["sites"] = Json::array();
  for (const SiteStatus& site : status.sites) {
    Json entry = {{"module", site.module},
                  {"buildId", site.build_id},
                  {"function", site.function},
                  {"address", Hex(site.address)},
                  {"method", site.method}};
    if (!site.reason.empty()) entry["reason"] = site.reason;
    json["sites"].push_back(std::move(entry));
  }
  json["counters"] = CountersJson(status.counters);
  json["hitNanos"] = {{"p50", status.hit_nanos_p50}, {"p99", status.hit_nanos_p99}};
  if (status.distribution) json["distribution"] = DistributionJson(*status.distribution);
  if (status.projection) {
    json["projection"] = {{"hitsPerSecond", status.projection->hits_per_second},
                          {"capturesPerSecond", status.projection->captures_per_second},
                          {"cpuPercent", status.projection->cpu_percent}};
  }
  if (!status.throws.empty()) {
    Json& throws = json["throws"] = Json::array();
    for (const ThrowCount& kind : status.throws) {
      throws.push_back({{"fingerprint", kind.fingerprint}, {"count", kind.count}});
    }
  }
  if (status.lease) {
    json["lease"] = {{"granted", status.lease->granted}, {"used", status.lease->used}};
  }
  json["revision"] = status.revision;
  return json;
}

// Expressions carry their text under "text", variables their name under "name".
Json ValueJson(const Value& value, const char* name_key) {
  Json json;
  json[name_key] = value.name;
  json["type"] = value.type;
  if (value.has_value) json["value"] = value.value;
  json["status"] = ValueStatusName(value.status);
  if (!value.reason.empty()) json["reason"] = value.reason;
  if (!value.children.empty()) {
    Json& children = json["children"] = Json::array();
    for (const Value& child : value.children) children.push_back(ValueJson(child, "name"));
  }
  return json;
}

Json FrameJson(const Frame& frame) {
  Json json = {{"function", frame.function}, {"file", frame.file},        {"line", frame.line},
               {"module", frame.module},     {"buildId", frame.build_id}, {"pc", Hex(frame.pc)},
               {"inlined", frame.inlined}};
  json["variables"] = Json::array();
  for (const Value& variable : frame.variables) {
    json["variables"].push_back(ValueJson(variable, "name"));
  }
  if (!frame.variables_reason.empty()) json["variablesReason"] = frame.variables_reason;
  return json;
}

}  // namespace

std::string_view ValueStatusName(ValueStatus status) {
  constexpr std::string_view kNames[] = {"EXACT",    "RECOVERED",  "TRUNCATED",
                                         "REDACTED", "UNREADABLE", "UNAVAILABLE"};
  return kNames[static_cast<size_t>(status)];
}

std::string FormatTime(int64_t unix_nanos) {
  int64_t seconds = unix_nanos / 1'000'000'000;
  int64_t nanos = unix_nanos % 1'000'000'000;
  if (nanos < 0) {
    nanos += 1'000'000'000;
    --seconds;
  }
  const time_t time = seconds;
  tm parts{};
  gmtime_r(&time, &parts);
  char text[64];
  snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%09lldZ", parts.tm_year + 1900,
           parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
           static_cast<long long>(nanos));
  return text;
}

std::string SnapshotToJson(const Snapshot& snapshot) {
  Json json = {{"id", snapshot.id},
               {"kind", KindName(snapshot.kind)},
               {"tracepointId", snapshot.tracepoint_id},
               {"service", snapshot.service},
               {"instance", snapshot.instance},
               {"time", FormatTime(snapshot.time_unix_nanos)}};
  if (snapshot.kind == Kind::kLog) json["message"] = snapshot.message;
  if (snapshot.kind == Kind::kSpan) json["durationNanos"] = snapshot.duration_nanos;
  if (!snapshot.fingerprint.empty()) json["fingerprint"] = snapshot.fingerprint;
  json["thread"] = {{"id", snapshot.thread_id}, {"name", snapshot.thread_name}};
  if (!snapshot.trace.trace_id.empty()) {
    json["trace"] = {{"traceId", snapshot.trace.trace_id},
                     {"spanId", snapshot.trace.span_id},
                     {"sampled", snapshot.trace.sampled}};
  }
  json["frames"] = Json::array();
  for (const Frame& frame : snapshot.frames) json["frames"].push_back(FrameJson(frame));
  json["expressions"] = Json::array();
  for (const Value& value : snapshot.expressions) {
    json["expressions"].push_back(ValueJson(value, "text"));
  }
  json["captureNanos"] = snapshot.capture_nanos;
  if (snapshot.truncated) json["truncated"] = true;
  return Dump(json);
}

std::string SpecToJson(const TracepointSpec& spec) {
  Json json;
  AddSpec(json, spec);
  return Dump(json);
}

std::string TracepointToJson(const Tracepoint& tracepoint, const std::vector<AgentStatus>& agents) {
  Json json = {{"id", tracepoint.id},
               {"service", tracepoint.service},
               {"revision", tracepoint.revision},
               {"createdAt", tracepoint.created_at},
               {"expiresAt", tracepoint.expires_at},
               {"createdBy", tracepoint.created_by}};
  AddSpec(json, tracepoint.spec);
  if (tracepoint.canary) json["canaryStatus"] = CanaryJson(*tracepoint.canary);
  json["agents"] = Json::array();
  for (const AgentStatus& agent : agents) json["agents"].push_back(AgentJson(agent));
  return Dump(json);
}

std::string AgentStatusToJson(const AgentStatus& status) { return Dump(AgentJson(status)); }

std::string ErrorToJson(const FieldError& error) {
  Json inner = {{"code", error.code}, {"message", error.message}};
  if (!error.field.empty()) inner["field"] = error.field;
  return Dump(Json{{"error", inner}});
}

std::string ServiceToJson(const std::string& name, uint64_t agents, uint64_t tracepoints) {
  return Dump(Json{{"name", name}, {"agents", agents}, {"tracepoints", tracepoints}});
}

std::string AgentToJson(const AgentIdentity& identity, int64_t last_seen_unix_ms,
                        const std::string& stopped) {
  Json json = {{"instance", identity.instance}, {"service", identity.service},
               {"host", identity.host},         {"pid", identity.pid},
               {"version", identity.version},   {"environment", identity.environment},
               {"program", identity.program},   {"agentVersion", identity.agent_version}};
  json["labels"] = Json::object();
  for (const auto& [key, value] : identity.labels) json["labels"][key] = value;
  json["buildIds"] = Json::array();
  for (const auto& [module, build_id] : identity.modules) {
    json["buildIds"].push_back({{"module", module}, {"buildId", build_id}});
  }
  json["startTime"] = FormatTime(identity.start_unix_nanos);
  json["lastSeen"] = FormatTime(last_seen_unix_ms * 1'000'000);
  json["cost"] = {{"cpuSeconds", identity.cpu_seconds}, {"rssBytes", identity.rss_bytes}};
  if (!stopped.empty()) json["stopped"] = stopped;
  return Dump(json);
}

}  // namespace stillframe::model
