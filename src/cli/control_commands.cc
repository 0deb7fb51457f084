// The kill switch and the life of tracepoints.
#include <cstdio>

#include "cli/commands.h"

namespace stillframe::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string Field(const Json& json, const char* key) {
  const auto found = json.is_object() ? json.find(key) : json.end();
  return json.is_object() && found != json.end() && found->is_string() ? found->get<std::string>()
                                                                       : "";
}

std::string TargetText(const Json& stop) {
  const std::string environment = Field(stop, "environment");
  if (!Field(stop, "instance").empty()) {
    return "agent " + Field(stop, "instance").substr(0, 8) + " of " + Field(stop, "service");
  }
  return (Field(stop, "service").empty() ? "the fleet" : "service " + Field(stop, "service")) +
         (environment.empty() ? "" : " in " + environment);
}

// The connected agents whose instance begins so.
ApiResult FindAgents(ApiClient& client, const std::string& prefix) {
  ApiResult services = client.GetAll("/v1/services", "services");
  if (!services.ok()) return services;
  Json found = Json::array();
  for (const Json& service : services.body.value("services", Json::array())) {
    const ApiResult page =
        client.GetAll("/v1/services/" + UrlEncode(Field(service, "name")) + "/agents", "agents");
    if (!page.ok()) return page;
    for (const Json& agent : page.body.value("agents", Json::array())) {
      if (Field(agent, "instance").starts_with(prefix)) found.push_back(agent);
    }
  }
  services.body = std::move(found);
  return services;
}

bool IsTarget(const Json& stop, const StopOptions& options) {
  if (!options.environment.empty() && Field(stop, "environment") != options.environment) {
    return false;
  }
  const std::string instance = Field(stop, "instance");
  if (options.all) return stop.value("all", false);
  if (!options.agent.empty()) return !instance.empty() && instance.starts_with(options.agent);
  return instance.empty() && Field(stop, "service") == options.service;
}

int CheckTarget(const StopOptions& options) {
  if (options.all + !options.service.empty() + !options.agent.empty() == 1) return kDone;
  return FailUsage("say what: one of --service S, --agent INSTANCE and --all");
}

}  // namespace

int RunStop(const GlobalOptions& global, const StopOptions& options) {
  if (const int code = CheckTarget(options); code != kDone) return code;
  ApiClient client(global.server, global.key);
  Json body;
  if (options.all) body["all"] = true;
  if (!options.service.empty()) body["service"] = options.service;
  if (!options.agent.empty()) {
    const ApiResult agents = FindAgents(client, options.agent);
    if (!agents.ok()) return Fail(global, agents.error);
    if (agents.body.size() != 1) {
      return Fail(global, {kRefused, "NOT_FOUND",
                           std::to_string(agents.body.size()) + " connected agents begin with '" +
                               options.agent + "'",
                           "instance"});
    }
    body["instance"] = Field(agents.body[0], "instance");
  } else if (!options.environment.empty()) {
    body["environment"] = options.environment;
  }
  if (!options.reason.empty()) body["reason"] = options.reason;
  const ApiResult result = client.Call("POST", "/v1/stops", &body);
  if (!result.ok()) return Fail(global, result.error);
  if (global.json) {
    std::printf("%s\n", result.body.dump(2).c_str());
  } else {
    std::printf("stopped %s (%s)\n", Safe(TargetText(result.body)).c_str(),
                Safe(Field(result.body, "id")).c_str());
  }
  return kDone;
}

int RunResume(const GlobalOptions& global, const StopOptions& options) {
  if (const int code = CheckTarget(options); code != kDone) return code;
  ApiClient client(global.server, global.key);
  const ApiResult stops = client.Get("/v1/stops");
  if (!stops.ok()) return Fail(global, stops.error);
  Json resumed = Json::array();
  for (const Json& stop : stops.body.value("stops", Json::array())) {
    if (!IsTarget(stop, options)) continue;
    const ApiResult result =
        client.Call("DELETE", "/v1/stops/" + UrlEncode(Field(stop, "id")), nullptr);
    if (!result.ok()) return Fail(global, result.error);
    if (!global.json) std::printf("resumed %s\n", Safe(TargetText(stop)).c_str());
    resumed.push_back(stop);
  }
  if (global.json) std::printf("%s\n", Json{{"resumed", resumed}}.dump(2).c_str());
  if (resumed.empty()) {
    return Fail(global, {kRefused, "NOT_FOUND", "this is not stopped: see `stillframe stops`", ""});
  }
  return kDone;
}

int RunStops(const GlobalOptions& global) {
  ApiClient client(global.server, global.key);
  const ApiResult result = client.Get("/v1/stops");
  if (!result.ok()) return Fail(global, result.error);
  if (global.json) {
    std::printf("%s\n", result.body.dump(2).c_str());
    return kDone;
  }
  std::vector<std::vector<std::string>> rows{{"ID", "STOPPED", "SINCE", "BY", "WHY"}};
  for (const Json& stop : result.body.value("stops", Json::array())) {
    rows.push_back({Safe(Field(stop, "id")), Safe(TargetText(stop)),
                    Safe(Field(stop, "createdAt").substr(0, 19)), Safe(Field(stop, "createdBy")),
                    Safe(Field(stop, "reason"))});
  }
  std::printf("%s", rows.size() == 1 ? "nothing is stopped\n" : Table(global.style, rows).c_str());
  return kDone;
}

int RunRenew(const GlobalOptions& global, const std::vector<std::string>& ids,
             const std::string& expires) {
  if (!expires.empty() && ParseLifetime(expires).empty()) {
    return FailUsage("'" + expires + "' is no lifetime: say 90s, 30m, 1h or 1d");
  }
  ApiClient client(global.server, global.key);
  Json body = Json::object();
  if (!expires.empty()) body["limits"]["expiresIn"] = ParseLifetime(expires);
  Json renewed = Json::array();
  for (const std::string& id : ids) {
    const ApiResult result = client.Call("PATCH", "/v1/tracepoints/" + UrlEncode(id), &body);
    if (!result.ok()) return Fail(global, result.error);
    if (!global.json) {
      std::printf("%s expires %s\n", Safe(id).c_str(),
                  Safe(Field(result.body, "expiresAt").substr(0, 19)).c_str());
    }
    renewed.push_back(result.body);
  }
  if (global.json) std::printf("%s\n", Json{{"tracepoints", renewed}}.dump(2).c_str());
  return kDone;
}

}  // namespace stillframe::cli
