// The kill switch: what is stopped, by whom and why. While a stop stands, no agent that it covers
// has anything armed.
#ifndef STILLFRAME_SERVER_STOPS_H_
#define STILLFRAME_SERVER_STOPS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "model/agent_info.h"
#include "server/auth.h"

namespace stillframe::server {

// Covers one instance, one service, or (both empty) the fleet; of one environment if that is set.
struct StopOrder {
  std::string id;
  std::string service, instance, environment;
  std::string reason;  // a person's words
  std::string created_by;
  int64_t created_ms = 0;

  bool Covers(const model::AgentIdentity& agent) const;
  bool SameTarget(const StopOrder& other) const;
  bool IsFleet() const { return service.empty() && instance.empty(); }
  // Whoever sees some of what it covers.
  bool SeenBy(const Principal& principal) const;
  // "service shop by 1a2b3c: checkout is on fire", as agents report it.
  std::string Describe() const;
};

// One entry of GET /v1/stops.
std::string StopToJson(const StopOrder& stop);
// The body of POST /v1/stops: exactly one of "all": true, "service" and "instance", with
// "environment" and "reason" if wanted.
std::optional<model::FieldError> ParseStop(const std::string& json, StopOrder& out);

}  // namespace stillframe::server

#endif  // STILLFRAME_SERVER_STOPS_H_
