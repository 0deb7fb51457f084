#include "transport/outbox.h"

#include <algorithm>
#include <new>
#include <unordered_set>

namespace stillframe::transport {
namespace {

constexpr double kBaseMs = 500;
constexpr double kCapMs = 30'000;
constexpr size_t kFirstEntries = 16;

// Roughly what the objects cost in memory.
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

Outbox::Chunk& Outbox::ChunkFor(const model::Snapshot& snapshot, uint64_t text_bytes) {
  if (!chunks_.empty()) {
    Chunk& last = chunks_.back();
    const bool full = last.entries.size() >= limits_.batch_snapshots ||
                      last.pack.bytes() >= limits_.batch_bytes ||
                      last.text_bytes + text_bytes > limits_.batch_text_bytes;
    if (!last.sealed && !full && last.pack.Fits(snapshot)) return last;
    last.sealed = true;
    last.pack.Shrink();
    last.entries.shrink_to_fit();
    Count(last);
  }
  return chunks_.emplace_back();
}

void Outbox::Count(Chunk& chunk) {
  const uint64_t bytes = chunk.pack.bytes() + chunk.entries.capacity() * sizeof(Entry);
  bytes_ += bytes - chunk.counted;
  chunk.counted = bytes;
}

bool Outbox::Add(const model::Snapshot& snapshot) {
  const uint64_t text_bytes = Size(snapshot);
  // It takes less than that once it is packed.
  if (bytes_ + text_bytes > limits_.bytes) {
    Lost(snapshot.tracepoint_id, "outboxFull");
    return false;
  }
  Tracepoint& tracepoint = *totals_.try_emplace(snapshot.tracepoint_id).first;
  Chunk& chunk = ChunkFor(snapshot, text_bytes);
  try {
    if (chunk.entries.empty()) chunk.entries.reserve(kFirstEntries);
    chunk.entries.emplace_back();
    chunk.entries.back() = {snapshot.sequence, &tracepoint, chunk.pack.Add(snapshot)};
  } catch (const std::bad_alloc&) {
    chunk.sealed = true;
    chunk.entries.resize(chunk.left);
    if (chunk.left == 0) chunks_.pop_back();
    throw;
  }
  ++chunk.left;
  chunk.text_bytes += text_bytes;
  Count(chunk);
  ++tracepoint.second.in_flight;
  if (observer_ != nullptr) observer_->Added(snapshot);
  return true;
}

std::vector<uint64_t> Outbox::Sequences() {
  std::vector<uint64_t> sequences;
  if (chunks_.empty()) return sequences;
  chunks_.front().sealed = true;
  for (const Entry& entry : chunks_.front().entries) {
    if (!entry.gone) sequences.push_back(entry.sequence);
  }
  return sequences;
}

std::vector<SnapshotPack::Place> Outbox::Places() const {
  std::vector<SnapshotPack::Place> places;
  for (const Entry& entry : chunks_.front().entries) {
    if (!entry.gone) places.push_back(entry.place);
  }
  return places;
}

std::vector<model::Snapshot> Outbox::Batch() {
  if (chunks_.empty()) return {};
  chunks_.front().sealed = true;
  return chunks_.front().pack.Decode(Places());
}

std::string Outbox::EncodeBatch(const model::AgentIdentity& sender) {
  if (chunks_.empty()) return "";
  chunks_.front().sealed = true;
  return chunks_.front().pack.Encode(sender, Places());
}

template <typename Book>
void Outbox::Remove(const std::vector<uint64_t>& sequences, const Book& book) {
  // A batch is the oldest chunk, so what is looked for stands in front.
  std::unordered_set<uint64_t> wanted(sequences.begin(), sequences.end());
  for (auto chunk = chunks_.begin(); chunk != chunks_.end() && !wanted.empty();) {
    for (Entry& entry : chunk->entries) {
      if (entry.gone || wanted.erase(entry.sequence) == 0) continue;
      entry.gone = true;
      --chunk->left;
      --entry.tracepoint->second.in_flight;
      book(*entry.tracepoint, entry.sequence);
    }
    chunk->sealed = chunk->sealed || chunk->left != chunk->entries.size();
    if (chunk->left != 0) {
      ++chunk;
      continue;
    }
    bytes_ -= chunk->counted;
    chunk = chunks_.erase(chunk);
  }
  if (observer_ != nullptr && chunks_.empty()) observer_->Emptied();
}

void Outbox::Acked(const std::vector<uint64_t>& sequences) {
  Remove(sequences, [this](Tracepoint& tracepoint, uint64_t sequence) {
    ++tracepoint.second.acked;
    if (observer_ != nullptr) observer_->Acked(tracepoint.first, sequence);
  });
}

void Outbox::Reject(const std::vector<uint64_t>& sequences) {
  Remove(sequences, [this](Tracepoint& tracepoint, uint64_t sequence) {
    ++tracepoint.second.dropped["refused"];
    if (observer_ != nullptr) observer_->Dropped(tracepoint.first, "refused", sequence);
  });
}

void Outbox::Lost(const std::string& tracepoint_id, const std::string& reason) {
  ++totals_[tracepoint_id].dropped[reason];
  if (observer_ != nullptr) observer_->Dropped(tracepoint_id, reason, 0);
}

void Outbox::DropAll(const std::string& reason) {
  for (const Chunk& chunk : chunks_) {
    for (const Entry& entry : chunk.entries) {
      if (entry.gone) continue;
      auto& [id, totals] = *entry.tracepoint;
      --totals.in_flight;
      ++totals.dropped[reason];
      if (observer_ != nullptr) observer_->Dropped(id, reason, entry.sequence);
    }
  }
  chunks_.clear();
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
