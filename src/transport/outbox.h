// Snapshots and log messages between the ring and the server's acknowledgement: bounded, kept in
// the wire's form, retried with exponential back-off and full jitter, every loss counted by reason.
#ifndef STILLFRAME_TRANSPORT_OUTBOX_H_
#define STILLFRAME_TRANSPORT_OUTBOX_H_

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/agent_info.h"
#include "transport/snapshot_pack.h"

namespace stillframe::transport {

struct OutboxLimits {
  uint64_t bytes = 4u << 20;         // memory for what is kept; the newest is dropped when full
  uint32_t batch_snapshots = 1'000;  // the server takes no more
  uint64_t batch_bytes = 192u << 10;
  uint64_t batch_text_bytes = 2u << 20;  // the objects that the server makes of it
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
  // False: full; counted as dropped "outboxFull" against the snapshot's tracepoint. Throws
  // std::bad_alloc; the snapshot is neither kept nor counted then.
  bool Add(const model::Snapshot& snapshot);
  // The oldest snapshots that fit in a batch, by their sequences; they stay until Acked or Reject.
  std::vector<uint64_t> Sequences();
  // Those of them that Sequences() named: as objects, and as a publish request with tables.
  std::vector<model::Snapshot> Batch();
  std::string EncodeBatch(const model::AgentIdentity& sender);
  void Acked(const std::vector<uint64_t>& sequences);
  // The server refuses these for good (4xx): dropped "refused".
  void Reject(const std::vector<uint64_t>& sequences);
  // A capture that never became a snapshot: counted as dropped for `reason`.
  void Lost(const std::string& tracepoint_id, const std::string& reason);
  // At exit: what is left is dropped "shutdownDeadline".
  void DropAll(const std::string& reason);

  bool empty() const { return chunks_.empty(); }
  uint64_t bytes() const { return bytes_; }  // memory, nearly
  uint64_t in_flight(const std::string& tracepoint_id) const;
  uint64_t acked(const std::string& tracepoint_id) const;
  std::map<std::string, uint64_t> dropped(const std::string& tracepoint_id) const;

 private:
  struct Totals {
    uint64_t in_flight = 0, acked = 0;
    std::map<std::string, uint64_t> dropped;
  };
  using Tracepoint = std::pair<const std::string, Totals>;  // in totals_, where it stays
  struct Entry {
    uint64_t sequence = 0;
    Tracepoint* tracepoint = nullptr;
    SnapshotPack::Place place;
    bool gone = false;
  };
  // What makes a batch.
  struct Chunk {
    SnapshotPack pack;
    std::vector<Entry> entries;
    size_t left = 0;          // entries that are not gone
    uint64_t text_bytes = 0;  // estimated size of the objects
    bool sealed = false;      // nothing is added any more
    uint64_t counted = 0;     // of bytes_
  };
  Chunk& ChunkFor(const model::Snapshot& snapshot, uint64_t text_bytes);
  void Count(Chunk& chunk);
  std::vector<SnapshotPack::Place> Places() const;
  // Takes the entries with these sequences out and lets `count` book each.
  template <typename Book>
  void Remove(const std::vector<uint64_t>& sequences, const Book& book);

  OutboxLimits limits_;
  std::deque<Chunk> chunks_;  // none is empty
  uint64_t bytes_ = 0;
  std::map<std::string, Totals> totals_;
  OutboxObserver* observer_ = nullptr;
};

}  // namespace stillframe::transport

#endif  // STILLFRAME_TRANSPORT_OUTBOX_H_
