// The files of a process whose ring outlives it (STILLFRAME_RING_DIR): made at the first
// tracepoint, removed when everything was delivered in order. Agent thread.
#ifndef STILLFRAME_AGENT_DURABLE_WRITER_H_
#define STILLFRAME_AGENT_DURABLE_WRITER_H_

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "agent/durable/entries.h"
#include "agent/durable/journal.h"
#include "agent/ring/ring_file.h"
#include "transport/outbox.h"

namespace stillframe::durable {

class Writer final : public transport::OutboxObserver {
 public:
  // Makes the three files in the folder, which must exist and belong to us or to nobody else who
  // writes there, and the ring use the first. `own_descriptors`: the host cannot close ours. An
  // error leaves nothing behind; the ring stays private then.
  static Result<std::unique_ptr<Writer>> Create(const std::string& folder,
                                                const ProcessEntry& process, bool own_descriptors);

  // What records will mean. Before the first of them can be made.
  void NoteProcess(const ProcessEntry& process);  // it has another policy now
  void NoteModules(const std::vector<agent::LoadedModule>& modules);
  void NoteProbe(const ProbeEntry& probe);
  void NoteCaller(const CallerEntry& caller);
  // The next snapshot that is added is that of a light record.
  void NextIsLight(uint64_t ticks) { ticks_ = ticks; }
  // Each turn.
  void Mirror(uint64_t ticks, int64_t unix_nanos, uint64_t ticks_per_second,
              std::span<const ring::RingMirror::Counts> probes);

  void Added(const model::Snapshot& snapshot) override;
  void Acked(const std::string& tracepoint_id, uint64_t sequence) override;
  void Dropped(const std::string& tracepoint_id, const std::string& reason,
               uint64_t sequence) override;
  void Emptied() override;

  // Everything was delivered.
  void Remove();

 private:
  Writer() = default;
  bool ReplaceOutbox(const std::string& totals);
  void Append(JournalWriter& journal, uint32_t type, const std::string& payload);

  std::string path_;  // without a suffix
  UniqueFd ring_fd_;  // holds the lock
  uint8_t* file_ = nullptr;
  JournalWriter plans_, outbox_;
  uint64_t generation_ = 0;
  uint64_t ticks_ = 0;
  uint64_t caller_bytes_ = 0;
  TotalsEntry last_;
  std::map<std::string, Totals> totals_;
  bool failed_ = false;  // said once
};

}  // namespace stillframe::durable

#endif  // STILLFRAME_AGENT_DURABLE_WRITER_H_
