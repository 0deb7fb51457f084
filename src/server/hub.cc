#include "server/hub.h"

#include <algorithm>
#include <charconv>

#include "server/clock.h"
#include "server/crypto.h"
#include "server/wire.h"

namespace stillframe::server {
namespace {

constexpr size_t kMaxEvents = 2'000;
constexpr size_t kMaxSubscribers = 1'000;
constexpr size_t kMaxAgents = 20'000;
constexpr int64_t kHeartbeatMs = 10'000;

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

}  // namespace

Status Hub::Load() {
  SF_ASSIGN_OR_RETURN(Store::Tracepoints loaded, store_.LoadTracepoints());
  const std::lock_guard lock(mutex_);
  revision_ = base_revision_ = loaded.revision;
  for (StoredTracepoint& tracepoint : loaded.list) {
    const std::string id = tracepoint.tracepoint.id;
    tracepoints_.emplace(id, std::move(tracepoint));
  }
  return Status();
}

uint64_t Hub::RevisionOf(const std::string& service) const {
  const auto found = service_revisions_.find(service);
  return found == service_revisions_.end() ? base_revision_ : found->second;
}

void Hub::Changed(const std::string& service) {
  service_revisions_[service] = revision_;
  for (auto& [instance, agent] : agents_) {
    if (agent.identity.service == service) AnswerHeld(agent);
  }
}

Result<StoredTracepoint> Hub::Create(const std::string& service, const model::TracepointSpec& spec,
                                     const std::string& created_by) {
  StoredTracepoint stored;
  stored.created_ms = WallMs();
  stored.expires_ms = stored.created_ms + static_cast<int64_t>(spec.limits.expires_in_ms);
  stored.tracepoint.id = "tp_" + RandomHex(8);
  stored.tracepoint.service = service;
  stored.tracepoint.created_at = model::FormatTime(stored.created_ms * 1'000'000);
  stored.tracepoint.expires_at = model::FormatTime(stored.expires_ms * 1'000'000);
  stored.tracepoint.created_by = created_by;
  stored.tracepoint.spec = spec;
  uint64_t revision = 0;
  {
    const std::lock_guard lock(mutex_);
    revision = ++revision_;
  }
  SF_RETURN_IF_ERROR(store_.PutTracepoint(stored, revision));
  const std::lock_guard lock(mutex_);
  tracepoints_[stored.tracepoint.id] = stored;
  Changed(service);
  Emit("tracepoint", service, spec.selector.environment, DescribeLocked(stored));
  return stored;
}

std::optional<StoredTracepoint> Hub::Find(const std::string& id, const Principal& principal) {
  const std::lock_guard lock(mutex_);
  const auto found = tracepoints_.find(id);
  if (found == tracepoints_.end() || !principal.SeesService(found->second.tracepoint.service)) {
    return std::nullopt;
  }
  return found->second;
}

Result<StoredTracepoint> Hub::Change(const StoredTracepoint& changed) {
  StoredTracepoint stored = changed;
  ++stored.tracepoint.revision;
  stored.expires_ms = WallMs() + static_cast<int64_t>(stored.tracepoint.spec.limits.expires_in_ms);
  stored.tracepoint.expires_at = model::FormatTime(stored.expires_ms * 1'000'000);
  uint64_t revision = 0;
  {
    const std::lock_guard lock(mutex_);
    revision = ++revision_;
  }
  SF_RETURN_IF_ERROR(store_.PutTracepoint(stored, revision));
  const std::lock_guard lock(mutex_);
  tracepoints_[stored.tracepoint.id] = stored;
  expired_.erase(stored.tracepoint.id);
  Changed(stored.tracepoint.service);
  Emit("tracepoint", stored.tracepoint.service, "", DescribeLocked(stored));
  return stored;
}

Status Hub::Remove(const std::string& id) {
  uint64_t revision = 0;
  {
    const std::lock_guard lock(mutex_);
    revision = ++revision_;
  }
  SF_RETURN_IF_ERROR(store_.DeleteTracepoints({id}, revision));
  const std::lock_guard lock(mutex_);
  const auto found = tracepoints_.find(id);
  if (found == tracepoints_.end()) return Status();
  const std::string service = found->second.tracepoint.service;
  tracepoints_.erase(found);
  expired_.erase(id);
  for (auto& [instance, agent] : agents_) agent.reports.erase(id);
  Changed(service);
  Emit("tracepoint", service, "", "{\"id\":\"" + id + "\",\"deleted\":true}");
  return Status();
}

std::vector<StoredTracepoint> Hub::List(const std::string& service) {
  const std::lock_guard lock(mutex_);
  std::vector<StoredTracepoint> list;
  for (const auto& [id, tracepoint] : tracepoints_) {
    if (tracepoint.tracepoint.service == service) list.push_back(tracepoint);
  }
  std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) {
    return std::tie(b.created_ms, b.tracepoint.id) < std::tie(a.created_ms, a.tracepoint.id);
  });
  return list;
}

