#include "agent/recovery.h"

#include <algorithm>

#include "agent/durable/delivery.h"
#include "agent/durable/files.h"
#include "agent/dw_stubs/dw_stubs.h"
#include "agent/loader_guard.h"
#include "base/log.h"

namespace stillframe::agent {
namespace {

constexpr uint64_t kAtOnceBytes = 1u << 20;
constexpr uint32_t kAtOnce = 64;

}  // namespace

void Recovery::List() {
  listed_ = true;
  if (options_.ring_folder.empty()) return;
  Status status = durable::CheckFolder(options_.ring_folder);
  if (status.ok()) {
    auto paths = durable::ListRings(options_.ring_folder);
    status = paths.status();
    if (paths.ok()) paths_ = std::move(*paths);
  }
  if (!status.ok()) LogError("STILLFRAME_RING_DIR: " + status.ToString());
  std::reverse(paths_.begin(), paths_.end());
  if (paths_.empty()) return;
  const LoaderGuard guard;
  if (const Status dw = LoadDw(); !dw.ok()) LogInfo("recovering without libdw: " + dw.ToString());
}

void Recovery::OpenNext() {
  const std::string path = std::move(paths_.back());
  paths_.pop_back();
  auto dead = durable::DeadProcess::Open(path, options_.debug_path);
  if (!dead.ok()) {
    // Others of the service live, and another agent may be faster.
    const Code code = dead.status().code();
    if (code != Code::kUnavailable && code != Code::kNotFound) {
      LogError("what " + path + " holds is not recovered: " + dead.status().ToString());
    }
    return;
  }
  if ((*dead)->identity().service != options_.service) return;
  dead_ = std::move(*dead);
  taken_ = false;
  count_ = 0;
}

void Recovery::Step(Link& link) {
  if (!listed_) List();
  if (dead_ == nullptr && !paths_.empty()) OpenNext();
  if (dead_ == nullptr) return;
  for (uint32_t i = 0; i < kAtOnce && !taken_ && outbox_.bytes() < kAtOnceBytes; ++i) {
    auto snapshot = dead_->Next();
    taken_ = !snapshot.has_value();
    if (snapshot && outbox_.Add(*snapshot)) ++count_;
  }
  link.SendFor(dead_->identity(), outbox_);
  if (!taken_ || !outbox_.empty()) return;
  const std::vector<model::TracepointReport> reports = durable::FinalReports(*dead_, outbox_);
  if (link.TellFor(dead_->identity(), reports)) Finish(reports);
}

void Recovery::Finish(const std::vector<model::TracepointReport>& reports) {
  const std::string who =
      "process " + std::to_string(dead_->identity().pid) + " (" + dead_->identity().instance + ")";
  for (const std::string& problem : dead_->problems()) LogError(who + ": " + problem);
  LogInfo(std::to_string(count_) + " snapshots of the dead " + who + " were recovered");
  for (const model::TracepointReport& report : reports) {
    LogInfo("recovered tracepoint " + report.id + ": final " +
            model::AgentStatusToJson(report.status));
  }
  dead_->Remove();
  dead_.reset();
  outbox_ = transport::Outbox(kLimits);  // the next counts from 0
}

}  // namespace stillframe::agent
