// `stillframe recover`: what a dead process left in its ring file.
#include <sys/stat.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "agent/durable/dead_process.h"
#include "agent/durable/delivery.h"
#include "agent/durable/files.h"
#include "cli/commands.h"
#include "cli/snapshot_view.h"
#include "cli/terminal.h"

namespace stillframe::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Found {
  uint64_t snapshots = 0;
  bool any = false, failed = false;
  int exit_code = kDone;  // of what could not be sent
};

// The path without a suffix; files of a ring may be named by any of theirs.
std::string WithoutSuffix(std::string path) {
  for (const std::string_view suffix :
       {durable::kRingSuffix, durable::kPlansSuffix, durable::kOutboxSuffix}) {
    if (path.ends_with(suffix)) return path.substr(0, path.size() - suffix.size());
  }
  return path;
}

Json CountersOf(const durable::DeadProcess& dead) {
  Json list = Json::array();
  for (const model::TracepointReport& report : dead.Reports()) {
    Json one = {{"id", report.id}};
    const Json status = Json::parse(model::AgentStatusToJson(report.status));
    one["counters"] = status.at("counters");
    list.push_back(std::move(one));
  }
  return list;
}

void ShowText(const GlobalOptions& global, const model::Snapshot& snapshot) {
  const Json json = Json::parse(model::SnapshotToJson(snapshot));
  const std::string text = IsLine(json) ? RenderLogLine(json, global.style)
                                        : RenderSnapshot(json, global.style, global.source_root);
  std::printf("%s\n", text.c_str());
}

// The exit code; kDone: the server has everything.
int Send(const GlobalOptions& global, const std::string& path, durable::DeadProcess& dead,
         Json& processes) {
  const auto sent = durable::Deliver(dead, global.server, global.key);
  if (!sent.ok()) {
    std::fprintf(stderr, "%s: not sent to %s: %s\n", Safe(path).c_str(),
                 Safe(global.server).c_str(), Safe(sent.status().ToString()).c_str());
    return sent.status().code() == Code::kUnavailable ? kCannotConnect : kRefused;
  }
  const model::AgentIdentity& identity = dead.identity();
  if (global.json) {
    processes.push_back({{"file", path + durable::kRingSuffix},
                         {"service", identity.service},
                         {"instance", identity.instance},
                         {"pid", identity.pid},
                         {"sent", *sent},
                         {"problems", dead.problems()}});
    return kDone;
  }
  std::printf("%llu of process %u of %s sent\n", static_cast<unsigned long long>(*sent),
              identity.pid, Safe(identity.service).c_str());
  for (const std::string& problem : dead.problems()) {
    std::fprintf(stderr, "%s\n", Safe(problem).c_str());
  }
  return kDone;
}

void Recover(const GlobalOptions& global, const RecoverOptions& options, const std::string& path,
             Found& found, Json& processes) {
  auto dead = durable::DeadProcess::Open(path, options.debug_path);
  if (!dead.ok()) {
    const bool lives = dead.status().code() == Code::kUnavailable;
    if (!lives) found.failed = true;
    std::fprintf(stderr, "%s: %s\n", Safe(path).c_str(), Safe(dead.status().ToString()).c_str());
    return;
  }
  found.any = true;
  if (options.send) {
    const int code = Send(global, path, **dead, processes);
    if (code != kDone) found.exit_code = code;
    if (code == kDone && options.remove) (*dead)->Remove();
    return;
  }
  Json snapshots = Json::array();
  uint64_t count = 0;
  while (auto snapshot = (*dead)->Next()) {
    ++count;
    if (global.json) {
      snapshots.push_back(Json::parse(model::SnapshotToJson(*snapshot)));
    } else {
      ShowText(global, *snapshot);
    }
  }
  found.snapshots += count;
  const model::AgentIdentity& identity = (*dead)->identity();
  if (global.json) {
    processes.push_back({{"file", path + durable::kRingSuffix},
                         {"service", identity.service},
                         {"instance", identity.instance},
                         {"pid", identity.pid},
                         {"snapshots", std::move(snapshots)},
                         {"tracepoints", CountersOf(**dead)},
                         {"problems", (*dead)->problems()}});
  } else {
    std::printf("%llu of process %u of %s\n", static_cast<unsigned long long>(count), identity.pid,
                Safe(identity.service).c_str());
  }
  for (const std::string& problem : (*dead)->problems()) {
    if (!global.json) std::fprintf(stderr, "%s\n", Safe(problem).c_str());
  }
  if (options.remove) (*dead)->Remove();
}

}  // namespace

int RunRecover(const GlobalOptions& global, const RecoverOptions& options) {
  struct stat info {};
  std::vector<std::string> paths{WithoutSuffix(options.path)};
  if (stat(options.path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
    auto listed = durable::ListRings(options.path);
    if (!listed.ok()) {
      std::fprintf(stderr, "%s\n", Safe(listed.status().ToString()).c_str());
      return kRefused;
    }
    paths = std::move(*listed);
  }
  Found found;
  Json processes = Json::array();
  for (const std::string& path : paths) Recover(global, options, path, found, processes);
  if (global.json) {
    std::printf("%s\n", Json{{"processes", std::move(processes)}}
                            .dump(-1, ' ', false, Json::error_handler_t::replace)
                            .c_str());
  } else if (!found.any && !found.failed) {
    std::printf("no dead process has left anything there\n");
  }
  if (found.exit_code != kDone) return found.exit_code;
  return found.failed ? kRefused : kDone;
}

}  // namespace stillframe::cli