bool Hub::Wants(const StoredTracepoint& stored, const model::AgentIdentity& agent) const {
  const model::Selector& selector = stored.tracepoint.spec.selector;
  const auto matches = [](const std::string& wanted, const std::string& actual) {
    return wanted.empty() || wanted == actual;
  };
  return stored.tracepoint.service == agent.service && matches(selector.version, agent.version) &&
         matches(selector.environment, agent.environment) &&
         matches(selector.instance, agent.instance);
}

std::string Hub::Describe(const StoredTracepoint& tracepoint) {
  const std::lock_guard lock(mutex_);
  return DescribeLocked(tracepoint);
}

std::string Hub::DescribeLocked(const StoredTracepoint& stored) const {
  std::vector<model::AgentStatus> statuses;
  const bool expired = stored.expires_ms != 0 && stored.expires_ms <= WallMs();
  for (const auto& [instance, agent] : agents_) {
    if (!Wants(stored, agent.identity)) continue;
    const auto found = agent.reports.find(stored.tracepoint.id);
    model::AgentStatus status;
    // A report about an earlier revision says nothing of this one.
    if (found != agent.reports.end() && found->second.revision >= stored.tracepoint.revision) {
      status = found->second;
    }
    status.instance = instance;
    if (expired) status.state = model::State::kExpired;
    statuses.push_back(std::move(status));
  }
  return model::TracepointToJson(stored.tracepoint, statuses);
}

std::vector<Hub::ServiceView> Hub::Services(const Principal& principal) {
  const std::lock_guard lock(mutex_);
  std::map<std::string, ServiceView> views;
  for (const auto& [instance, agent] : agents_) {
    if (principal.SeesEnvironment(agent.identity.environment)) {
      ++views[agent.identity.service].agents;
    }
  }
  for (const auto& [id, tracepoint] : tracepoints_) {
    ++views[tracepoint.tracepoint.service].tracepoints;
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
    list.push_back({agent.identity, agent.seen_wall_ms});
  }
  return list;
}

model::PollResponse Hub::ResponseFor(Agent& agent, uint64_t known_revision) {
  model::PollResponse response;
  response.queries = std::exchange(agent.queries, {});
  const uint64_t revision = RevisionOf(agent.identity.service);
  response.desired.revision = revision;
  response.unchanged = revision == known_revision;
  if (response.unchanged) return response;
  const int64_t now_ms = WallMs();
  for (const auto& [id, stored] : tracepoints_) {
    if (!Wants(stored, agent.identity)) continue;
    if (stored.expires_ms != 0 && stored.expires_ms <= now_ms) continue;
    response.desired.tracepoints.push_back({id, stored.tracepoint.revision,
                                            static_cast<uint64_t>(stored.expires_ms),
                                            stored.tracepoint.spec});
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
    report.status.instance = agent.identity.instance;
    now[report.id] = std::move(report.status);
  }
  std::vector<std::string> changed;
  for (const auto& [id, status] : now) {
    const auto before = agent.reports.find(id);
    if (before == agent.reports.end() || before->second.state != status.state ||
        before->second.reason != status.reason || before->second.revision != status.revision) {
      changed.push_back(id);
    }
  }
  agent.reports = std::move(now);
  for (const std::string& id : changed) {
    const auto found = tracepoints_.find(id);
    if (found == tracepoints_.end()) continue;
    Emit("tracepoint", agent.identity.service, agent.identity.environment,
         DescribeLocked(found->second));
  }
}

