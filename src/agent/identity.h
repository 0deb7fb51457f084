// Who this process is, as the server shows it.
#ifndef STILLFRAME_AGENT_IDENTITY_H_
#define STILLFRAME_AGENT_IDENTITY_H_

#include <string>

#include "agent/options.h"
#include "model/agent_info.h"

namespace stillframe::agent {

inline constexpr const char* kAgentVersion = "0.1.0";

// File name of the executable, "" when unknown.
std::string ProgramName();
// A fresh random instance id (UUID v4) and everything else that does not change. Agent thread.
model::AgentIdentity MakeIdentity(const Options& options);
// Name of a thread of this process, "" when it is gone.
std::string ThreadName(uint32_t thread_id);

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_IDENTITY_H_
