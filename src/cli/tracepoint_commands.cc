#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "cli/commands.h"

namespace stillframe::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string Text(const Json& json, const char* key) {
  if (!json.is_object() || !json.contains(key)) return "";
  const Json& value = json[key];
  return Safe(value.is_string() ? value.get<std::string>() : value.dump());
}

std::string Place(const Json& tracepoint) {
  const Json location = tracepoint.value("location", Json::object());
  const std::string file = Text(location, "file");
  if (!file.empty()) return file + ":" + Text(location, "line");
  const std::string module = Text(location, "module");
  return (module.empty() ? "" : module + ":") + Text(location, "address") +
         Text(location, "function") + Text(location, "exception") + Text(location, "fatal") +
         (Text(location, "at") == "return" ? " (return)" : "");
}

Ink StateInk(const std::string& state) {
  if (state == "ARMED" || state == "EMITTING" || state == "COMPLETED") return Ink::kGood;
  if (state == "ERROR" || state == "BLOCKED") return Ink::kError;
  return Ink::kWarn;
}

// "ARMED" when all agree, else "2 ARMED, 1 ERROR".
std::string States(const Json& agents) {
  std::vector<std::pair<std::string, int>> counts;
  for (const Json& agent : agents) {
    const std::string state = Text(agent, "state");
    auto found = std::find_if(counts.begin(), counts.end(),
                              [&](const auto& entry) { return entry.first == state; });
    if (found == counts.end()) found = counts.insert(counts.end(), {state, 0});
    ++found->second;
  }
  if (counts.empty()) return "no agent";
  std::string text;
  for (const auto& [state, count] : counts) {
    text += (text.empty() ? "" : ", ") +
            (counts.size() == 1 && count == 1 ? "" : std::to_string(count) + " ") + state;
  }
  return text;
}

// One counter over all processes.
std::string CounterSum(const Json& agents, const char* name) {
  uint64_t sum = 0;
  for (const Json& agent : agents) {
    const Json counters = agent.is_object() ? agent.value("counters", Json::object()) : Json();
    const auto found = counters.find(name);
    if (found != counters.end() && found->is_number_unsigned()) sum += found->get<uint64_t>();
  }
  return std::to_string(sum);
}

void PrintAgentStatus(const GlobalOptions& global, const Json& agent) {
  const std::string state = Text(agent, "state");
  std::string line = "  " + Text(agent, "instance").substr(0, 8) + "  " +
                     Paint(global.style, StateInk(state), state);
  if (!Text(agent, "reason").empty()) {
    line += "  " + Text(agent, "reason") + ": " + Text(agent, "message");
  }
  std::printf("%s\n", line.c_str());
  for (const Json& site : agent.value("sites", Json::array())) {
    const std::string method = Text(site, "method");
    std::printf(
        "    %s %s in %s  %s\n", Text(site, "module").c_str(), Text(site, "address").c_str(),
        Text(site, "function").c_str(),
        Paint(global.style, Ink::kDim, method.empty() ? Text(site, "reason") : method).c_str());
  }
  const Json counters = agent.value("counters", Json::object());
  std::string text;
  for (const auto& [name, value] : counters.items()) {
    if (value.is_number() && value != 0) text += "  " + Safe(name) + " " + value.dump();
  }
  const Json dropped = counters.value("dropped", Json::object());
  for (const auto& [name, value] : dropped.items()) {
    text += "  dropped " + Safe(name) + " " + value.dump();
  }
  const Json nanos = agent.value("hitNanos", Json::object());
  if (!text.empty()) {
    std::printf("   %s%s\n", text.c_str(),
                Paint(global.style, Ink::kDim,
                      "  hit p50 " + Text(nanos, "p50") + " ns, p99 " + Text(nanos, "p99") + " ns")
                    .c_str());
  }
}

std::string Number(const Json& object, const char* name) {
  const Json value = object.value(name, Json());
  if (!value.is_number()) return "-";
  char text[40];
  std::snprintf(text, sizeof text, "%.6g", value.get<double>());
  return text;
}

