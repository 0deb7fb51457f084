// Snapshots and log messages between the ring and the server's acknowledgement: bounded, retried
// with exponential back-off and full jitter, every loss counted by reason.
#ifndef STILLFRAME_TRANSPORT_OUTBOX_H_
#define STILLFRAME_TRANSPORT_OUTBOX_H_

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "model/agent_info.h"

namespace stillframe::transport {

struct OutboxLimits {
  uint64_t bytes = 4u << 20;  // estimated size of what is kept; the newest is dropped when full
  uint32_t batch_snapshots = 1'000;  // the server takes no more
  uint64_t batch_bytes = 768u << 10;
};

// Delay before attempt n (1 = first retry): full jitter in [0, min(cap, base * 2^(n-1))], never
// below `retry_after_ms`. `random` is in [0, 1).
uint32_t BackoffMs(uint32_t attempt, uint32_t retry_after_ms, double random);

// Told what happens in an outbox, after it did.
class OutboxObserver {
 public:
  virtual ~OutboxObserver() = default;
  virtual void Added(const model::Snapshot& snapshot) = 0;
  virtual void Acked(const std::string& tracepoint_id, uint64_t sequence) = 0;
  // `sequence` 0: it never was in the outbox.
  virtual void Dropped(const std::string& tracepoint_id, const std::string& reason,
                       uint64_t sequence) = 0;
  virtual void Emptied() = 0;
};

// Agent thread only.
class Outbox {
 public:
  explicit Outbox(OutboxLimits limits) : limits_(limits) {}
  // nullptr: nobody. It must outlive the outbox.
  void SetObserver(OutboxObserver* observer) { observer_ = observer; }
  // False: full; counted as dropped "outboxFull" against the snapshot's tracepoint.
  bool Add(model::Snapshot snapshot);
  // The oldest snapshots that fit in a batch; they stay until Acked or Reject.
  std::vector<model::Snapshot> Batch() const;
  void Acked(const std::vector<uint64_t>& sequences);
  // The server refuses these for good (4xx): dropped "refused".
  void Reject(const std::vector<uint64_t>& sequences);
  // A capture that never became a snapshot: counted as dropped for `reason`.
  void Lost(const std::string& tracepoint_id, const std::string& reason);
  // At exit: what is left is dropped "shutdownDeadline".
  void DropAll(const std::string& reason);

  bool empty() const { return entries_.empty(); }
  uint64_t bytes() const { return bytes_; }  // estimated
  uint64_t in_flight(const std::string& tracepoint_id) const;
  uint64_t acked(const std::string& tracepoint_id) const;
  std::map<std::string, uint64_t> dropped(const std::string& tracepoint_id) const;

 private:
  struct Entry {
    model::Snapshot snapshot;
    uint64_t bytes;
  };
  struct Totals {
    uint64_t in_flight = 0, acked = 0;
    std::map<std::string, uint64_t> dropped;
  };
  // Takes the entries with these sequences out and lets `count` book each.
  template <typename Count>
  void Remove(const std::vector<uint64_t>& sequences, const Count& count);

  OutboxLimits limits_;
  std::deque<Entry> entries_;
  uint64_t bytes_ = 0;
  std::map<std::string, Totals> totals_;
  OutboxObserver* observer_ = nullptr;
};

}  // namespace stillframe::transport

#endif  // STILLFRAME_TRANSPORT_OUTBOX_H_
