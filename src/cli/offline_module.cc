#include "cli/offline_module.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "debuginfod/debug_cache.h"
#include "debuginfod/debug_fetcher.h"

namespace stillframe::cli {

std::string Hex(uint64_t value) {
  char text[20];
  snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

int FailStatus(const GlobalOptions& global, const Status& status) {
  return Fail(global, {kRefused, std::string(CodeName(status.code())), status.message(), ""});
}

namespace {

const char* Variable(const char* name) {
  const char* const value = getenv(name);
  return value == nullptr ? "" : value;
}

int64_t Now() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

// Waits for the debug file of a stripped binary. OK: nothing was to be fetched, or it is there now.
Status Fetch(debuginfod::DebugFetcher& fetcher, const std::string& build_id) {
  using State = debuginfod::DebugFetcher::State;
  auto answer = fetcher.Want(build_id, Now());
  if (answer.state == State::kFetching && isatty(STDERR_FILENO) != 0) {
    fprintf(stderr, "%s\n", answer.status.message().c_str());
  }
  while (answer.state == State::kFetching) {
    (void)fetcher.Step(100, Now());
    answer = fetcher.Want(build_id, Now());
  }
  return answer.status;
}

}  // namespace

Status OpenOffline(const std::string& binary, Opened& out) {
  SymbolizerOptions options;
  options.redaction = &out.redaction;
  options.max_sites = 10'000;
  std::istringstream folders(Variable("STILLFRAME_DEBUG_PATH"));
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (!folder.empty()) options.debug_path.push_back(folder);
  }
  // What an engineer's other tools ask is asked, too.
  const std::string own = Variable("STILLFRAME_DEBUGINFOD_URLS");
  SF_ASSIGN_OR_RETURN(const auto servers,
                      debuginfod::ReadServers(own.empty() ? Variable("DEBUGINFOD_URLS") : own));
  debuginfod::DebugFetcher fetcher(
      {.urls = servers, .cache_folder = debuginfod::DefaultCacheFolder(&getenv)});
  if (!servers.empty()) options.debug_path.push_back(fetcher.folder());
  out.symbolizer = Symbolizer::Create(options);
  SF_ASSIGN_OR_RETURN(out.module, out.symbolizer->OpenModule(binary, ""));
  if (servers.empty() || out.module->debug_status().ok()) return Status();
  const Status fetched = Fetch(fetcher, out.module->build_id());
  if (!fetched.ok()) {
    fprintf(stderr, "note: %s\n", fetched.message().c_str());
    return Status();
  }
  out.symbolizer->ReleaseMemory();
  SF_ASSIGN_OR_RETURN(out.module, out.symbolizer->OpenModule(binary, ""));
  return Status();
}

}  // namespace stillframe::cli