// Value below which the share `quantile` of the counts lies, by the buckets' upper bounds.
std::string Quantile(const Json& distribution, double quantile) {
  std::vector<std::pair<double, double>> bounds;  // upper bound, count
  const double base = std::exp2(std::exp2(-distribution.value("scale", 0)));
  const auto add = [&](const char* sign, double factor) {
    const Json buckets = distribution.value(sign, Json::object());
    for (const auto& [index, count] : buckets.items()) {
      if (!count.is_number()) continue;
      const double upper = std::pow(base, std::atof(index.c_str()) + (factor > 0 ? 1 : 0));
      bounds.emplace_back(factor * upper, count.get<double>());
    }
  };
  add("positive", 1);
  add("negative", -1);
  bounds.emplace_back(0, distribution.value("zeroCount", 0.0));
  std::sort(bounds.begin(), bounds.end());
  double total = 0, seen = 0;
  for (const auto& [upper, count] : bounds) total += count;
  for (const auto& [upper, count] : bounds) {
    seen += count;
    if (total == 0 || seen < quantile * total) continue;
    char text[40];
    std::snprintf(
        text, sizeof text, "%.4g",
        std::clamp(upper, distribution.value("min", upper),
                   std::max(distribution.value("min", upper), distribution.value("max", upper))));
    return text;
  }
  return "-";
}

void PrintThrows(const Json& agent) {
  for (const Json& kind : agent.value("throws", Json::array())) {
    std::printf("    throw %s  %s times\n", Text(kind, "fingerprint").c_str(),
                Text(kind, "count").c_str());
  }
}

void PrintDistribution(const Json& agent) {
  const Json distribution = agent.value("distribution", Json());
  if (!distribution.is_object()) return;
  std::printf("    count %s  sum %s  min %s  p50 %s  p90 %s  p99 %s  max %s\n",
              Text(distribution, "count").c_str(), Number(distribution, "sum").c_str(),
              Number(distribution, "min").c_str(), Quantile(distribution, 0.5).c_str(),
              Quantile(distribution, 0.9).c_str(), Quantile(distribution, 0.99).c_str(),
              Number(distribution, "max").c_str());
}

// What narrows it down, and how far a canary is.
void PrintScope(const Json& tracepoint) {
  std::string only;
  const Json selector = tracepoint.value("selector", Json::object());
  for (const auto& [name, value] : selector.items()) {
    if (value.is_string() && !value.get_ref<const std::string&>().empty()) {
      only += "  " + Safe(name) + " " + Text(selector, name.c_str());
    }
  }
  const Json labels = selector.value("labels", Json::object());
  for (const auto& [name, value] : labels.items()) {
    only += "  " + Safe(name) + "=" + Text(labels, name.c_str());
  }
  if (!only.empty()) std::printf("  only%s\n", only.c_str());
  const Json canary = tracepoint.value("canaryStatus", Json());
  if (!canary.is_object()) return;
  const std::string until = Text(canary, "until");
  std::printf("  canary %s  %s%s\n", Text(canary, "state").c_str(),
              Text(canary, "instance").substr(0, 8).c_str(),
              until.empty() ? "" : (", everywhere at " + until.substr(0, 19)).c_str());
}

void PrintProjection(const Json& agent) {
  const Json projection = agent.value("projection", Json());
  if (!projection.is_object()) return;
  std::printf("    dry run: %s hits/s; would capture %s/s, at %s %% of a core\n",
              Number(projection, "hitsPerSecond").c_str(),
              Number(projection, "capturesPerSecond").c_str(),
              Number(projection, "cpuPercent").c_str());
}

void PrintTracepoint(const GlobalOptions& global, const Json& tracepoint) {
  std::printf("%s  %s  %s %s\n", Paint(global.style, Ink::kBold, Text(tracepoint, "id")).c_str(),
              Text(tracepoint, "kind").c_str(), Text(tracepoint, "service").c_str(),
              Place(tracepoint).c_str());
  if (!Text(tracepoint, "condition").empty()) {
    std::printf("  if %s\n", Text(tracepoint, "condition").c_str());
  }
  if (!Text(tracepoint, "logMessage").empty()) {
    std::printf("  log %s\n", Text(tracepoint, "logMessage").c_str());
  }
  PrintScope(tracepoint);
  for (const Json& watch : tracepoint.value("expressions", Json::array())) {
    if (watch.is_string()) std::printf("  watch %s\n", Safe(watch.get<std::string>()).c_str());
  }
  std::printf("  %s\n", Paint(global.style, Ink::kDim,
                              "revision " + Text(tracepoint, "revision") + ", expires " +
                                  Text(tracepoint, "expiresAt").substr(0, 19) + "Z")
                            .c_str());
  for (const Json& agent : tracepoint.value("agents", Json::array())) {
    PrintAgentStatus(global, agent);
    PrintDistribution(agent);
    PrintThrows(agent);
    PrintProjection(agent);
  }
}

