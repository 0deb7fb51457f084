// What the subcommands do. Each returns the command's exit code.
#ifndef STILLFRAME_CLI_COMMANDS_H_
#define STILLFRAME_CLI_COMMANDS_H_

#include <optional>
#include <string>
#include <vector>

#include "cli/api_client.h"
#include "cli/terminal.h"

namespace stillframe::cli {

struct GlobalOptions {
  std::string server = "http://127.0.0.1:7070";
  std::string key;
  bool json = false;
  std::string source_root;
  Style style;
};

struct SetOptions {
  std::string exception;
  std::string fatal;
  bool at_return = false;
  bool span = false;
  std::string to;     // FILE:LINE
  std::string place;  // FILE:LINE
  std::string condition, log, service;
  std::vector<std::string> watches;
  bool count = false;
  std::string distribution;
  std::optional<uint64_t> max_hits;
  std::optional<double> per_second;
  std::string expires;  // "1h", "30m", "90s"
  std::optional<uint32_t> per_trace;
  // Selectors.
  std::string version, environment, instance, thread, trace_id, session;
  std::vector<std::string> labels;    // "name=value"
  std::optional<std::string> canary;  // as `expires`
  bool dry_run = false;
  bool allow_trap = false;
  bool wait = false;
  double timeout_seconds = 30;
};

// What a stop or its end is about: exactly one of the first three.
struct StopOptions {
  std::string service, agent;  // `agent`: an instance, or how it begins
  bool all = false;
  std::string environment, reason;
};

struct FilterOptions {
  std::string service, tracepoint, trace_id, since, kind;
  uint32_t limit = 20;
  uint64_t count = 0;  // tail: end after so many; 0 = never
};

int RunSet(const GlobalOptions& global, const SetOptions& options);
int RunList(const GlobalOptions& global, const std::string& service);
int RunShow(const GlobalOptions& global, const std::string& id);
int RunRemove(const GlobalOptions& global, const std::vector<std::string>& ids);
int RunSnapshots(const GlobalOptions& global, const FilterOptions& filter);
int RunSnapshot(const GlobalOptions& global, const std::string& id);
int RunTail(const GlobalOptions& global, const FilterOptions& filter);
int RunStop(const GlobalOptions& global, const StopOptions& options);
int RunResume(const GlobalOptions& global, const StopOptions& options);
int RunStops(const GlobalOptions& global);
// `expires`: the new life time; "" = as before.
int RunRenew(const GlobalOptions& global, const std::vector<std::string>& ids,
             const std::string& expires);
int RunServices(const GlobalOptions& global);
int RunAgents(const GlobalOptions& global, const std::string& service);

// Offline, on a binary.
int RunLines(const GlobalOptions& global, const std::string& binary, const std::string& place);
int RunVariables(const GlobalOptions& global, const std::string& binary, const std::string& place);
// What is asked of a place before anything is armed. With an exception there is no place.
struct CheckOptions {
  std::string binary, place, exception, expression;
  bool at_return = false;
};
// What an expression will be at each site of the place: 0 when it can be used at one of them.
int RunCheck(const GlobalOptions& global, const CheckOptions& options);
// `list_files`: name the source files as well.
int RunDoctor(const GlobalOptions& global, const std::string& binary, bool list_files);

// What dead processes left in their ring files.
struct RecoverOptions {
  std::string path;  // a file, or the folder of many
  std::vector<std::string> debug_path;
  bool remove = false;
  bool send = false;  // to the server, instead of printing
};
int RunRecover(const GlobalOptions& global, const RecoverOptions& options);

// "orders.cc:42" -> file and line; false when it is not that. The line may be absent when allowed
// (then 0).
bool ParsePlace(const std::string& place, bool line_optional, std::string& file, uint32_t& line);
// The location of FILE:LINE, 0xADDRESS, MODULE:0xADDRESS or a function's name; null when it is none
// of them.
nlohmann::ordered_json LocationOf(const std::string& place);
// "1h", "30m", "90s", "2d" -> "3600s"; "" when malformed.
std::string ParseLifetime(const std::string& text);

// Prints to standard error and returns the exit code.
int Fail(const GlobalOptions& global, const ApiError& error);
int FailUsage(const std::string& message);

// The whole command line; argv[0] is skipped.
int RunCli(int argc, char** argv);

}  // namespace stillframe::cli

#endif  // STILLFRAME_CLI_COMMANDS_H_
