// Empties the ring: records become snapshots in the outbox. Agent thread.
#ifndef STILLFRAME_AGENT_COLLECTOR_H_
#define STILLFRAME_AGENT_COLLECTOR_H_

#include <map>
#include <string>
#include <unordered_map>

#include "agent/durable/writer.h"
#include "agent/log_message.h"
#include "agent/tick_clock.h"
#include "agent/tracepoint_store.h"
#include "model/agent_info.h"
#include "transport/outbox.h"

namespace stillframe::agent {

class Collector {
 public:
  Collector(TracepointStore& store, transport::Outbox& outbox, const TickClock& clock,
            const model::AgentIdentity& identity, const RedactionPolicy* redaction,
            uint32_t logs_per_second)
      : store_(store),
        outbox_(outbox),
        clock_(clock),
        identity_(identity),
        redaction_(redaction),
        logs_(logs_per_second) {}

  // nullptr: nobody is told where snapshots come from. It must outlive this.
  void SetDurable(durable::Writer* durable) { durable_ = durable; }

  // Decodes what is in the ring, at most `max_records`, and some thousand light records. Returns
  // how many there were.
  uint32_t Drain(uint32_t max_records);
  // Whether debug information was looked at since the last call: most records need none, because
  // their callers are known.
  bool TakeSymbolUse() { return std::exchange(used_symbols_, false); }
  // Records that could not be decoded (a bug or a wild store of the host), for the log and metrics.
  uint64_t corrupt() const { return corrupt_; }
  // The highest sequence number that was drained; all below it were, too.
  uint64_t drained() const { return drained_; }

 private:
  void Decode(std::span<const uint8_t> record, uint64_t sequence);
  void DecodeLight(std::span<const uint8_t> record);
  ProbePlan PlanOfFault(uint64_t pc, decode::BuildInput& input);
  // What a snapshot says of the process and of itself.
  void Describe(model::Snapshot& snapshot, const std::string& tracepoint_id, uint64_t sequence,
                uint64_t ticks);
  void LoseForMemory(uint64_t probe_id);
  const std::string& SymbolName(uint64_t address);
  std::string FindSymbolName(uint64_t address);
  const std::string& NameOf(uint32_t thread_id);

  TracepointStore& store_;
  transport::Outbox& outbox_;
  const TickClock& clock_;
  const model::AgentIdentity& identity_;
  const RedactionPolicy* redaction_;
  durable::Writer* durable_ = nullptr;
  RateGate logs_;
  std::map<uint32_t, std::string> thread_names_;  // of one Drain: asking costs a system call or two
  // Of pointers that were shown: the same come again and again, and looking one up would keep the
  // debug information open.
  std::unordered_map<uint64_t, std::string> symbol_names_;
  uint64_t symbol_names_of_ = 0;  // modules_version() when they were found
  bool used_symbols_ = false;
  uint64_t corrupt_ = 0;
  uint64_t drained_ = 0;
  uint64_t abandoned_ = 0;       // streams that were skipped
  uint64_t light_sequence_ = 0;  // of light records, which hits do not number
};

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_COLLECTOR_H_