// The one service there is; an error when there are none or several.
ApiResult OnlyService(ApiClient& client) {
  ApiResult result = client.GetAll("/v1/services", "services");
  if (!result.ok()) return result;
  const Json services = result.body.value("services", Json::array());
  if (services.size() == 1) {
    result.body = services[0];
    return result;
  }
  std::string names;
  for (const Json& service : services) {
    names += (names.empty() ? "" : ", ") +
             (service.is_string() ? service.get<std::string>() : Text(service, "name"));
  }
  result.error = {kUsage, "",
                  services.empty() ? "no service is connected: say --service"
                                   : "say --service, one of: " + names,
                  ""};
  return result;
}

bool IsAddress(std::string_view text) {
  return text.starts_with("0x") && text.size() > 2 &&
         text.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string_view::npos;
}

// FILE:LINE, 0xADDRESS, MODULE:0xADDRESS or a function's name; null when it is none of them.
Json LocationOf(const std::string& place) {
  std::string file;
  uint32_t line = 0;
  if (ParsePlace(place, false, file, line)) return {{"file", file}, {"line", line}};
  if (IsAddress(place)) return {{"address", place}};
  const size_t colon = place.rfind(':');
  if (colon != std::string::npos && colon > 0 && IsAddress(place.substr(colon + 1))) {
    return {{"module", place.substr(0, colon)}, {"address", place.substr(colon + 1)}};
  }
  // No function has these in its name; files do.
  const bool may_be_function = !place.empty() &&
                               place.find_first_of("./\\\"'") == std::string::npos &&
                               place.find_first_of(":0123456789") != 0 && place.back() != ':';
  return may_be_function ? Json{{"function", place}} : Json();
}

Json SelectorOf(const SetOptions& options) {
  Json selector = Json::object();
  for (const auto& [name, value] : {std::pair{"version", &options.version},
                                    {"environment", &options.environment},
                                    {"instance", &options.instance},
                                    {"threadName", &options.thread},
                                    {"traceId", &options.trace_id},
                                    {"session", &options.session}}) {
    if (!value->empty()) selector[name] = *value;
  }
  for (const std::string& label : options.labels) {
    const size_t equals = label.find('=');
    selector["labels"][label.substr(0, equals)] = label.substr(equals + 1);
  }
  return selector;
}

Json SpecOf(const SetOptions& options, Json location) {
  Json spec;
  spec["kind"] = !options.log.empty()            ? "LOG"
                 : options.count                 ? "COUNTER"
                 : !options.distribution.empty() ? "DISTRIBUTION"
                 : options.span                  ? "SPAN"
                                                 : "SNAPSHOT";
  if (!options.to.empty()) spec["endLocation"] = LocationOf(options.to);
  spec["location"] = std::move(location);
  if (!options.condition.empty()) spec["condition"] = options.condition;
  if (!options.watches.empty()) spec["expressions"] = options.watches;
  if (!options.distribution.empty()) spec["expressions"] = {options.distribution};
  if (!options.log.empty()) spec["logMessage"] = options.log;
  if (options.allow_trap) spec["allowTrap"] = true;
  if (options.max_hits) spec["limits"]["maxHits"] = *options.max_hits;
  if (options.per_second) spec["limits"]["perSecond"] = *options.per_second;
  if (options.per_trace) spec["limits"]["perTrace"] = *options.per_trace;
  if (Json selector = SelectorOf(options); !selector.empty()) {
    spec["selector"] = std::move(selector);
  }
  if (options.canary) spec["canary"] = ParseLifetime(*options.canary);
  if (options.dry_run) spec["dryRun"] = true;
  if (!options.expires.empty()) spec["limits"]["expiresIn"] = ParseLifetime(options.expires);
  return spec;
}

bool Settled(const std::string& state) { return state != "RECEIVED" && !state.empty(); }
bool Good(const std::string& state) {
  return state == "ARMED" || state == "EMITTING" || state == "COMPLETED" || state == "THROTTLED";
}

