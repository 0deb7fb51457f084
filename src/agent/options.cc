#include "agent/options.h"

#include <sys/auxv.h>

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "agent/policy.h"
#include "base/process_maps.h"
#include "debuginfod/debug_cache.h"
#include "debuginfod/debug_fetcher.h"
#include "model/tracepoint.h"

namespace stillframe::agent {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

Status Bad(const char* name, std::string_view value, const char* expected) {
  return Status(Code::kInvalidArgument,
                std::string(name) + "='" + std::string(value) + "': expected " + expected);
}

std::string Get(const Environment& environment, const char* name) {
  const char* value = environment(name);
  return value == nullptr ? "" : value;
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t at = text.find(separator);
    if (at != 0) parts.push_back(text.substr(0, at));
    text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  }
  return parts;
}

// "k=v,k=v"
Result<Pairs> ReadPairs(const char* name, std::string_view text) {
  Pairs pairs;
  for (std::string_view part : Split(text, ',')) {
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos || equals == 0) return Bad(name, text, "k=v,k=v");
    pairs.emplace_back(part.substr(0, equals), part.substr(equals + 1));
  }
  return pairs;
}

// Below that, an ordinary delay would count.
constexpr uint64_t kMinSilenceMs = 2'000;

Status ReadLimits(std::string_view text, ProcessLimitOptions& limits) {
  constexpr const char* kName = "STILLFRAME_LIMITS";
  SF_ASSIGN_OR_RETURN(const Pairs pairs, ReadPairs(kName, text));
  for (const auto& [key, value] : pairs) {
    double number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size() || !(number >= 0) ||
        number > 1e9) {
      return Bad(kName, key + "=" + value, "a number that is not negative");
    }
    // Half a snapshot a second would become 0, which is no limit.
    if (key.ends_with("PerSecond") && number != std::floor(number)) {
      return Bad(kName, key + "=" + value, "a whole number");
    }
    if (key == "snapshotsPerSecond") {
      limits.snapshots_per_second = static_cast<uint32_t>(number);
    } else if (key == "logsPerSecond") {
      limits.logs_per_second = static_cast<uint32_t>(number);
    } else if (key == "cpuPercent") {
      limits.cpu_percent = number;
    } else if (key == "bytesPerSnapshot") {
      if (number < 1024 || number > 65536)
        return Bad(kName, key + "=" + value, "1024 to 65536 bytes");
      limits.bytes_per_snapshot = static_cast<uint32_t>(number);
    } else {
      return Bad(kName, key, "snapshotsPerSecond, logsPerSecond, cpuPercent or bytesPerSnapshot");
    }
  }
  return Status();
}

Status ReadLogLevel(const Environment& environment, LogLevel& level) {
  const std::string text = Get(environment, "STILLFRAME_LOG");
  if (text.empty() || text == "error") return Status();
  if (text == "off") {
    level = LogLevel::kOff;
  } else if (text == "info") {
    level = LogLevel::kInfo;
  } else if (text == "debug") {
    level = LogLevel::kDebug;
  } else {
    return Bad("STILLFRAME_LOG", text, "off, error, info or debug");
  }
  return Status();
}

Status CheckServer(const std::string& server) {
  constexpr const char* kExpected = "http://host:port or https://host:port";
  std::string_view rest = server;
  if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
  } else {
    return Bad("STILLFRAME_SERVER", server, kExpected);
  }
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const bool odd = rest.find_first_of("/?#@ \t\r\n\"'<>\\") != std::string_view::npos;
  if (rest.empty() || rest.front() == ':' || odd)
    return Bad("STILLFRAME_SERVER", server, kExpected);
  const size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos || rest.ends_with(']')) return Status();
  uint32_t port = 0;
  const auto [end, error] =
      std::from_chars(rest.data() + colon + 1, rest.data() + rest.size(), port);
  if (error != std::errc() || end != rest.data() + rest.size() || port == 0 || port > 65535) {
    return Bad("STILLFRAME_SERVER", server, kExpected);
  }
  return Status();
}

Status ReadKey(const Environment& environment, std::string& key) {
  key = Get(environment, "STILLFRAME_API_KEY");
  const std::string file = Get(environment, "STILLFRAME_API_KEY_FILE");
  if (key.empty() && !file.empty()) {
    auto text = ReadFile(file, 4096);
    if (!text.ok()) return text.status().WithContext("STILLFRAME_API_KEY_FILE");
    key = *text;
    while (!key.empty() && (key.back() == '\n' || key.back() == '\r')) key.pop_back();
  }
  if (key.find_first_of("\r\n\t \x7f") != std::string::npos) {
    return Status(Code::kInvalidArgument, "the API key contains spaces or control characters");
  }
  return Status();
}

// DEBUGINFOD_URLS is not read: distributions set it for every shell, and a service must not begin
// to talk to a server of theirs because somebody started it from one.
Status ReadDebuginfod(const Environment& environment, Options& options) {
  constexpr const char* kServers = "STILLFRAME_DEBUGINFOD_URLS";
  constexpr const char* kCache = "STILLFRAME_DEBUGINFOD_CACHE";
  auto servers = debuginfod::ReadServers(Get(environment, kServers));
  if (!servers.ok()) return servers.status().WithContext(kServers);
  options.debuginfod_urls = std::move(servers).value();
  const std::string cache = Get(environment, kCache);
  if (!cache.empty() && cache.front() != '/') return Bad(kCache, cache, "an absolute path");
  if (!options.debuginfod_urls.empty()) {
    options.debuginfod_cache = debuginfod::DefaultCacheFolder(
        [&environment](const char* name) { return environment(name); });
  }
  return Status();
}

