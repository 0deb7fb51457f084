// What the server knows while it runs: tracepoints, connected agents and their held polls, open
// questions, and the event stream. The store holds what must outlive it.
//
// Threads: any; one mutex. Exchanges are answered under it, which only queues bytes.
#ifndef STILLFRAME_SERVER_HUB_H_
#define STILLFRAME_SERVER_HUB_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "model/agent_info.h"
#include "server/auth.h"
#include "server/http.h"
#include "server/lease_book.h"
#include "server/store.h"

namespace stillframe::server {

inline constexpr int64_t kMaxHoldMs = 50'000;
inline constexpr int64_t kAgentGoneMs = 90'000;
inline constexpr int64_t kQueryTimeoutMs = 5'000;
inline constexpr size_t kMaxTracepoints = 1'000;              // of one service
inline constexpr int64_t kExpiredStayMs = 24 * 3600 * 1'000;  // then they are forgotten

struct AgentView {
  model::AgentIdentity identity;
  int64_t last_seen_ms = 0;  // wall clock
  std::string stopped;       // who holds the kill switch; "" = nobody
};

struct HubStats {
  size_t agents = 0, held_polls = 0, streams = 0, tracepoints = 0;
};

class Hub {
 public:
  explicit Hub(Store& store) : store_(store) {}
  Status Load();

  // ---- Tracepoints; durable when these return. Changes run one after the other. ----
  // kOverLimit: the service has kMaxTracepoints already.
  Result<StoredTracepoint> Create(const std::string& service, const model::TracepointSpec& spec,
                                  const std::string& created_by);
  // Only what the principal may see: its service, and its environment or any.
  std::optional<StoredTracepoint> Find(const std::string& id, const Principal& principal);
  // `edit` changes the spec of the current tracepoint, or returns why not. A change gives it its
  // whole life again.
  using Edit = std::function<std::optional<Response>(StoredTracepoint&)>;
  struct Changed {
    std::optional<Response> refusal;
    StoredTracepoint tracepoint;
  };
  Result<Changed> Change(const std::string& id, const Principal& principal, const Edit& edit);
  // kNotFound when it has gone meanwhile.
  Status Remove(const std::string& id);
  std::vector<StoredTracepoint> List(const std::string& service, const Principal& principal);
  // The tracepoint's JSON with the status of each agent that it concerns and the principal sees.
  std::string Describe(const StoredTracepoint& tracepoint, const Principal& principal);

  // ---- The kill switch ----
  struct StopResult {
    StopOrder stop;
    bool is_new = false;  // false: the same was stopped already
  };
  // In force when it returns, even if the store fails.
  Result<StopResult> AddStop(StopOrder stop);
  Status RemoveStop(const std::string& id);  // kNotFound
  std::vector<StopOrder> Stops(const Principal& principal);
  std::optional<model::AgentIdentity> FindAgent(const std::string& instance);

  struct ServiceView {
    std::string name;
    size_t agents = 0, tracepoints = 0;
  };
  std::vector<ServiceView> Services(const Principal& principal);
  std::vector<AgentView> Agents(const std::string& service, const Principal& principal);

  // ---- Agents ----
  // Answers at once, or holds the exchange until there is something to say.
  void Poll(model::PollRequest request, const std::string& key_id,
            std::shared_ptr<Exchange> exchange);
  // Sends the question with the next poll; `done` gets the REST answer, once.
  void Ask(const std::string& service, const Principal& principal, model::Query query,
           std::function<void(Response)> done);
  // "" when no agent of that name is connected.
  std::string EnvironmentOf(const std::string& service, const std::string& instance);

  // Whether what the instance captured of the tracepoint is not wanted any more (LeaseBook::Lose).
  bool IsLost(const std::string& tracepoint, const std::string& instance);

  // ---- Events ----
  void Subscribe(const std::string& service, const Principal& principal,
                 const std::string& last_event_id, std::shared_ptr<Exchange> exchange);
  void PublishEvent(const std::string& name, const std::string& service,
                    const std::string& environment, const std::string& json);

  // Deadlines of polls and questions, lost agents, expiry, heartbeats, revoked keys. Every 50 ms
  // or so.
  void Tick();
  // Asked about the keys behind held polls and open streams; before serving starts.
  void set_key_check(std::function<bool(const std::string&)> valid) {
    key_valid_ = std::move(valid);
  }
  // Answers held polls, ends streams: the server is going down.
  void Drain();
  HubStats stats();