// Until every agent has armed or refused.
int WaitForAgents(const GlobalOptions& global, ApiClient& client, const std::string& id,
                  double timeout_seconds, Json& tracepoint) {
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_seconds);
  while (true) {
    ApiResult result = client.Get("/v1/tracepoints/" + UrlEncode(id));
    if (!result.ok()) return Fail(global, result.error);
    tracepoint = result.body;
    const Json agents = tracepoint.value("agents", Json::array());
    const bool settled = !agents.empty() && std::all_of(agents.begin(), agents.end(), [](auto& a) {
      return Settled(Text(a, "state"));
    });
    if (settled) {
      const bool good = std::any_of(agents.begin(), agents.end(),
                                    [](const Json& a) { return Good(Text(a, "state")); });
      return good ? kDone : kRefused;
    }
    if (std::chrono::steady_clock::now() > deadline) {
      std::fprintf(stderr, "timed out: %s\n",
                   agents.empty() ? "no agent has taken it" : "an agent has not answered");
      return kTimedOut;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace

bool ParsePlace(const std::string& place, bool line_optional, std::string& file, uint32_t& line) {
  const size_t colon = place.rfind(':');
  line = 0;
  if (colon == std::string::npos || colon == 0) {
    file = place;
    return line_optional && !place.empty() && colon != 0;
  }
  const char* begin = place.data() + colon + 1;
  const char* end = place.data() + place.size();
  const auto [stop, error] = std::from_chars(begin, end, line);
  file = place.substr(0, colon);
  return error == std::errc() && stop == end && line > 0;
}

std::string ParseLifetime(const std::string& text) {
  if (text.size() < 2) return "";
  const uint64_t unit = text.back() == 's'   ? 1
                        : text.back() == 'm' ? 60
                        : text.back() == 'h' ? 3600
                        : text.back() == 'd' ? 86400
                                             : 0;
  uint64_t number = 0;
  const char* end = text.data() + text.size() - 1;
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (unit == 0 || error != std::errc() || stop != end || number > 1'000'000) return "";
  return std::to_string(number * unit) + "s";
}

int Fail(const GlobalOptions& global, const ApiError& error) {
  if (global.json) {
    Json inner = {{"code", error.code}, {"message", error.message}};
    if (!error.field.empty()) inner["field"] = error.field;
    std::fprintf(stderr, "%s\n", Json{{"error", inner}}.dump().c_str());
    return error.exit_code;
  }
  std::fprintf(stderr, "%s\n", error.ToString().c_str());
  if (error.exit_code == kCannotConnect) {
    std::fprintf(stderr, "cannot connect to %s\n", Safe(global.server).c_str());
  }
  return error.exit_code;
}

int FailUsage(const std::string& message) {
  std::fprintf(stderr, "%s\n", Safe(message).c_str());
  return kUsage;
}

int RunSet(const GlobalOptions& global, const SetOptions& options) {
  if (options.place.empty() == (options.exception.empty() && options.fatal.empty()) ||
      (!options.exception.empty() && !options.fatal.empty())) {
    return FailUsage(
        "say where: FILE:LINE, a function, an address, --exception TYPE or --fatal END");
  }
  Json location = !options.exception.empty() ? Json{{"exception", options.exception}}
                  : !options.fatal.empty()   ? Json{{"fatal", options.fatal}}
                                             : LocationOf(options.place);
  if (location.is_null()) {
    return FailUsage("'" + options.place + "' is not FILE:LINE, a function or an address");
  }
  if (options.at_return && (!location.contains("function") || options.span)) {
    return FailUsage("--return belongs to a function, and to no --span");
  }
  if (options.at_return) location["at"] = "return";
  if (!options.to.empty() && (!options.span || LocationOf(options.to).is_null())) {
    return FailUsage("--to is the end of a --span, as FILE:LINE");
  }
  if (!options.expires.empty() && ParseLifetime(options.expires).empty()) {
    return FailUsage("'" + options.expires + "' is no lifetime: say 90s, 30m, 1h or 1d");
  }
  if (options.canary && ParseLifetime(*options.canary).empty()) {
    return FailUsage("'" + *options.canary + "' is no time for --canary: say 35s or 5m");
  }
  for (const std::string& label : options.labels) {
    const size_t equals = label.find('=');
    if (equals == std::string::npos || equals == 0) {
      return FailUsage("'" + label + "' is no label: say NAME=VALUE");
    }
  }
  ApiClient client(global.server, global.key);
  std::string service = options.service;
  if (service.empty()) {
    const ApiResult only = OnlyService(client);
    if (!only.ok()) return Fail(global, only.error);
    service = only.body.is_string() ? only.body.get<std::string>() : Text(only.body, "name");
  }
  const Json spec = SpecOf(options, std::move(location));
  const ApiResult created =
      client.Call("POST", "/v1/services/" + UrlEncode(service) + "/tracepoints", &spec);
  if (!created.ok()) return Fail(global, created.error);
  Json tracepoint = created.body;
  int code = kDone;
  if (options.wait) {
    code =
        WaitForAgents(global, client, Text(tracepoint, "id"), options.timeout_seconds, tracepoint);
  }
  if (global.json) {
    std::printf("%s\n", tracepoint.dump(2).c_str());
  } else {
    PrintTracepoint(global, tracepoint);
  }
  if (code == kRefused) {
    for (const Json& agent : tracepoint.value("agents", Json::array())) {
      if (Good(Text(agent, "state"))) continue;
      std::fprintf(stderr, "%s: %s\n", Text(agent, "reason").c_str(),
                   Text(agent, "message").c_str());
      break;
    }
  }
  return code;
}

int RunList(const GlobalOptions& global, const std::string& service) {
  ApiClient client(global.server, global.key);
  std::vector<std::string> names;
  if (!service.empty()) {
    names.push_back(service);
  } else {
    const ApiResult services = client.GetAll("/v1/services", "services");
    if (!services.ok()) return Fail(global, services.error);
    for (const Json& entry : services.body.value("services", Json::array())) {
      names.push_back(entry.is_string() ? entry.get<std::string>() : Text(entry, "name"));
    }
  }
  Json all = Json::array();
  for (const std::string& name : names) {
    const ApiResult page =
        client.GetAll("/v1/services/" + UrlEncode(name) + "/tracepoints", "tracepoints");
    if (!page.ok()) return Fail(global, page.error);
    for (const Json& entry : page.body.value("tracepoints", Json::array())) all.push_back(entry);
  }
  if (global.json) {
    std::printf("%s\n", Json{{"tracepoints", all}}.dump(2).c_str());
    return kDone;
  }
  std::vector<std::vector<std::string>> rows{
      {"ID", "SERVICE", "KIND", "WHERE", "STATE", "HITS", "CAPTURED", "IF"}};
  for (const Json& entry : all) {
    const Json agents = entry.value("agents", Json::array());
    rows.push_back({Text(entry, "id"), Text(entry, "service"), Text(entry, "kind"), Place(entry),
                    States(agents), CounterSum(agents, "hits"), CounterSum(agents, "captured"),
                    Text(entry, "condition")});
  }
  std::printf("%s", all.empty() ? "no tracepoints\n" : Table(global.style, rows).c_str());
  return kDone;
}

int RunShow(const GlobalOptions& global, const std::string& id) {
  ApiClient client(global.server, global.key);
  const ApiResult result = client.Get("/v1/tracepoints/" + UrlEncode(id));
  if (!result.ok()) return Fail(global, result.error);
  if (global.json) {
    std::printf("%s\n", result.body.dump(2).c_str());
  } else {
    PrintTracepoint(global, result.body);
  }
  return kDone;
}

int RunRemove(const GlobalOptions& global, const std::vector<std::string>& ids) {
  ApiClient client(global.server, global.key);
  int code = kDone;
  Json removed = Json::array();
  for (const std::string& id : ids) {
    const ApiResult result = client.Call("DELETE", "/v1/tracepoints/" + UrlEncode(id), nullptr);
    if (result.ok()) {
      removed.push_back(id);
      if (!global.json) std::printf("removed %s\n", Safe(id).c_str());
      continue;
    }
    code = Fail(global, result.error);
    if (code == kCannotConnect) break;
  }
  if (global.json) std::printf("%s\n", Json{{"removed", removed}}.dump(2).c_str());
  return code;
}

}  // namespace stillframe::cli
