// Tracepoints: the desired sets.
#include "server/hub.h"

#include <algorithm>

#include "server/clock.h"
#include "server/crypto.h"

namespace stillframe::server {

Status Hub::Load() {
  SF_ASSIGN_OR_RETURN(Store::Tracepoints loaded, store_.LoadTracepoints());
  SF_ASSIGN_OR_RETURN(std::vector<StopOrder> stops, store_.LoadStops());
  const std::lock_guard lock(mutex_);
  loaded_ms_ = MonotonicMs();
  for (StopOrder& stop : stops) stops_.emplace(stop.id, std::move(stop));
  // Above everything an earlier run handed out: expiries count in memory only. So no agent takes a
  // set of this run for one that it has.
  revision_ = base_revision_ = std::max(loaded.revision + 1, static_cast<uint64_t>(WallMs()));
  // Likewise for events; microseconds, and below 2^53 for JavaScript.
  next_event_ = static_cast<uint64_t>(WallMs()) * 1'000;
  for (StoredTracepoint& tracepoint : loaded.list) {
    const std::string id = tracepoint.tracepoint.id;
    progress_.emplace(id, ReadProgress(tracepoint));
    tracepoints_.emplace(id, std::move(tracepoint));
  }
  return Status();
}

uint64_t Hub::RevisionOf(const std::string& service) const {
  const auto found = service_revisions_.find(service);
  return found == service_revisions_.end() ? base_revision_ : found->second;
}

void Hub::SetChanged(const std::string& service) {
  service_revisions_[service] = ++revision_;
  for (auto& [instance, agent] : agents_) {
    if (agent.identity.service == service) AnswerHeld(agent);
  }
}

namespace {

bool SameButLife(const model::TracepointSpec& before, model::TracepointSpec after) {
  after.limits.expires_in_ms = before.limits.expires_in_ms;
  return model::SpecToJson(before) == model::SpecToJson(after);
}

void Renew(StoredTracepoint& stored) {
  stored.expires_ms = WallMs() + static_cast<int64_t>(stored.tracepoint.spec.limits.expires_in_ms);
  stored.tracepoint.expires_at = model::FormatTime(stored.expires_ms * 1'000'000);
}

}  // namespace

Result<StoredTracepoint> Hub::Create(const std::string& service, const model::TracepointSpec& spec,
                                     const std::string& created_by) {
  const std::lock_guard change(change_mutex_);
  StoredTracepoint stored;
  stored.created_ms = WallMs();
  stored.tracepoint.id = "tp_" + RandomHex(8);
  stored.tracepoint.service = service;
  stored.tracepoint.created_at = model::FormatTime(stored.created_ms * 1'000'000);
  stored.tracepoint.created_by = created_by;
  stored.tracepoint.spec = spec;
  Renew(stored);
  Progress progress;
  uint64_t revision = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto count = std::count_if(
        tracepoints_.begin(), tracepoints_.end(),
        [&service](const auto& entry) { return entry.second.tracepoint.service == service; });
    if (static_cast<size_t>(count) >= kMaxTracepoints) {
      return Status(Code::kOverLimit, "service " + service + " has " +
                                          std::to_string(kMaxTracepoints) +
                                          " tracepoints already; delete some");
    }
    revision = revision_ + 1;
    progress = MakeProgress(stored);
    stored.progress = progress.ToJson();
  }
  SF_RETURN_IF_ERROR(store_.PutTracepoint(stored, revision));
  const std::lock_guard lock(mutex_);
  tracepoints_[stored.tracepoint.id] = stored;
  BeginProgress(stored, std::move(progress));
  SetChanged(service);
  EmitTracepoint(stored);
  return stored;
}

bool Hub::SeesTracepoint(const Principal& principal, const StoredTracepoint& stored) {
  const std::string& environment = stored.tracepoint.spec.selector.environment;
  return principal.SeesService(stored.tracepoint.service) &&
         (environment.empty() || principal.SeesEnvironment(environment));
}

std::optional<StoredTracepoint> Hub::Find(const std::string& id, const Principal& principal) {
  const std::lock_guard lock(mutex_);
  const auto found = tracepoints_.find(id);
  if (found == tracepoints_.end() || !SeesTracepoint(principal, found->second)) {
    return std::nullopt;
  }
  return found->second;
}

Result<Hub::Changed> Hub::Change(const std::string& id, const Principal& principal,
                                 const Edit& edit) {
  const std::lock_guard change(change_mutex_);
  auto found = Find(id, principal);
  if (!found) return Status(Code::kNotFound, "there is no tracepoint " + id);
  Changed changed;
  const model::TracepointSpec before = found->tracepoint.spec;
  changed.refusal = edit(*found);
  if (changed.refusal) return changed;
  // A longer life alone is no change: agents go on where they are.
  const bool anew = !SameButLife(before, found->tracepoint.spec);
  if (anew) ++found->tracepoint.revision;
  Renew(*found);
  uint64_t revision = 0;
  Progress progress;
  {
    const std::lock_guard lock(mutex_);
    revision = revision_ + 1;
    progress = anew ? MakeProgress(*found) : progress_.at(id);
    found->progress = progress.ToJson();
  }
  SF_RETURN_IF_ERROR(store_.PutTracepoint(*found, revision));
  const std::lock_guard lock(mutex_);
  tracepoints_[id] = *found;
  if (anew) BeginProgress(*found, std::move(progress));
  expired_.erase(id);
  SetChanged(found->tracepoint.service);
  EmitTracepoint(*found);
  changed.tracepoint = std::move(*found);
  return changed;
}

