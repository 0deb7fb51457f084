// The kill switch.
#include <algorithm>

#include "server/clock.h"
#include "server/crypto.h"
#include "server/hub.h"

namespace stillframe::server {
namespace {

constexpr size_t kMaxStops = 10'000;

}  // namespace

std::optional<std::string> Hub::StopFor(const model::AgentIdentity& agent) const {
  for (const auto& [id, stop] : stops_) {
    if (stop.Covers(agent)) return stop.Describe();
  }
  return std::nullopt;
}

// Agents that are away just now have to hear of it as well, so every service's set is a new one.
void Hub::SetAllChanged() {
  base_revision_ = ++revision_;
  service_revisions_.clear();
  for (auto& [instance, agent] : agents_) AnswerHeld(agent);
}

std::optional<model::AgentIdentity> Hub::FindAgent(const std::string& instance) {
  const std::lock_guard lock(mutex_);
  const auto found = agents_.find(instance);
  if (found == agents_.end()) return std::nullopt;
  return found->second.identity;
}

Result<Hub::StopResult> Hub::AddStop(StopOrder stop) {
  const std::lock_guard change(change_mutex_);
  uint64_t revision = 0;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, known] : stops_) {
      if (known.SameTarget(stop)) return StopResult{known, false};
    }
    if (stops_.size() >= kMaxStops) return Status(Code::kOverLimit, "too many stops stand already");
    stop.id = "st_" + RandomHex(8);
    stop.created_ms = WallMs();
    stops_[stop.id] = stop;
    // In force before it is durable: whoever stops something wants it stopped even when the disk
    // is full. The answer then says that a restart would forget it.
    SetAllChanged();
    revision = revision_;
  }
  if (Status status = store_.PutStop(stop, revision); !status.ok()) {
    return status.WithContext("stopped now, but not beyond the server's next start");
  }
  return StopResult{std::move(stop), true};
}

Status Hub::RemoveStop(const std::string& id) {
  const std::lock_guard change(change_mutex_);
  uint64_t revision = 0;
  {
    const std::lock_guard lock(mutex_);
    if (!stops_.contains(id)) return Status(Code::kNotFound, "there is no stop " + id);
    revision = revision_ + 1;
  }
  SF_RETURN_IF_ERROR(store_.DeleteStop(id, revision));
  const std::lock_guard lock(mutex_);
  stops_.erase(id);
  SetAllChanged();
  return Status();
}

std::vector<StopOrder> Hub::Stops(const Principal& principal) {
  const std::lock_guard lock(mutex_);
  std::vector<StopOrder> list;
  for (const auto& [id, stop] : stops_) {
    if (stop.SeenBy(principal)) list.push_back(stop);
  }
  std::sort(list.begin(), list.end(), [](const StopOrder& a, const StopOrder& b) {
    return std::tie(b.created_ms, b.id) < std::tie(a.created_ms, a.id);
  });
  return list;
}

}  // namespace stillframe::server
