// Agents: polls, reports, questions.
#include <algorithm>

#include "server/clock.h"
#include "server/crypto.h"
#include "server/hub.h"
#include "server/wire.h"

namespace stillframe::server {
namespace {

constexpr size_t kMaxAgents = 20'000;
constexpr int64_t kLeaseWaitMs = 2'000;

Response Protobuf(std::string body) {
  Response response;
  response.content_type = "application/x-protobuf";
  response.body = std::move(body);
  return response;
}

Response ErrorResponse(int status, const std::string& code, const std::string& message) {
  Response response;
  response.status = status;
  response.body = model::ErrorToJson({code, message, ""});
  return response;
}

Response ResponseOf(model::Answer& answer) {
  if (!answer.error_code.empty()) {
    const bool absent = answer.error_code.ends_with("NOT_FOUND");
    return ErrorResponse(absent ? 404 : 400, answer.error_code, answer.error_message);
  }
  Response response;
  response.body = std::move(answer.json);
  return response;
}

}  // namespace

std::vector<Hub::ServiceView> Hub::Services(const Principal& principal) {
  const std::lock_guard lock(mutex_);
  std::map<std::string, ServiceView> views;
  for (const auto& [instance, agent] : agents_) {
    if (principal.SeesEnvironment(agent.identity.environment)) {
      ++views[agent.identity.service].agents;
    }
  }
  for (const auto& [id, stored] : tracepoints_) {
    if (SeesTracepoint(principal, stored)) ++views[stored.tracepoint.service].tracepoints;
  }
  std::vector<ServiceView> list;
  for (auto& [name, view] : views) {
    if (!principal.SeesService(name)) continue;
    view.name = name;
    list.push_back(view);
  }
  return list;
}

std::vector<AgentView> Hub::Agents(const std::string& service, const Principal& principal) {
  const std::lock_guard lock(mutex_);
  std::vector<AgentView> list;
  for (const auto& [instance, agent] : agents_) {
    if (agent.identity.service != service) continue;
    if (!principal.SeesEnvironment(agent.identity.environment)) continue;
    list.push_back({agent.identity, agent.seen_wall_ms, StopFor(agent.identity).value_or("")});
  }
  return list;
}

std::string Hub::EnvironmentOf(const std::string& service, const std::string& instance) {
  const std::lock_guard lock(mutex_);
  const auto found = agents_.find(instance);
  if (found == agents_.end() || found->second.identity.service != service) return "";
  return found->second.identity.environment;
}

std::string Hub::AgentJson(const Agent& agent) const {
  return model::AgentToJson(agent.identity, agent.seen_wall_ms,
                            StopFor(agent.identity).value_or(""));
}

uint64_t Hub::RevisionFor(const Agent& agent) const {
  return std::max(RevisionOf(agent.identity.service), agent.revision);
}

model::PollResponse Hub::ResponseFor(Agent& agent, uint64_t known_revision) {
  model::PollResponse response;
  response.queries = std::exchange(agent.queries, {});
  const uint64_t revision = RevisionFor(agent);
  response.desired.revision = revision;
  response.unchanged = revision == known_revision;
  if (response.unchanged) return response;
  response.desired.stop = StopFor(agent.identity);
  const int64_t now_ms = WallMs();
  for (const auto& [id, stored] : tracepoints_) {
    const Progress& progress = progress_.at(id);
    if (!IsOffered(stored, progress, agent.identity)) continue;
    if (stored.expires_ms != 0 && stored.expires_ms <= now_ms) continue;
    std::optional<model::Lease> lease;
    if (stored.tracepoint.spec.limits.max_hits != 0 && !stored.tracepoint.spec.dry_run) {
      const auto told = progress.told.find(agent.identity.instance);
      lease = told != progress.told.end() ? told->second : model::Lease();
    }
    response.desired.tracepoints.push_back({id, stored.tracepoint.revision,
                                            static_cast<uint64_t>(stored.expires_ms),
                                            stored.tracepoint.spec, lease});
  }
  return response;
}

void Hub::AnswerHeld(Agent& agent) {
  if (!agent.held) return;
  const Held held = *std::exchange(agent.held, std::nullopt);
  held.exchange->Send(Protobuf(SerializePollResponse(ResponseFor(agent, held.known_revision))));
}

void Hub::TakeReports(Agent& agent, std::vector<model::TracepointReport> reports) {
  std::map<std::string, model::AgentStatus> now;
  for (model::TracepointReport& report : reports) {
    const auto known = tracepoints_.find(report.id);
    if (known == tracepoints_.end() || !Wants(known->second, agent.identity)) continue;
    report.status.instance = agent.identity.instance;
    now[report.id] = std::move(report.status);
  }
  // What an agent counted until a tracepoint expired stays to be read.
  for (auto& [id, status] : agent.reports) {
    const auto known = tracepoints_.find(id);
    if (known == tracepoints_.end() || !IsExpired(known->second) || now.contains(id)) continue;
    status.state = model::State::kExpired;
    now[id] = status;
  }
  std::swap(agent.reports, now);
  for (const auto& [id, status] : agent.reports) {
    const auto before = now.find(id);
    if (before != now.end() && before->second.state == status.state &&
        before->second.reason == status.reason && before->second.revision == status.revision) {
      continue;
    }
    // Only this agent's status: with a thousand agents, a thousand statuses in each of a thousand
    // events would be too much.
    const StoredTracepoint& stored = tracepoints_.at(id);
    Emit("tracepoint", {0, agent.identity.service, agent.identity.environment, false, ""},
         TracepointJson(stored, {StatusOf(stored, agent)}));
  }
}

void Hub::TakeAnswers(const std::string& instance, std::vector<model::Answer> answers) {
  for (model::Answer& answer : answers) {
    const auto question = questions_.find(answer.query_id);
    if (question == questions_.end() || question->second.instance != instance) continue;
    question->second.done(ResponseOf(answer));
    questions_.erase(question);
  }
}

void Hub::Poll(model::PollRequest request, const std::string& key_id,
               std::shared_ptr<Exchange> exchange) {
  const std::string instance = request.identity.instance;
  {
    const std::lock_guard lock(mutex_);
    const auto found = agents_.find(instance);
    const bool is_new = found == agents_.end();
    if (is_new && agents_.size() >= kMaxAgents) {
      return exchange->Send(ErrorResponse(429, "OVER_LIMIT", "too many agents"));
    }
    if (!is_new && found->second.identity.service != request.identity.service) {
      return exchange->Send(ErrorResponse(400, "INVALID_ARGUMENT", "the instance changed service"));
    }
    Agent& agent = agents_[instance];
    agent.identity = std::move(request.identity);
    agent.seen_ms = MonotonicMs();
    agent.seen_wall_ms = WallMs();
    if (is_new) {
      Emit("agent", {0, agent.identity.service, agent.identity.environment, false, ""},
           AgentJson(agent));
    }
    TakeReports(agent, std::move(request.reports));
    TakeAnswers(instance, std::move(request.answers));
    agent.left = request.leaving;
    // A second poll of the same agent takes the place of the first, whose connection is dead.
    AnswerHeld(agent);
    const bool waits = UpdateLeases(agent, request.leaving) && !draining_;
    // The first set that an agent gets has its leases: it may be a batch job that runs only once.
    const int64_t hold_ms = waits ? kLeaseWaitMs : std::min<int64_t>(request.hold_ms, kMaxHoldMs);
    const bool news = RevisionFor(agent) != request.known_revision || !agent.queries.empty();
    if (!waits && (news || hold_ms == 0 || draining_)) {
      return exchange->Send(
          Protobuf(SerializePollResponse(ResponseFor(agent, request.known_revision))));
    }
    agent.held = Held{exchange, agent.seen_ms + hold_ms, request.known_revision, key_id, waits};
  }
  // Not under the lock: the callback may run at once.
  exchange->OnClosed([this, instance, raw = exchange.get()] { DropHeld(instance, raw); });
}

// The agent has hung up: it gets no question, and is gone unless it comes back.
void Hub::DropHeld(const std::string& instance, const Exchange* exchange) {
  const std::lock_guard lock(mutex_);
  const auto found = agents_.find(instance);
  if (found == agents_.end() || !found->second.held) return;
  if (found->second.held->exchange.get() != exchange) return;
  found->second.held.reset();
  found->second.seen_ms = MonotonicMs();
}

void Hub::Ask(const std::string& service, const Principal& principal, model::Query query,
              std::function<void(Response)> done) {
  const std::lock_guard lock(mutex_);
  Agent* chosen = nullptr;
  for (auto& [instance, agent] : agents_) {
    if (agent.identity.service != service) continue;
    if (!principal.SeesEnvironment(agent.identity.environment)) continue;
    if (chosen == nullptr || agent.seen_ms > chosen->seen_ms) chosen = &agent;
    if (agent.held) {
      chosen = &agent;  // answers soonest
      break;
    }
  }
  if (chosen == nullptr || draining_) {
    return done(
        ErrorResponse(404, "NOT_FOUND", "no agent of service " + service + " is connected"));
  }
  if (chosen->queries.size() >= 100) {
    return done(ErrorResponse(429, "OVER_LIMIT", "too many questions wait for this agent"));
  }
  query.id = RandomHex(8);
  questions_[query.id] = {std::move(done), MonotonicMs() + kQueryTimeoutMs,
                          chosen->identity.instance};
  chosen->queries.push_back(std::move(query));
  AnswerHeld(*chosen);
}

void Hub::TickAgents(int64_t now_ms) {
  for (auto it = agents_.begin(); it != agents_.end();) {
    Agent& agent = it->second;
    if (agent.held && agent.held->deadline_ms <= now_ms) {
      agent.seen_ms = now_ms;
      AnswerHeld(agent);
    }
    if (agent.held || now_ms - agent.seen_ms <= kAgentGoneMs) {
      ++it;
      continue;
    }
    std::string json = AgentJson(agent);
    json.insert(1, "\"gone\":true,");
    Emit("agent", {0, agent.identity.service, agent.identity.environment, false, ""}, json);
    const std::string instance = it->first;
    it = agents_.erase(it);
    LoseAgent(instance);
  }
}

void Hub::TickQuestions(int64_t now_ms) {
  for (auto it = questions_.begin(); it != questions_.end();) {
    if (it->second.deadline_ms > now_ms) {
      ++it;
      continue;
    }
    it->second.done(ErrorResponse(504, "AGENT_TIMEOUT", "the agent has not answered in 5 s"));
    it = questions_.erase(it);
  }
}

// A revoked key ends what it has open.
void Hub::CheckKeys(int64_t now_ms) {
  if (!key_valid_ || now_ms - keys_checked_ms_ < 250) return;
  keys_checked_ms_ = now_ms;
  for (auto& [instance, agent] : agents_) {
    if (!agent.held || key_valid_(agent.held->key_id)) continue;
    agent.held->exchange->Send(ErrorResponse(401, "UNAUTHORIZED", "the API key was revoked"));
    agent.held.reset();
  }
  std::erase_if(subscribers_, [this](const Subscriber& subscriber) {
    if (key_valid_(subscriber.principal.key_id)) return false;
    subscriber.exchange->EndStream();
    return true;
  });
}

}  // namespace stillframe::server