void Hub::Poll(model::PollRequest request, std::shared_ptr<Exchange> exchange) {
  const std::lock_guard lock(mutex_);
  const auto found = agents_.find(request.identity.instance);
  const bool is_new = found == agents_.end();
  if (is_new && agents_.size() >= kMaxAgents) {
    return exchange->Send(ErrorResponse(503, "OVER_LIMIT", "too many agents"));
  }
  Agent& agent = is_new ? agents_[request.identity.instance] : found->second;
  if (!is_new && agent.identity.service != request.identity.service) {
    return exchange->Send(ErrorResponse(400, "INVALID_ARGUMENT", "the instance changed service"));
  }
  agent.identity = std::move(request.identity);
  agent.seen_ms = MonotonicMs();
  agent.seen_wall_ms = WallMs();
  if (is_new) {
    Emit("agent", agent.identity.service, agent.identity.environment,
         model::AgentToJson(agent.identity, agent.seen_wall_ms));
  }
  TakeReports(agent, std::move(request.reports));
  for (model::Answer& answer : request.answers) {
    const auto question = questions_.find(answer.query_id);
    if (question == questions_.end()) continue;
    Response response;
    response.body = std::move(answer.json);
    if (!answer.error_code.empty()) {
      response = ErrorResponse(404, answer.error_code, answer.error_message);
    }
    question->second.done(std::move(response));
    questions_.erase(question);
  }
  // A second poll of the same agent takes the place of the first, whose connection is dead.
  if (agent.held) AnswerHeld(agent);
  const int64_t hold_ms = std::min<int64_t>(request.hold_ms, kMaxHoldMs);
  const bool news =
      RevisionOf(agent.identity.service) != request.known_revision || !agent.queries.empty();
  if (news || hold_ms == 0 || draining_) {
    return exchange->Send(
        Protobuf(SerializePollResponse(ResponseFor(agent, request.known_revision))));
  }
  agent.held = Held{std::move(exchange), agent.seen_ms + hold_ms, request.known_revision};
}

void Hub::Ask(const std::string& service, model::Query query, std::function<void(Response)> done) {
  const std::lock_guard lock(mutex_);
  Agent* chosen = nullptr;
  for (auto& [instance, agent] : agents_) {
    if (agent.identity.service != service) continue;
    if (chosen == nullptr || agent.seen_ms > chosen->seen_ms) chosen = &agent;
    if (agent.held) {
      chosen = &agent;  // answers soonest
      break;
    }
  }
  if (chosen == nullptr) {
    return done(
        ErrorResponse(404, "NOT_FOUND", "no agent of service " + service + " is connected"));
  }
  query.id = RandomHex(8);
  questions_[query.id] = {std::move(done), MonotonicMs() + kQueryTimeoutMs};
  chosen->queries.push_back(std::move(query));
  AnswerHeld(*chosen);
}

bool Hub::Sees(const Subscriber& subscriber, const Event& event) {
  return (subscriber.service.empty() || subscriber.service == event.service) &&
         subscriber.principal.SeesService(event.service) &&
         (event.environment.empty() || subscriber.principal.SeesEnvironment(event.environment));
}

void Hub::Emit(const std::string& name, const std::string& service, const std::string& environment,
               const std::string& json) {
  Event event{next_event_++, service, environment, ""};
  event.text = "id: " + std::to_string(event.id) + "\nevent: " + name + "\ndata: " + json + "\n\n";
  std::erase_if(subscribers_, [&event](const Subscriber& subscriber) {
    return Sees(subscriber, event) && !subscriber.exchange->Write(event.text);
  });
  events_.push_back(std::move(event));
  if (events_.size() > kMaxEvents) events_.pop_front();
}

