// How far each tracepoint is in the fleet: the shares of its maxHits, and its canary.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/log.h"
#include "server/clock.h"
#include "server/hub.h"

namespace stillframe::server {
namespace {

constexpr int64_t kAliveMs = 5'000;  // whose process is tried was heard of within this

bool IsLeased(const StoredTracepoint& stored) {
  return stored.tracepoint.spec.limits.max_hits != 0 && !stored.tracepoint.spec.dry_run;
}

}  // namespace

std::string Hub::Progress::ToJson() const {
  return nlohmann::json{{"leases", book.ToJson()}, {"canary", canary == Canary::kDone}}.dump();
}

Hub::Progress Hub::MakeProgress(const StoredTracepoint& stored) const {
  Progress progress;
  progress.book = LeaseBook(stored.tracepoint.spec.limits.max_hits);
  if (stored.tracepoint.spec.canary_ms == 0) progress.canary = Canary::kDone;
  ChooseCanary(stored, progress);
  for (const auto& [instance, agent] : agents_) {
    if (IsLeased(stored) && IsOffered(stored, progress, agent.identity)) {
      progress.book.Join(instance);
    }
  }
  progress.book.Distribute();
  return progress;
}

// The tracepoint with its shares is durable.
void Hub::BeginProgress(const StoredTracepoint& stored, Progress progress) {
  for (const std::string& instance : progress.book.instances()) {
    progress.told[instance] = progress.book.LeaseOf(instance);
  }
  progress_[stored.tracepoint.id] = std::move(progress);
}

Hub::Progress Hub::ReadProgress(const StoredTracepoint& stored) {
  Progress progress;
  progress.book = LeaseBook(stored.tracepoint.spec.limits.max_hits);
  const auto json = nlohmann::json::parse(stored.progress, nullptr, false);
  const bool readable = json.is_object() && json.contains("leases") && json["leases"].is_string();
  if (readable) progress.book.FromJson(json["leases"].get<std::string>());
  const bool done = readable && json.contains("canary") && json["canary"] == true;
  if (done || stored.tracepoint.spec.canary_ms == 0) progress.canary = Canary::kDone;
  for (const std::string& instance : progress.book.instances()) {
    progress.told[instance] = progress.book.LeaseOf(instance);
  }
  return progress;
}

bool Hub::IsOffered(const StoredTracepoint& stored, const Progress& progress,
                    const model::AgentIdentity& agent) {
  if (!Wants(stored, agent)) return false;
  return progress.canary == Canary::kDone ||
         (progress.canary == Canary::kRunning && progress.canary_instance == agent.instance);
}

// ---- Leases ----

// Tells everyone whose share is another now. Also who has none: that all is over. Who came while
// the shares were saved has to wait for the next round, which gives them theirs.
void Hub::TellLeases(const StoredTracepoint& stored, Progress& progress) {
  for (auto& [instance, agent] : agents_) {
    if (!IsOffered(stored, progress, agent.identity)) continue;
    const model::Lease lease = progress.book.LeaseOf(instance);
    if (progress.again && !lease.over && !progress.told.contains(instance)) continue;
    const auto [known, is_new] = progress.told.try_emplace(instance, lease);
    if (!is_new && known->second == lease) continue;
    known->second = lease;
    Touch(agent);
  }
}

void Hub::Touch(Agent& agent) {
  agent.revision = ++revision_;
  const bool waits = agent.held && agent.held->waits_for_leases && WaitsForLease(agent);
  if (!waits) AnswerHeld(agent);
}

bool Hub::WaitsForLease(const Agent& agent) const {
  for (const auto& [id, stored] : tracepoints_) {
    if (!IsLeased(stored) || IsExpired(stored)) continue;
    const Progress& progress = progress_.at(id);
    if (progress.saving && IsOffered(stored, progress, agent.identity) &&
        !progress.told.contains(agent.identity.instance)) {
      return true;
    }
  }
  return false;
}

void Hub::DistributeLeases(const std::string& id) {
  Progress& progress = progress_.at(id);
  if (progress.saving) {
    progress.again = true;
    return;
  }
  if (!progress.book.Distribute()) return TellLeases(tracepoints_.at(id), progress);
  progress.saving = true;
  // Durable before anyone hears: a restart must not give it away again.
  const Status queued = store_.SaveProgress(
      id, progress.ToJson(), [this, id](const Status& status) { LeasesSaved(id, status); });
  if (!queued.ok()) progress.saving = false;
}

void Hub::LeasesSaved(const std::string& id, const Status& status) {
  const std::lock_guard lock(mutex_);
  const auto found = progress_.find(id);
  const auto stored = tracepoints_.find(id);
  if (found == progress_.end() || stored == tracepoints_.end()) return;
  Progress& progress = found->second;
  progress.saving = false;
  if (!status.ok()) {
    progress.again = false;
    return LogError("leases of " + id + ": " + status.ToString());
  }
  TellLeases(stored->second, progress);
  if (std::exchange(progress.again, false)) DistributeLeases(id);
}

// What an agent's poll means for the shares. True: it has to wait for one that is being saved.
bool Hub::UpdateLeases(Agent& agent, bool leaving) {
  const std::string& instance = agent.identity.instance;
  for (auto& [id, stored] : tracepoints_) {
    if (!IsLeased(stored) || IsExpired(stored)) continue;
    Progress& progress = progress_.at(id);
    if (!IsOffered(stored, progress, agent.identity)) continue;
    const bool joined = !progress.told.contains(instance) && progress.book.Join(instance);
    const auto report = agent.reports.find(id);
    const bool speaks = report != agent.reports.end() && report->second.lease &&
                        report->second.revision == stored.tracepoint.revision;
    const bool news = speaks && progress.book.Report(instance, *report->second.lease);
    const bool over = progress.book.IsOver();
    if (leaving) progress.book.Leave(instance);
    if (joined || news || leaving || over) DistributeLeases(id);
  }
  return !leaving && WaitsForLease(agent);
}

void Hub::LoseAgent(const std::string& instance) {
  for (auto& [id, progress] : progress_) {
    const auto names = progress.book.instances();
    if (std::find(names.begin(), names.end(), instance) == names.end()) continue;
    progress.book.Lose(instance);
    DistributeLeases(id);
  }
}

// Agents of before the server's start that did not come back.
void Hub::LoseUnheard(int64_t now_ms) {
  if (loaded_ms_ == 0 || now_ms - loaded_ms_ < kAgentGoneMs) return;
  loaded_ms_ = 0;
  std::set<std::string> absent;
  for (const auto& [id, progress] : progress_) {
    for (const std::string& instance : progress.book.instances()) {
      if (!agents_.contains(instance)) absent.insert(instance);
    }
  }
  for (const std::string& instance : absent) LoseAgent(instance);
}

bool Hub::IsLost(const std::string& tracepoint, const std::string& instance) {
  const std::lock_guard lock(mutex_);
  const auto found = progress_.find(tracepoint);
  return found != progress_.end() && found->second.book.IsLost(instance);
}

// ---- Canaries ----

void Hub::ChooseCanary(const StoredTracepoint& stored, Progress& progress) const {
  if (progress.canary != Canary::kWaiting) return;
  for (const auto& [instance, agent] : agents_) {
    const bool alive = !agent.left && (agent.held || MonotonicMs() - agent.seen_ms < kAliveMs);
    if (!alive || !Wants(stored, agent.identity) || StopFor(agent.identity)) continue;
    progress.canary = Canary::kRunning;
    progress.canary_instance = instance;
    progress.canary_since_ms = 0;
    return;
  }
}

void Hub::TickCanaries(int64_t now_ms) {
  for (auto& [id, progress] : progress_) {
    const StoredTracepoint& stored = tracepoints_.at(id);
    if (IsExpired(stored)) continue;
    const auto before = std::pair(progress.canary, progress.canary_instance);
    ChooseCanary(stored, progress);
    if (progress.canary == Canary::kRunning) TickCanary(stored, progress, now_ms);
    if (before == std::pair(progress.canary, progress.canary_instance)) continue;
    if (progress.canary == Canary::kDone) {
      (void)store_.SaveProgress(id, progress.ToJson(), [](const Status&) {});
    }
    SetChanged(stored.tracepoint.service);
    EmitTracepoint(stored);
  }
}

void Hub::TickCanary(const StoredTracepoint& stored, Progress& progress, int64_t now_ms) {
  const auto found = agents_.find(progress.canary_instance);
  if (found == agents_.end()) {
    // It went without a word: perhaps because of the tracepoint.
    progress.canary = Canary::kFailed;
    return;
  }
  const Agent& agent = found->second;
  if (agent.left) {  // in order, so nothing is known
    progress.canary = Canary::kWaiting;
    return ChooseCanary(stored, progress);
  }
  const auto report = agent.reports.find(stored.tracepoint.id);
  if (report == agent.reports.end() || report->second.revision < stored.tracepoint.revision) return;
  using model::State;
  const State state = report->second.state;
  if (state == State::kReceived || state == State::kBlocked) return;
  if (progress.canary_since_ms == 0) progress.canary_since_ms = now_ms;
  const auto length_ms = static_cast<int64_t>(stored.tracepoint.spec.canary_ms);
  const bool passed = now_ms - progress.canary_since_ms >= length_ms;
  // It waits for us at this moment, so it lives. Where it cannot be armed, it does no harm.
  if ((passed && agent.held) || state == State::kError) progress.canary = Canary::kDone;
}

std::optional<model::CanaryStatus> Hub::CanaryOf(const StoredTracepoint& stored) const {
  if (stored.tracepoint.spec.canary_ms == 0) return std::nullopt;
  constexpr const char* kNames[] = {"WAITING", "RUNNING", "DONE", "FAILED"};
  const auto found = progress_.find(stored.tracepoint.id);
  if (found == progress_.end()) return std::nullopt;
  const Progress& progress = found->second;
  model::CanaryStatus status;
  status.state = kNames[static_cast<size_t>(progress.canary)];
  status.instance = progress.canary_instance;
  if (progress.canary == Canary::kRunning && progress.canary_since_ms != 0) {
    const int64_t left_ms = progress.canary_since_ms +
                            static_cast<int64_t>(stored.tracepoint.spec.canary_ms) - MonotonicMs();
    status.until = model::FormatTime((WallMs() + left_ms) * 1'000'000);
  }
  return status;
}

// What an agent is shown as while it has to wait for the canary.
void Hub::ShowCanary(const Progress& progress, model::AgentStatus& status) {
  status.reason = CodeName(Code::kCanary);
  if (progress.canary == Canary::kFailed) {
    status.state = model::State::kBlocked;
    status.message = "the canary's process, instance " + progress.canary_instance +
                     ", went without a word; a change of the tracepoint tries again";
  } else {
    status.state = model::State::kPending;
    status.message = progress.canary_instance.empty()
                         ? "waits for an instance to try it on"
                         : "first on instance " + progress.canary_instance;
  }
}

}  // namespace stillframe::server