 private:
  struct Held {
    std::shared_ptr<Exchange> exchange;
    int64_t deadline_ms = 0;  // monotonic
    uint64_t known_revision = 0;
    std::string key_id;
    bool waits_for_leases = false;  // it is answered once it has all of them
  };
  struct Agent {
    model::AgentIdentity identity;
    int64_t seen_ms = 0, seen_wall_ms = 0;
    std::map<std::string, model::AgentStatus> reports;
    std::vector<model::Query> queries;  // to hand over
    std::optional<Held> held;
    uint64_t revision = 0;  // of what is for this agent alone
    bool left = false;      // its process ended in order
  };
  enum class Canary : uint8_t { kWaiting, kRunning, kDone, kFailed };
  // How far a tracepoint's revision is in the fleet.
  struct Progress {
    LeaseBook book;
    std::map<std::string, model::Lease> told;  // by instance; durable
    bool saving = false, again = false;
    Canary canary = Canary::kWaiting;
    std::string canary_instance;
    int64_t canary_since_ms = 0;  // monotonic; 0 = it has not armed yet
    std::string ToJson() const;
  };
  struct Question {
    std::function<void(Response)> done;
    int64_t deadline_ms = 0;
    std::string instance;  // only this agent may answer
  };
  struct Event {
    uint64_t id;
    std::string service;
    std::string environment;       // whose agents or snapshots it shows; "" = none or unknown
    bool any_environment = false;  // shows nothing that belongs to one environment
    std::string text;
  };
  struct Subscriber {
    std::shared_ptr<Exchange> exchange;
    std::string service;
    Principal principal;
  };

  static bool IsExpired(const StoredTracepoint& tracepoint);
  uint64_t RevisionOf(const std::string& service) const;
  void SetChanged(const std::string& service);  // a new revision; wakes the service's agents
  void SetAllChanged();                         // of every service
  std::optional<std::string> StopFor(const model::AgentIdentity& agent) const;
  std::string AgentJson(const Agent& agent) const;
  static bool Wants(const StoredTracepoint& tracepoint, const model::AgentIdentity& agent);
  static bool SeesTracepoint(const Principal& principal, const StoredTracepoint& tracepoint);
  // hub_progress.cc
  Progress MakeProgress(const StoredTracepoint& stored) const;  // of a new revision
  void BeginProgress(const StoredTracepoint& stored, Progress progress);
  static Progress ReadProgress(const StoredTracepoint& stored);
  static bool IsOffered(const StoredTracepoint& stored, const Progress& progress,
                        const model::AgentIdentity& agent);
  void TellLeases(const StoredTracepoint& stored, Progress& progress);
  void Touch(Agent& agent);  // there is news for it alone
  // Whether a share of the agent's is being saved that it was never told of.
  bool WaitsForLease(const Agent& agent) const;
  void DistributeLeases(const std::string& id);
  void LeasesSaved(const std::string& id, const Status& status);
  bool UpdateLeases(Agent& agent, bool leaving);
  void LoseAgent(const std::string& instance);
  void LoseUnheard(int64_t now_ms);
  void ChooseCanary(const StoredTracepoint& stored, Progress& progress) const;
  void TickCanaries(int64_t now_ms);
  void TickCanary(const StoredTracepoint& stored, Progress& progress, int64_t now_ms);
  std::optional<model::CanaryStatus> CanaryOf(const StoredTracepoint& stored) const;
  static void ShowCanary(const Progress& progress, model::AgentStatus& status);
  std::string TracepointJson(const StoredTracepoint& stored,
                             const std::vector<model::AgentStatus>& statuses) const;
  uint64_t RevisionFor(const Agent& agent) const;
  model::PollResponse ResponseFor(Agent& agent, uint64_t known_revision);
  void AnswerHeld(Agent& agent);
  void DropHeld(const std::string& instance, const Exchange* exchange);
  void TakeReports(Agent& agent, std::vector<model::TracepointReport> reports);
  void TakeAnswers(const std::string& instance, std::vector<model::Answer> answers);
  model::AgentStatus StatusOf(const StoredTracepoint& tracepoint, const Agent& agent) const;
  std::string DescribeLocked(const StoredTracepoint& tracepoint, const Principal* principal) const;
  bool AddSubscriber(const std::string& service, const Principal& principal,
                     const std::string& last_event_id, const std::shared_ptr<Exchange>& exchange);
  void DropSubscriber(const Exchange* exchange);
  void EmitTracepoint(const StoredTracepoint& tracepoint);
  void Emit(const std::string& name, Event event, const std::string& json);
  static bool Sees(const Subscriber& subscriber, const Event& event);
  void ExpireTracepoints(int64_t now_ms);
  void TickAgents(int64_t now_ms);
  void TickQuestions(int64_t now_ms);
  void CheckKeys(int64_t now_ms);

  Store& store_;
  std::function<bool(const std::string&)> key_valid_;
  // Held through a whole change, store included, so that no change is lost or overtaken. Taken
  // before mutex_.
  std::mutex change_mutex_;
  std::mutex mutex_;  // guards everything below
  std::map<std::string, StoredTracepoint> tracepoints_;
  std::map<std::string, Progress> progress_;  // of each of tracepoints_
  int64_t loaded_ms_ = 0;                     // monotonic
  std::map<std::string, StopOrder> stops_;
  uint64_t revision_ = 1;
  std::map<std::string, uint64_t> service_revisions_;
  uint64_t base_revision_ = 1;
  std::map<std::string, bool> expired_;  // ids whose expiry was told
  std::map<std::string, Agent> agents_;  // by instance
  std::map<std::string, Question> questions_;
  std::deque<Event> events_;
  uint64_t event_bytes_ = 0;
  uint64_t next_event_ = 1;
  std::vector<Subscriber> subscribers_;
  int64_t heartbeat_ms_ = 0, keys_checked_ms_ = 0;
  bool draining_ = false;
};

}  // namespace stillframe::server

#endif  // STILLFRAME_SERVER_HUB_H_
