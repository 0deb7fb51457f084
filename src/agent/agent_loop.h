// The work of the agent thread: desired set in, probes armed, records out, statuses reported.
#ifndef STILLFRAME_AGENT_AGENT_LOOP_H_
#define STILLFRAME_AGENT_AGENT_LOOP_H_

#include <memory>

#include "agent/agent.h"
#include "agent/collector.h"
#include "agent/link.h"
#include "agent/recovery.h"
#include "agent/redaction_policy.h"
#include "agent/tick_clock.h"
#include "agent/tracepoint_store.h"
#include "transport/outbox.h"

namespace stillframe::agent {

class AgentLoop {
 public:
  explicit AgentLoop(Agent& agent)
      : agent_(agent), options_(agent.options_), policy_(options_.policy_file) {}
  // Returns when the agent was told to stop.
  void Run();

 private:
  Status SetUp();
  void Turn();  // once around
  void HurryForWaiters();
  void TurnInMemory();
  void ApplyDesired();
  void ApplyPolicy();  // looks whether the operator has changed it
  void AnswerQueries();
  void MakeStore();  // at the first tracepoint: an idle agent has none of this
  // A ring that outlives the process, if that is wanted; else, or when it cannot be had, a private.
  void MakeDurable();
  void MirrorState();
  void CollectGarbage();
  bool GoesOn();  // false when it was told to stop
  // Empties the ring, or as much of it as can be until then: hits may come faster than that.
  void DrainUntil(int64_t deadline_ns);
  void ReportStatuses();
  void TellWaiters();
  void Finish();
  std::vector<model::TracepointReport> Reports();
  uint32_t WaitMs() const;

  Agent& agent_;
  const Options& options_;
  PolicyFile policy_;
  const NameRedaction redaction_{policy_};
  TickClock clock_;
  model::AgentIdentity identity_;
  std::unique_ptr<Link> link_;
  Recovery recovery_{options_};
  std::unique_ptr<durable::Writer> durable_;  // before those that tell it
  transport::Outbox outbox_{transport::OutboxLimits()};
  std::unique_ptr<debuginfod::DebugFetcher> debug_files_;  // when servers are configured
  std::unique_ptr<TracepointStore> store_;
  std::unique_ptr<Collector> collector_;

  uint32_t turns_without_memory_ = 0;
  uint64_t reported_version_ = 0;
  uint64_t reported_activity_ = 0;
  int64_t reported_at_ns_ = 0;
  int64_t last_use_ns_ = 0;  // of debug information, to give its memory back
  bool symbols_open_ = false;
  bool hurries_ = false;
  int64_t busy_until_ns_ = 0;   // many records came a moment ago
  int64_t hurry_until_ns_ = 0;  // so many that the ring was nearly full
  int64_t policy_ns_ = 0;       // when the policy was looked at
};

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_AGENT_LOOP_H_
