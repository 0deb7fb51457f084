// From a selector to what the hit path compares, and from a request's baggage to its sessions.
#ifndef STILLFRAME_AGENT_SCOPE_PLAN_H_
#define STILLFRAME_AGENT_SCOPE_PLAN_H_

#include <string_view>

#include "agent/hit/scope.h"
#include "model/tracepoint.h"

namespace stillframe::agent {

// False: the selector means every thread and request.
bool MakeScope(const model::Selector& selector, hit::Scope& out);

hit::SessionId MakeSessionId(std::string_view session);
// The values of `stillframe` in a W3C baggage header (https://www.w3.org/TR/baggage/), the first
// kMaxSessions of them. Allocates nothing; returns how many there are. Whatever the header holds
// otherwise is somebody else's.
uint32_t ParseBaggage(std::string_view header, hit::SessionSet& out);

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_SCOPE_PLAN_H_