void ReadIdentity(const Environment& environment, const std::string& program_name,
                  Options& options) {
  Pairs resource;
  if (auto pairs =
          ReadPairs("OTEL_RESOURCE_ATTRIBUTES", Get(environment, "OTEL_RESOURCE_ATTRIBUTES"));
      pairs.ok()) {
    resource = *pairs;  // somebody else's variable: a bad value is not our error to report
  }
  const auto from_resource = [&resource](std::string_view key) {
    for (const auto& [name, value] : resource) {
      if (name == key) return value;
    }
    return std::string();
  };
  const auto first = [](std::initializer_list<std::string> choices) {
    for (const std::string& choice : choices) {
      if (!choice.empty()) return choice;
    }
    return std::string();
  };
  options.service = first({Get(environment, "STILLFRAME_SERVICE"),
                           Get(environment, "OTEL_SERVICE_NAME"), from_resource("service.name"),
                           Get(environment, "AWS_LAMBDA_FUNCTION_NAME"), program_name});
  options.version = first({Get(environment, "STILLFRAME_VERSION"), from_resource("service.version"),
                           Get(environment, "AWS_LAMBDA_FUNCTION_VERSION")});
  options.environment =
      first({Get(environment, "STILLFRAME_ENVIRONMENT"), from_resource("deployment.environment"),
             from_resource("deployment.environment.name")});
  for (const auto& [variable, label] :
       {std::pair{"KUBERNETES_NAMESPACE", "k8s.namespace.name"},
        {"POD_NAME", "k8s.pod.name"},
        {"NODE_NAME", "k8s.node.name"},
        {"AWS_REGION", "cloud.region"},
        {"ECS_CONTAINER_METADATA_URI_V4", "aws.ecs.metadata_uri"}}) {
    const std::string value = Get(environment, variable);
    if (!value.empty()) options.labels.emplace_back(label, value);
  }
}

}  // namespace

bool EnabledByEnvironment() {
  // A setuid program must not take orders from its caller's environment.
  if (getauxval(AT_SECURE) != 0) return false;
  const char* disable = getenv("STILLFRAME_DISABLE");
  if (disable != nullptr && disable[0] != '\0' && !(disable[0] == '0' && disable[1] == '\0')) {
    return false;
  }
  const char* server = getenv("STILLFRAME_SERVER");
  const char* file = getenv("STILLFRAME_TRACEPOINTS");
  return (server != nullptr && *server != '\0') || (file != nullptr && *file != '\0');
}

Result<Options> ReadOptions(const Environment& environment, const std::string& program_name) {
  Options options;
  SF_RETURN_IF_ERROR(ReadLogLevel(environment, options.log_level));
  options.server = Get(environment, "STILLFRAME_SERVER");
  options.tracepoints_file = Get(environment, "STILLFRAME_TRACEPOINTS");
  options.output_file = Get(environment, "STILLFRAME_OUTPUT");
  options.enabled = !options.server.empty() || !options.tracepoints_file.empty();
  if (!options.server.empty()) SF_RETURN_IF_ERROR(CheckServer(options.server));
  if (!options.server.empty() && !options.tracepoints_file.empty()) {
    return Status(Code::kInvalidArgument,
                  "STILLFRAME_SERVER and STILLFRAME_TRACEPOINTS are both set: choose one");
  }
  if (options.tracepoints_file.empty() != options.output_file.empty()) {
    return Status(Code::kInvalidArgument,
                  "STILLFRAME_TRACEPOINTS and STILLFRAME_OUTPUT must be set together");
  }
  SF_RETURN_IF_ERROR(ReadKey(environment, options.api_key));
  SF_ASSIGN_OR_RETURN(options.labels,
                      ReadPairs("STILLFRAME_LABELS", Get(environment, "STILLFRAME_LABELS")));
  ReadIdentity(environment, program_name, options);
  // Split() looks into these.
  const std::string folders = Get(environment, "STILLFRAME_DEBUG_PATH");
  const std::string files = Get(environment, "STILLFRAME_FORMATTERS");
  for (std::string_view folder : Split(folders, ':')) options.debug_path.emplace_back(folder);
  for (std::string_view file : Split(files, ':')) options.formatter_files.emplace_back(file);
  SF_RETURN_IF_ERROR(ReadDebuginfod(environment, options));
  options.ring_folder = Get(environment, "STILLFRAME_RING_DIR");
  // The program may go to another folder before the first tracepoint.
  if (!options.ring_folder.empty() && options.ring_folder.front() != '/') {
    return Bad("STILLFRAME_RING_DIR", options.ring_folder, "an absolute path");
  }
  options.policy_file = Get(environment, "STILLFRAME_POLICY");
  if (options.enabled && !options.policy_file.empty()) {
    SF_RETURN_IF_ERROR(ReadPolicy(options.policy_file).status());
  }
  const std::string wait = Get(environment, "STILLFRAME_START_WAIT");
  if (!wait.empty()) {
    const auto ms = model::ParseDurationMs(wait);
    if (!ms || *ms > 600'000) {
      return Bad("STILLFRAME_START_WAIT", wait, "a duration such as 5s, at most 600s");
    }
    options.start_wait_ms = static_cast<uint32_t>(*ms);
  }
  const std::string silence = Get(environment, "STILLFRAME_MAX_SILENCE");
  if (!silence.empty()) {
    const auto ms = model::ParseDurationMs(silence);
    if (!ms || *ms > 86'400'000 || (*ms != 0 && *ms < kMinSilenceMs)) {
      return Bad("STILLFRAME_MAX_SILENCE", silence, "0s, or a duration from 2s to 86400s");
    }
    options.max_silence_ms = static_cast<uint32_t>(*ms);
  }
  SF_RETURN_IF_ERROR(ReadLimits(Get(environment, "STILLFRAME_LIMITS"), options.limits));
  return options;
}

}  // namespace stillframe::agent
