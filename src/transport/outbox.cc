#include "transport/outbox.h"

#include <algorithm>
#include <unordered_set>

namespace stillframe::transport {
namespace {

constexpr double kBaseMs = 500;
constexpr double kCapMs = 30'000;

// Roughly what things cost in memory and on the wire: enough for limits.
uint64_t Size(const std::vector<model::Value>& values) {
  uint64_t bytes = 0;
  for (const model::Value& value : values) {
    bytes += 24 + value.name.size() + value.type.size() + value.value.size() + value.reason.size() +
             Size(value.children);
  }
  return bytes;
}

uint64_t Size(const model::Snapshot& snapshot) {
  uint64_t bytes = sizeof(snapshot) + snapshot.id.size() + snapshot.tracepoint_id.size() +
                   snapshot.service.size() + snapshot.instance.size() + snapshot.message.size() +
                   Size(snapshot.expressions);
  for (const model::Frame& frame : snapshot.frames) {
    bytes += sizeof(frame) + frame.function.size() + frame.file.size() + frame.module.size() +
             frame.build_id.size() + Size(frame.variables);
  }
  return bytes;
}

}  // namespace

uint32_t BackoffMs(uint32_t attempt, uint32_t retry_after_ms, double random) {
  const uint32_t doublings = std::min(attempt == 0 ? 0 : attempt - 1, 16u);
  const double ceiling = std::min(kCapMs, kBaseMs * static_cast<double>(1u << doublings));
  return std::max(retry_after_ms, static_cast<uint32_t>(ceiling * random));
}

bool Outbox::Add(model::Snapshot snapshot) {
  const uint64_t bytes = Size(snapshot);
  if (bytes_ + bytes > limits_.bytes) {
    Lost(snapshot.tracepoint_id, "outboxFull");
    return false;
  }
  bytes_ += bytes;
  ++totals_[snapshot.tracepoint_id].in_flight;
  if (observer_ != nullptr) observer_->Added(snapshot);
  entries_.push_back({std::move(snapshot), bytes});
  return true;
}

std::vector<model::Snapshot> Outbox::Batch() const {
  std::vector<model::Snapshot> batch;
  uint64_t bytes = 0;
  for (const Entry& entry : entries_) {
    const bool full =
        batch.size() == limits_.batch_snapshots || bytes + entry.bytes > limits_.batch_bytes;
    if (full && !batch.empty()) break;  // one that is larger than a batch goes alone
    bytes += entry.bytes;
    batch.push_back(entry.snapshot);
  }
  return batch;
}

template <typename Count>
void Outbox::Remove(const std::vector<uint64_t>& sequences, const Count& count) {
  // A batch is the oldest entries, so what is looked for stands in front.
  std::unordered_set<uint64_t> wanted(sequences.begin(), sequences.end());
  for (auto entry = entries_.begin(); entry != entries_.end() && !wanted.empty();) {
    if (wanted.erase(entry->snapshot.sequence) == 0) {
      ++entry;
      continue;
    }
    bytes_ -= entry->bytes;
    Totals& totals = totals_[entry->snapshot.tracepoint_id];
    --totals.in_flight;
    count(totals, entry->snapshot);
    entry = entries_.erase(entry);
  }
  if (observer_ != nullptr && entries_.empty()) observer_->Emptied();
}

void Outbox::Acked(const std::vector<uint64_t>& sequences) {
  Remove(sequences, [this](Totals& totals, const model::Snapshot& snapshot) {
    ++totals.acked;
    if (observer_ != nullptr) observer_->Acked(snapshot.tracepoint_id, snapshot.sequence);
  });
}

void Outbox::Reject(const std::vector<uint64_t>& sequences) {
  Remove(sequences, [this](Totals& totals, const model::Snapshot& snapshot) {
    ++totals.dropped["refused"];
    if (observer_ != nullptr) {
      observer_->Dropped(snapshot.tracepoint_id, "refused", snapshot.sequence);
    }
  });
}

void Outbox::Lost(const std::string& tracepoint_id, const std::string& reason) {
  ++totals_[tracepoint_id].dropped[reason];
  if (observer_ != nullptr) observer_->Dropped(tracepoint_id, reason, 0);
}

void Outbox::DropAll(const std::string& reason) {
  for (const Entry& entry : entries_) {
    Totals& totals = totals_[entry.snapshot.tracepoint_id];
    --totals.in_flight;
    ++totals.dropped[reason];
    if (observer_ != nullptr) {
      observer_->Dropped(entry.snapshot.tracepoint_id, reason, entry.snapshot.sequence);
    }
  }
  entries_.clear();
  bytes_ = 0;
}

uint64_t Outbox::in_flight(const std::string& tracepoint_id) const {
  const auto found = totals_.find(tracepoint_id);
  return found == totals_.end() ? 0 : found->second.in_flight;
}

uint64_t Outbox::acked(const std::string& tracepoint_id) const {
  const auto found = totals_.find(tracepoint_id);
  return found == totals_.end() ? 0 : found->second.acked;
}

std::map<std::string, uint64_t> Outbox::dropped(const std::string& tracepoint_id) const {
  const auto found = totals_.find(tracepoint_id);
  return found == totals_.end() ? std::map<std::string, uint64_t>() : found->second.dropped;
}

}  // namespace stillframe::transport
