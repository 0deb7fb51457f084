// What a process left in its ring file when it died: every committed record, as a snapshot. Whoever
// opens it holds the file's lock until the object is gone, so nobody else recovers it meanwhile.
// The files are hostile: every number in them is checked, every plan verified.
#ifndef STILLFRAME_AGENT_DURABLE_DEAD_PROCESS_H_
#define STILLFRAME_AGENT_DURABLE_DEAD_PROCESS_H_

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/decode/snapshot_builder.h"
#include "agent/durable/entries.h"
#include "agent/light_plan.h"
#include "agent/ring/ring_file.h"
#include "base/unique_fd.h"
#include "model/log_template.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::durable {

// The process's names to redact, from its policy and the built-in lists.
class StoredRedaction final : public RedactionPolicy {
 public:
  explicit StoredRedaction(const agent::Policy& policy) : policy_(policy) {}
  bool RedactsName(std::string_view name) const override;
  bool RedactsType(std::string_view type) const override;
  bool RedactsValue(std::string_view text, bool cut) const override;
  bool AllowsRawMemory() const override { return policy_.raw_memory; }
  std::string_view NameList() const override { return policy_.name_list(); }

 private:
  const agent::Policy& policy_;
};

class DeadProcess {
 public:
  // `path` is without a suffix. kUnavailable: the process lives, or somebody else recovers it.
  // kNotFound, kUnauthorized: no file of ours. kCorrupt, kUnsupported: it says what is wrong.
  static Result<std::unique_ptr<DeadProcess>> Open(const std::string& path,
                                                   std::vector<std::string> debug_path);
  // For tests: from bytes, without files or locks.
  static Result<std::unique_ptr<DeadProcess>> FromBytes(std::string ring, std::string_view plans,
                                                        std::string_view outbox);
  ~DeadProcess();

  const model::AgentIdentity& identity() const { return process_.identity; }
  // The next snapshot; nullopt when there are no more: first those that were decoded before, then
  // the ring's by number, then log messages. Sequences are the process's own.
  std::optional<model::Snapshot> Next();
  // After the last of Next(): per tracepoint, what is known of its hits. Both identities hold for
  // what was committed: inFlight is what Next() gave, declined hits are as of at most some 10 ms
  // before the end.
  std::vector<model::TracepointReport> Reports() const;
  // Sentences about what could not be read or decoded.
  const std::vector<std::string>& problems() const { return problems_; }

  // Everything was delivered: the files go.
  void Remove();

 private:
  struct Probe;
  struct Caller;
  DeadProcess();
  Status ReadHeader();
  Status ReadPlans(std::string_view plans);
  void ReadOutbox(std::string_view outbox);
  void ReadMirror();
  void AddProbe(std::string_view payload);
  void AddCaller(std::string_view payload);
  void AddTotals(std::string_view payload);
  void FindRecords();
  std::optional<model::Snapshot> NextRecord();
  std::optional<model::Snapshot> NextLight();
  Result<model::Snapshot> Decode(std::span<const uint8_t> record);
  Result<model::Snapshot> DecodeLight(std::span<const uint8_t> record, const LightHeader& header);
  void Describe(model::Snapshot& snapshot, const Probe& probe, uint64_t sequence, uint64_t ticks);
  Result<const Probe*> FindProbe(uint64_t probe_id) const;
  decode::FrameMeaning Resolve(uint64_t pc, bool pc_is_exact);
  void CompileCaller(Caller& caller, const agent::LoadedModule& module, uint64_t pc,
                     bool pc_is_exact);
  const agent::LoadedModule* ModuleAt(uint64_t address) const;
  std::string SymbolName(uint64_t address);
  uint64_t Nanos(uint64_t ticks) const;
  void Drop(const std::string& tracepoint_id, const std::string& reason);
  void Problem(std::string text);

  std::string path_;  // "" when it was made of bytes
  UniqueFd ring_fd_;
  std::string ring_;  // a copy of the file
  ProcessEntry process_;
  StoredRedaction redaction_{process_.policy};
  std::unique_ptr<Symbolizer> symbolizer_;
  std::vector<agent::LoadedModule> modules_;
  std::map<uint64_t, std::unique_ptr<Probe>> probes_;
  std::map<std::pair<uint64_t, bool>, std::unique_ptr<Caller>> callers_;
  ring::RingMirror mirror_{};

  std::map<uint64_t, SnapshotEntry> waiting_;  // by sequence
  std::set<uint64_t> done_;                    // sequences with an outcome
  std::map<std::string, Totals> totals_;
  std::map<std::string, uint64_t> recovered_;  // what Next() gave
  TotalsEntry last_;
  std::deque<std::pair<uint64_t, uint32_t>> records_;  // sequence, slot
  uint32_t stream_ = 0;                                // where NextLight goes on
  uint64_t stream_done_ = 0;
  std::vector<std::string> problems_;
};

}  // namespace stillframe::durable

#endif  // STILLFRAME_AGENT_DURABLE_DEAD_PROCESS_H_
