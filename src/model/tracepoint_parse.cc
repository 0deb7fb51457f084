#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "model/json_reader.h"
#include "model/log_template.h"
#include "model/tracepoint.h"

namespace stillframe::model {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxPathBytes = 4096;
constexpr size_t kMaxExpressionBytes = 2048;  // Google Cloud Debugger's limit
constexpr uint32_t kMaxLine = 10'000'000;
constexpr uint64_t kMaxLifetimeMs = 24ull * 3600 * 1000;
constexpr uint64_t kMaxCanaryMs = 3600 * 1000;

// "0x12a4", as snapshots and statuses show addresses.
bool ReadAddress(ObjectReader& reader, std::optional<uint64_t>& out) {
  std::string text;
  if (!reader.String("address", text, 32)) return false;
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const bool prefixed = text.starts_with("0x") && text.size() > 2;
  const auto [rest, code] = std::from_chars(text.data() + (prefixed ? 2 : 0), end, value, 16);
  if (!prefixed || code != std::errc() || rest != end || value == 0) {
    reader.Fail("INVALID_ARGUMENT", "address", "must be hexadecimal, such as \"0x12a4\"");
  }
  out = value;
  return true;
}

bool IsFatal(std::string_view name) {
  return name == "terminate" || name == "signal" || name == "SIGSEGV" || name == "SIGBUS" ||
         name == "SIGFPE" || name == "SIGILL" || name == "SIGABRT";
}

void ReadLocation(ObjectReader& parent, const char* name, Location& out,
                  std::optional<FieldError>& error) {
  const Json* json = parent.Child(name);
  if (json == nullptr) return;
  Location location;
  ObjectReader reader(*json, parent.PathOf(name), error);
  const bool has_file = reader.String("file", location.file, kMaxPathBytes);
  const bool has_line = reader.Integer32("line", location.line, 1, kMaxLine);
  const bool has_function = reader.String("function", location.function, kMaxPathBytes);
  std::string at;
  const bool has_at = reader.String("at", at, 16);
  if (has_at && at != "entry" && at != "return") {
    reader.Fail("INVALID_ARGUMENT", "at", "must be \"entry\" or \"return\"");
  } else if (has_at && !has_function) {
    reader.Fail("INVALID_ARGUMENT", "at", "belongs to a function");
  }
  location.at_return = at == "return";
  const bool has_exception = reader.String("exception", location.exception, kMaxPathBytes);
  const bool has_fatal = reader.String("fatal", location.fatal, 32);
  if (has_fatal && !IsFatal(location.fatal)) {
    reader.Fail("INVALID_ARGUMENT", "fatal",
                "must be terminate, signal, SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGABRT");
  }
  const bool has_address = ReadAddress(reader, location.address);
  reader.String("module", location.module, kMaxPathBytes);
  reader.Finish();
  if (error) return;
  if (has_file + has_function + has_exception + has_fatal + has_address > 1 ||
      (has_line && !has_file)) {
    error = FieldError{"INVALID_ARGUMENT",
                       parent.PathOf(name) +
                           " must be either a file and line, or a function, or "
                           "an exception, or an address, or a fatal end",
                       parent.PathOf(name)};
  } else if (has_file && location.file.empty()) {
    reader.Fail("INVALID_ARGUMENT", "file", "must not be empty");
  } else if (has_file && !has_line) {
    reader.Fail("INVALID_ARGUMENT", "line", "is missing");
  } else if (location.empty()) {
    reader.Fail("INVALID_ARGUMENT", "file", "is missing");
  } else {
    out = location;
  }
}

bool IsTraceId(std::string_view text) {
  return text.empty() || (text.size() == 32 &&
                          text.find_first_not_of("0123456789abcdef") == std::string_view::npos);
}

bool IsSession(std::string_view text) {
  return text.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
         std::string_view::npos;
}

// Replaced whole, so that a PATCH can take one away.
void ReadLabels(ObjectReader& selector, std::map<std::string, std::string>& out,
                std::optional<FieldError>& error) {
  constexpr size_t kMaxLabels = 32;
  const Json* json = selector.Child("labels");
  if (json == nullptr || error) return;
  std::map<std::string, std::string> labels;
  bool good = json->is_object() && json->size() <= kMaxLabels;
  for (auto it = json->begin(); good && it != json->end(); ++it) {
    good = it->is_string() && !it.key().empty() && it.key().size() <= 256 &&
           it->get_ref<const std::string&>().size() <= 256;
    if (good) labels[it.key()] = it->get<std::string>();
  }
  if (good) {
    out = std::move(labels);
  } else {
    selector.Fail("INVALID_ARGUMENT", "labels",
                  "must be an object of at most 32 names and texts, each of at most 256 bytes");
  }
}

void ReadSelector(ObjectReader& parent, Selector& out, std::optional<FieldError>& error) {
  const Json* json = parent.Child("selector");
  if (json == nullptr) return;
  ObjectReader reader(*json, "selector", error);
  reader.String("version", out.version, 256);
  reader.String("environment", out.environment, 256);
  reader.String("instance", out.instance, 256);
  ReadLabels(reader, out.labels, error);
  std::string thread_name = out.thread_name;
  if (reader.String("threadName", thread_name, 16)) {
    // Linux keeps 15 bytes of a name; a final '*' is ours.
    const size_t star = thread_name.find('*');
    const size_t bytes = std::min(star, thread_name.size());
    if (bytes > 15 || (star != std::string::npos && star + 1 != thread_name.size())) {
      reader.Fail("INVALID_ARGUMENT", "threadName",
                  "must be at most 15 bytes, with '*' only at the end");
    } else {
      out.thread_name = thread_name;
    }
  }
  std::string session = out.session;
  if (reader.String("session", session, 64)) {
    if (IsSession(session)) {
      out.session = session;
    } else {
      reader.Fail("INVALID_ARGUMENT", "session", "must be letters, digits, '.', '_' and '-'");
    }
  }
  std::string trace_id = out.trace_id;
  if (reader.String("traceId", trace_id, 64)) {
    if (IsTraceId(trace_id)) {
      out.trace_id = trace_id;
    } else {
      reader.Fail("INVALID_ARGUMENT", "traceId", "must be 32 lower-case hexadecimal digits");
    }
  }
  reader.Finish();
}

// Snapshots end after `maxHits`; what is cheap and counts or streams goes on until it expires, so
// there 0 means no limit.
void ReadLimits(ObjectReader& parent, Kind kind, Limits& out, std::optional<FieldError>& error) {
  const Json* json = parent.Child("limits");
  if (json == nullptr) return;
  ObjectReader reader(*json, "limits", error);
  const bool may_be_unlimited = kind != Kind::kSnapshot;
  reader.Integer("maxHits", out.max_hits, may_be_unlimited ? 0 : 1, 1'000'000'000);
  reader.Number("perSecond", out.per_second, may_be_unlimited ? 0 : 0.001, 10'000);
  reader.Duration("expiresIn", out.expires_in_ms, 1000, kMaxLifetimeMs);
  reader.Integer32("perTrace", out.per_trace, 0, 1'000);
  reader.Finish();
}

void ReadCapture(ObjectReader& parent, Capture& out, std::optional<FieldError>& error) {
  const Json* json = parent.Child("capture");
  if (json == nullptr) return;
  ObjectReader reader(*json, "capture", error);
  reader.Integer32("frames", out.frames, 1, 128);
  reader.Integer32("localFrames", out.local_frames, 0, 32);
  reader.Integer32("depth", out.depth, 0, 10);
  reader.Integer32("items", out.items, 0, 10'000);
  reader.Integer32("stringBytes", out.string_bytes, 0, 65'536);
  reader.Integer32("bytes", out.bytes, 1024, 65'536);
  reader.Finish();
}

// The template's own errors: what its expressions mean only an agent can say.
void CheckLogMessage(const TracepointSpec& spec, const std::string& prefix,
                     std::optional<FieldError>& error) {
  LogTemplate parsed;
  if (const auto bad = ParseLogTemplate(spec.log_message, parsed)) {
    error = FieldError{
        "INVALID_ARGUMENT",
        prefix + "logMessage, column " + std::to_string(bad->column) + ": " + bad->message,
        prefix + "logMessage"};
  }
}

void CheckKind(const TracepointSpec& spec, const std::string& prefix,
               std::optional<FieldError>& error) {
  if (error) return;
  const auto fail = [&](const char* name, const char* message) {
    const std::string field = prefix + name;
    error = FieldError{"INVALID_ARGUMENT", field + " " + message, field};
  };
  if (spec.kind == Kind::kLog && spec.log_message.empty()) {
    fail("logMessage", "is missing: a LOG tracepoint needs one");
  } else if (spec.kind == Kind::kLog) {
    CheckLogMessage(spec, prefix, error);
  } else if (spec.kind == Kind::kDistribution && spec.expressions.size() != 1) {
    fail("expressions", "must hold exactly one expression for a DISTRIBUTION");
  } else if (spec.kind == Kind::kSpan && spec.end_location.file.empty() &&
             spec.location.function.empty()) {
    fail("endLocation", "is missing: a SPAN needs it, or a function as location");
  } else if (spec.kind == Kind::kSpan && (spec.location.at_return || spec.end_location.at_return)) {
    fail("location", "of a SPAN has no \"at\": it is a function from its beginning to its end");
  }
}

void ReadSpec(ObjectReader& reader, TracepointSpec& spec, std::optional<FieldError>& error) {
  std::string kind;
  if (reader.String("kind", kind, 64)) {
    if (const auto known = KindFromName(kind)) {
      if (*known != spec.kind) {
        const Limits defaults;
        const bool is_snapshot = *known == Kind::kSnapshot;
        spec.limits.max_hits = is_snapshot ? defaults.max_hits : 0;
        spec.limits.per_second = is_snapshot ? defaults.per_second : 0;
        spec.limits.per_trace = is_snapshot ? defaults.per_trace : 0;
      }
      spec.kind = *known;
    } else {
      reader.Fail("INVALID_ARGUMENT", "kind",
                  "must be SNAPSHOT, LOG, COUNTER, DISTRIBUTION or SPAN");
    }
  }
  ReadLocation(reader, "location", spec.location, error);
  ReadLocation(reader, "endLocation", spec.end_location, error);
  reader.String("condition", spec.condition, kMaxExpressionBytes);
  reader.Strings("expressions", spec.expressions, 64, kMaxExpressionBytes);
  reader.String("logMessage", spec.log_message, kMaxLogTemplateBytes);
  ReadSelector(reader, spec.selector, error);
  ReadLimits(reader, spec.kind, spec.limits, error);
  ReadCapture(reader, spec.capture, error);
  reader.Bool("allowTrap", spec.allow_trap);
  reader.Bool("dryRun", spec.dry_run);
  reader.Duration("canary", spec.canary_ms, 0, kMaxCanaryMs);
}

void CheckLocation(const TracepointSpec& spec, const std::string& prefix,
                   std::optional<FieldError>& error) {
  if (error) return;
  if (spec.location.empty()) {
    error = FieldError{"INVALID_ARGUMENT", prefix + "location is missing", prefix + "location"};
  }
}

std::optional<FieldError> ParseOne(const Json& json, const std::string& path, TracepointSpec& out,
                                   std::string* id) {
  std::optional<FieldError> error;
  TracepointSpec spec;
  ObjectReader reader(json, path, error);
  if (id != nullptr) reader.String("id", *id, 128);
  ReadSpec(reader, spec, error);
  reader.Finish();
  const std::string prefix = path.empty() ? "" : path + ".";
  CheckLocation(spec, prefix, error);
  CheckKind(spec, prefix, error);
  if (!error) out = std::move(spec);
  return error;
}

}  // namespace

std::optional<FieldError> ParseTracepointSpec(std::string_view text, TracepointSpec& out,
                                              std::string* id) {
  Json json;
  if (auto error = ParseJson(text, json)) return error;
  return ParseOne(json, "", out, id);
}

std::optional<FieldError> PatchTracepointSpec(std::string_view text, TracepointSpec& spec) {
  Json json;
  if (auto error = ParseJson(text, json)) return error;
  std::optional<FieldError> error;
  TracepointSpec patched = spec;
  ObjectReader reader(json, "", error);
  ReadSpec(reader, patched, error);
  reader.Finish();
  CheckKind(patched, "", error);
  if (!error) spec = std::move(patched);
  return error;
}

std::optional<FieldError> ParseTracepointsFile(std::string_view text, TracepointsFile& out) {
  Json json;
  if (auto error = ParseJson(text, json)) return error;
  std::optional<FieldError> error;
  ObjectReader reader(json, "", error);
  const Json* list = reader.Child("tracepoints");
  bool stopped = false;
  reader.Bool("stopped", stopped);
  reader.Finish();
  if (error) return error;
  if (list == nullptr || !list->is_array() || list->size() > 10'000) {
    return FieldError{"INVALID_ARGUMENT", "tracepoints must be a list (of at most 10000)",
                      "tracepoints"};
  }
  std::vector<NamedSpec> specs;
  for (size_t i = 0; i < list->size(); ++i) {
    NamedSpec named;
    const std::string path = "tracepoints[" + std::to_string(i) + "]";
    if (auto bad = ParseOne((*list)[i], path, named.spec, &named.id)) return bad;
    if (named.id.empty()) {
      const Location& where = named.spec.location;
      named.id = where.file.empty() ? where.function + where.exception + where.fatal
                                    : where.file + ":" + std::to_string(where.line);
    }
    // Two tracepoints on one line are legitimate; their ids must differ all the same.
    const std::string base = named.id;
    for (int n = 2; std::any_of(specs.begin(), specs.end(),
                                [&](const NamedSpec& other) { return other.id == named.id; });
         ++n) {
      named.id = base + "#" + std::to_string(n);
    }
    specs.push_back(std::move(named));
  }
  out = {std::move(specs), stopped};
  return std::nullopt;
}

}  // namespace stillframe::model
