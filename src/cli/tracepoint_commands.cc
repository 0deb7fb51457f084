#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "cli/commands.h"
#include "cli/tracepoint_view.h"

namespace stillframe::cli {
namespace {

using Json = nlohmann::ordered_json;

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

bool MayBeFunction(std::string place) {
  if (place.empty() || place.back() == ':') return false;
  const bool whole = place.starts_with("::") && place.size() > 2 && place[2] != ':';
  if (!whole && place.find_first_of(":0123456789") == 0) return false;
  // "operator/", "operator\"\"_km"; "Print(const char*, ...)".
  constexpr std::string_view kOperator = "operator";
  const size_t at = place.find(kOperator);
  if (at != std::string::npos && at + kOperator.size() < place.size() &&
      place[at + kOperator.size()] != '.') {
    return true;
  }
  if (const size_t dots = place.find("..."); dots != std::string::npos) place.erase(dots, 3);
  // No other function has these in its name; files do.
  return place.find_first_of("./\\\"'") == std::string::npos;
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

Json LocationOf(const std::string& place) {
  std::string file;
  uint32_t line = 0;
  if (ParsePlace(place, false, file, line)) return {{"file", file}, {"line", line}};
  if (IsAddress(place)) return {{"address", place}};
  const size_t colon = place.rfind(':');
  if (colon != std::string::npos && colon > 0 && IsAddress(place.substr(colon + 1))) {
    return {{"module", place.substr(0, colon)}, {"address", place.substr(colon + 1)}};
  }
  return MayBeFunction(place) ? Json{{"function", place}} : Json();
}

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