Status Hub::Remove(const std::string& id) {
  const std::lock_guard change(change_mutex_);
  uint64_t revision = 0;
  {
    const std::lock_guard lock(mutex_);
    if (tracepoints_.count(id) == 0) {
      return Status(Code::kNotFound, "there is no tracepoint " + id);
    }
    revision = revision_ + 1;
  }
  SF_RETURN_IF_ERROR(store_.DeleteTracepoints({id}, revision));
  const std::lock_guard lock(mutex_);
  const auto found = tracepoints_.find(id);
  const std::string service = found->second.tracepoint.service;
  const std::string environment = found->second.tracepoint.spec.selector.environment;
  tracepoints_.erase(found);
  progress_.erase(id);
  expired_.erase(id);
  for (auto& [instance, agent] : agents_) agent.reports.erase(id);
  SetChanged(service);
  Emit("tracepoint", {0, service, environment, environment.empty(), ""},
       "{\"id\":\"" + id + "\",\"deleted\":true}");
  return Status();
}

std::vector<StoredTracepoint> Hub::List(const std::string& service, const Principal& principal) {
  const std::lock_guard lock(mutex_);
  std::vector<StoredTracepoint> list;
  for (const auto& [id, stored] : tracepoints_) {
    if (stored.tracepoint.service == service && SeesTracepoint(principal, stored)) {
      list.push_back(stored);
    }
  }
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) {
    return std::tie(b.created_ms, b.tracepoint.id) < std::tie(a.created_ms, a.tracepoint.id);
  });
  return list;
}

bool Hub::IsExpired(const StoredTracepoint& stored) {
  return stored.expires_ms != 0 && stored.expires_ms <= WallMs();
}

bool Hub::Wants(const StoredTracepoint& stored, const model::AgentIdentity& agent) {
  return stored.tracepoint.service == agent.service &&
         model::Selects(stored.tracepoint.spec.selector, agent);
}

std::string Hub::Describe(const StoredTracepoint& tracepoint, const Principal& principal) {
  const std::lock_guard lock(mutex_);
  return DescribeLocked(tracepoint, &principal);
}

model::AgentStatus Hub::StatusOf(const StoredTracepoint& stored, const Agent& agent) const {
  const auto found = agent.reports.find(stored.tracepoint.id);
  model::AgentStatus status;
  // A report about an earlier revision says nothing of this one.
  if (found != agent.reports.end() && found->second.revision >= stored.tracepoint.revision) {
    status = found->second;
  }
  status.instance = agent.identity.instance;
  const auto progress = progress_.find(stored.tracepoint.id);
  if (progress != progress_.end() && !IsOffered(stored, progress->second, agent.identity)) {
    ShowCanary(progress->second, status);
  }
  if (IsExpired(stored)) {
    status.state = model::State::kExpired;
    status.reason = status.message = "";
  }
  return status;
}

// Without a principal: no agents, for those who may see the tracepoint but not every agent.
std::string Hub::DescribeLocked(const StoredTracepoint& stored, const Principal* principal) const {
  std::vector<model::AgentStatus> statuses;
  for (const auto& [instance, agent] : agents_) {
    if (principal == nullptr || !Wants(stored, agent.identity)) continue;
    if (!principal->SeesEnvironment(agent.identity.environment)) continue;
    statuses.push_back(StatusOf(stored, agent));
  }
  return TracepointJson(stored, statuses);
}

std::string Hub::TracepointJson(const StoredTracepoint& stored,
                                const std::vector<model::AgentStatus>& statuses) const {
  model::Tracepoint shown = stored.tracepoint;
  shown.canary = CanaryOf(stored);
  return model::TracepointToJson(shown, statuses);
}

void Hub::EmitTracepoint(const StoredTracepoint& stored) {
  const std::string& environment = stored.tracepoint.spec.selector.environment;
  Emit("tracepoint", {0, stored.tracepoint.service, environment, environment.empty(), ""},
       DescribeLocked(stored, nullptr));
}

// Expired tracepoints leave the agents at once and are forgotten after kExpiredStayMs.
void Hub::ExpireTracepoints(int64_t now_ms) {
  for (auto it = tracepoints_.begin(); it != tracepoints_.end();) {
    const auto& [id, stored] = *it;
    if (stored.expires_ms == 0 || stored.expires_ms > now_ms) {
      ++it;
      continue;
    }
    if (!expired_[id]) {
      expired_[id] = true;
      SetChanged(stored.tracepoint.service);
      EmitTracepoint(stored);
    }
    if (stored.expires_ms > now_ms - kExpiredStayMs) {
      ++it;
      continue;
    }
    expired_.erase(id);
    progress_.erase(id);
    it = tracepoints_.erase(it);
  }
}

}  // namespace stillframe::server
