// The kill switch's calls.
#include "server/api.h"

namespace stillframe::server {
namespace {

// Whoever stops or resumes must be able to see all that is covered. The fleet is an admin's.
std::optional<Response> CheckRights(const Principal& principal, const StopOrder& stop) {
  if (stop.IsFleet() && (principal.role != Role::kAdmin || !principal.service.empty())) {
    return Error(403, "FORBIDDEN", "the whole fleet takes an admin's key for all services", "all");
  }
  if (!principal.SeesService(stop.service)) {
    return Error(403, "FORBIDDEN", "this key is for service " + principal.service, "service");
  }
  if (!principal.SeesEnvironment(stop.environment)) {
    return Error(403, "FORBIDDEN", "this key is for environment " + principal.environment,
                 "environment");
  }
  return std::nullopt;
}

}  // namespace

Response Api::AddStop(RouteContext& context) {
  if (auto refusal = CheckBody(context.request)) return *refusal;
  StopOrder stop;
  if (auto error = ParseStop(context.request.body, stop)) {
    return Error(400, error->code, error->message, error->field);
  }
  if (!stop.instance.empty()) {
    const auto agent = hub_.FindAgent(stop.instance);
    if (!agent || !context.principal.SeesService(agent->service) ||
        !context.principal.SeesEnvironment(agent->environment)) {
      return Error(404, "NOT_FOUND", "no agent " + stop.instance + " is connected", "instance");
    }
    stop.service = agent->service;
    stop.environment = agent->environment;
  }
  // A key for one environment stops what it may.
  if (stop.environment.empty()) stop.environment = context.principal.environment;
  if (auto refusal = CheckRights(context.principal, stop)) return *refusal;
  stop.created_by = context.principal.key_id;
  auto result = hub_.AddStop(std::move(stop));
  if (!result.ok()) {
    const bool too_many = result.status().code() == Code::kOverLimit;
    return Error(too_many ? 429 : 503, std::string(CodeName(result.status().code())),
                 result.status().message());
  }
  Response response;
  response.status = result->is_new ? 201 : 200;
  response.body = StopToJson(result->stop);
  return response;
}

Response Api::Stops(RouteContext& context) {
  std::string body;
  for (const StopOrder& stop : hub_.Stops(context.principal)) {
    body += (body.empty() ? "" : ",") + StopToJson(stop);
  }
  Response response;
  response.body = "{\"stops\":[" + body + "]}";
  return response;
}

Response Api::RemoveStop(RouteContext& context) {
  const std::string& id = context.parameters[0];
  const StopOrder* found = nullptr;
  const std::vector<StopOrder> seen = hub_.Stops(context.principal);
  for (const StopOrder& stop : seen) found = stop.id == id ? &stop : found;
  if (found == nullptr) return Error(404, "NOT_FOUND", "there is no stop " + id);
  if (auto refusal = CheckRights(context.principal, *found)) return *refusal;
  if (Status status = hub_.RemoveStop(id); !status.ok()) {
    return Error(status.code() == Code::kNotFound ? 404 : 503, std::string(CodeName(status.code())),
                 status.message());
  }
  Response response;
  response.status = 204;
  response.content_type = "";
  return response;
}

}  // namespace stillframe::server
