// Tracepoints as the command line shows them.
#ifndef STILLFRAME_CLI_TRACEPOINT_VIEW_H_
#define STILLFRAME_CLI_TRACEPOINT_VIEW_H_

#include <nlohmann/json.hpp>
#include <string>

#include "cli/commands.h"

namespace stillframe::cli {

// A field of the server's answer, safe for a terminal; "" when it is not there.
std::string Text(const nlohmann::ordered_json& json, const char* key);
// What `set` takes: FILE:LINE, an address or a name.
std::string Place(const nlohmann::ordered_json& tracepoint);
// "ARMED" when all agree, else "2 ARMED, 1 ERROR".
std::string States(const nlohmann::ordered_json& agents);
// One counter over all processes.
std::string CounterSum(const nlohmann::ordered_json& agents, const char* name);
// All of it, on standard output.
void PrintTracepoint(const GlobalOptions& global, const nlohmann::ordered_json& tracepoint);

}  // namespace stillframe::cli

#endif  // STILLFRAME_CLI_TRACEPOINT_VIEW_H_
