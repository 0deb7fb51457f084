#include "server/stops.h"

#include <nlohmann/json.hpp>

#include "model/json_reader.h"
#include "model/snapshot.h"
#include "server/url.h"

namespace stillframe::server {

bool StopOrder::Covers(const model::AgentIdentity& agent) const {
  const auto matches = [](const std::string& wanted, const std::string& actual) {
    return wanted.empty() || wanted == actual;
  };
  return matches(service, agent.service) && matches(instance, agent.instance) &&
         matches(environment, agent.environment);
}

bool StopOrder::SameTarget(const StopOrder& other) const {
  return service == other.service && instance == other.instance && environment == other.environment;
}

bool StopOrder::SeenBy(const Principal& principal) const {
  return (service.empty() || principal.SeesService(service)) &&
         (environment.empty() || principal.SeesEnvironment(environment));
}

std::string StopOrder::Describe() const {
  std::string text = !instance.empty() ? "instance " + instance
                     : service.empty() ? "the fleet"
                                       : "service " + service;
  if (!environment.empty() && instance.empty()) text += " in " + environment;
  if (!created_by.empty()) text += " by " + created_by;
  return reason.empty() ? text : text + ": " + reason;
}

std::string StopToJson(const StopOrder& stop) {
  nlohmann::ordered_json json = {{"id", stop.id}};
  if (stop.IsFleet()) json["all"] = true;
  if (!stop.service.empty()) json["service"] = stop.service;
  if (!stop.instance.empty()) json["instance"] = stop.instance;
  if (!stop.environment.empty()) json["environment"] = stop.environment;
  json["reason"] = stop.reason;
  json["createdAt"] = model::FormatTime(stop.created_ms * 1'000'000);
  json["createdBy"] = stop.created_by;
  return json.dump();
}

std::optional<model::FieldError> ParseStop(const std::string& text, StopOrder& out) {
  nlohmann::ordered_json json;
  if (auto error = model::ParseJson(text, json)) return error;
  std::optional<model::FieldError> error;
  model::ObjectReader reader(json, "", error);
  bool all = false;
  StopOrder stop;
  reader.Bool("all", all);
  reader.String("service", stop.service, 256);
  reader.String("instance", stop.instance, 256);
  reader.String("environment", stop.environment, 256);
  reader.String("reason", stop.reason, 500);
  reader.Finish();
  if (error) return error;
  if (all + !stop.service.empty() + !stop.instance.empty() != 1) {
    return model::FieldError{"INVALID_ARGUMENT",
                             "say what to stop: one of \"all\": true, service and instance",
                             "service"};
  }
  if (!stop.service.empty() && !IsName(stop.service, 256)) {
    return model::FieldError{"INVALID_ARGUMENT", "service is not a name", "service"};
  }
  out = std::move(stop);
  return std::nullopt;
}

}  // namespace stillframe::server
