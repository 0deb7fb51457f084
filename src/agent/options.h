// The agent's settings, read from the environment (CONTRACT, "Enabling the agent").
#ifndef STILLFRAME_AGENT_OPTIONS_H_
#define STILLFRAME_AGENT_OPTIONS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/status.h"

namespace stillframe::agent {

struct ProcessLimitOptions {
  uint32_t snapshots_per_second = 25;
  uint32_t logs_per_second = 5000;  // 0 = no limit
  double cpu_percent = 1;           // of one core, for capturing
  uint32_t bytes_per_snapshot = 65536;
};

struct Options {
  bool enabled = false;  // neither variable set, or STILLFRAME_DISABLE: nothing happens at all
  std::string server;    // "" in file mode
  std::string api_key;
  std::string service, version, environment;
  std::vector<std::pair<std::string, std::string>> labels;
  std::vector<std::string> debug_path;
  std::vector<std::string> debuginfod_urls;  // asked for debug files that are in none of them
  std::string debuginfod_cache;              // where those are kept
  std::vector<std::string> formatter_files;
  std::string tracepoints_file, output_file;  // file mode
  std::string policy_file;                    // the operator's rules; "" = none
  std::string ring_folder;                    // of rings that outlive the process; "" = private
  uint32_t start_wait_ms = 0;
  // So long without a word of the server, everything is taken out until it is back; 0 = never.
  uint32_t max_silence_ms = 600'000;
  ProcessLimitOptions limits;
  LogLevel log_level = LogLevel::kError;
};

// Value of a variable or nullptr, like getenv.
using Environment = std::function<const char*(const char* name)>;

// kInvalidArgument names the variable and its bad value. `program_name` is the last resort for the
// service's name. Reads the key file when one is named. No allocation when not enabled.
Result<Options> ReadOptions(const Environment& environment, const std::string& program_name);
// Whether the environment asks for the agent at all: the only thing the constructor does first.
bool EnabledByEnvironment();

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_OPTIONS_H_