void Hub::PublishEvent(const std::string& name, const std::string& service,
                       const std::string& environment, const std::string& json) {
  const std::lock_guard lock(mutex_);
  Emit(name, service, environment, json);
}

void Hub::Subscribe(const std::string& service, const Principal& principal,
                    const std::string& last_event_id, std::shared_ptr<Exchange> exchange) {
  const std::lock_guard lock(mutex_);
  if (subscribers_.size() >= kMaxSubscribers || draining_) {
    return exchange->Send(ErrorResponse(503, "OVER_LIMIT", "too many event streams"));
  }
  Response head;
  head.content_type = "text/event-stream";
  head.headers = {{"Cache-Control", "no-store"}};
  exchange->StartStream(std::move(head));
  Subscriber subscriber{exchange, service, principal};
  bool alive = exchange->Write(": stillframe\n\n");
  uint64_t last = 0;
  const char* end = last_event_id.data() + last_event_id.size();
  const bool resumes =
      !last_event_id.empty() && std::from_chars(last_event_id.data(), end, last).ptr == end;
  // Ids of a server that was restarted since are ahead of ours: what lies between is lost.
  const bool gap =
      resumes && (last >= next_event_ || (!events_.empty() && last + 1 < events_[0].id));
  if (gap) {
    alive = alive && exchange->Write("event: reset\ndata: {\"reason\":\"events were missed\"}\n\n");
  }
  for (const Event& event : events_) {
    if (resumes && !gap && event.id > last && Sees(subscriber, event)) {
      alive = alive && exchange->Write(event.text);
    }
  }
  if (alive) subscribers_.push_back(std::move(subscriber));
}

void Hub::ExpireTracepoints(int64_t now_ms) {
  for (const auto& [id, stored] : tracepoints_) {
    if (stored.expires_ms == 0 || stored.expires_ms > now_ms || expired_[id]) continue;
    expired_[id] = true;
    ++revision_;
    Changed(stored.tracepoint.service);
    Emit("tracepoint", stored.tracepoint.service, "", DescribeLocked(stored));
  }
}

void Hub::Tick() {
  const std::lock_guard lock(mutex_);
  const int64_t now_ms = MonotonicMs();
  for (auto it = agents_.begin(); it != agents_.end();) {
    Agent& agent = it->second;
    if (agent.held && agent.held->deadline_ms <= now_ms) {
      agent.seen_ms = now_ms;
      AnswerHeld(agent);
    }
    if (!agent.held && now_ms - agent.seen_ms > kAgentGoneMs) {
      it = agents_.erase(it);
    } else {
      ++it;
    }
  }
  for (auto it = questions_.begin(); it != questions_.end();) {
    if (it->second.deadline_ms > now_ms) {
      ++it;
      continue;
    }
    it->second.done(ErrorResponse(504, "AGENT_TIMEOUT", "the agent has not answered in 5 s"));
    it = questions_.erase(it);
  }
  ExpireTracepoints(WallMs());
  if (now_ms - heartbeat_ms_ < kHeartbeatMs) return;
  heartbeat_ms_ = now_ms;
  std::erase_if(subscribers_, [](const Subscriber& subscriber) {
    return !subscriber.exchange->Write(": heartbeat\n\n");
  });
}

void Hub::Drain() {
  const std::lock_guard lock(mutex_);
  draining_ = true;
  for (auto& [instance, agent] : agents_) AnswerHeld(agent);
  for (auto& [id, question] : questions_) {
    question.done(ErrorResponse(503, "UNAVAILABLE", "the server is stopping"));
  }
  questions_.clear();
  for (const Subscriber& subscriber : subscribers_) subscriber.exchange->EndStream();
  subscribers_.clear();
}

HubStats Hub::stats() {
  const std::lock_guard lock(mutex_);
  HubStats stats{agents_.size(), 0, subscribers_.size(), tracepoints_.size()};
  for (const auto& [instance, agent] : agents_) stats.held_polls += agent.held.has_value();
  return stats;
}

}  // namespace stillframe::server
