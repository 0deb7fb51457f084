#include "agent/durable/writer.h"

#include <sys/file.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "agent/durable/files.h"
#include "base/log.h"
#include "model/snapshot_codec.h"

namespace stillframe::durable {
namespace {

// Beyond that, callers are compiled again from the program's file, if it is still there.
constexpr uint64_t kMaxCallerBytes = 8u << 20;
constexpr uint64_t kEmptyOutboxBytes = 64u << 10;

template <typename T>
std::string Encode(const T& entry) {
  std::string bytes;
  ArchiveWriter writer(bytes);
  writer(entry);
  return bytes;
}

void RemoveFiles(const std::string& path) {
  for (const char* suffix : {kRingSuffix, kPlansSuffix, kOutboxSuffix, kNextOutboxSuffix}) {
    unlink((path + suffix).c_str());
  }
}

}  // namespace

Result<std::unique_ptr<Writer>> Writer::Create(const std::string& folder,
                                               const ProcessEntry& process, bool own_descriptors) {
  SF_RETURN_IF_ERROR(CheckFolder(folder));
  std::unique_ptr<Writer> writer(new Writer());  // NOLINT: the constructor is private
  writer->path_ = folder + "/" + process.identity.instance;
  const auto create = [&]() -> Status {
    SF_ASSIGN_OR_RETURN(UniqueFd plans, CreateFile(writer->path_ + kPlansSuffix));
    writer->plans_ = JournalWriter(std::move(plans));
    SF_RETURN_IF_ERROR(writer->plans_.Append(kProcessEntry, Encode(process)));
    SF_ASSIGN_OR_RETURN(UniqueFd outbox, CreateFile(writer->path_ + kOutboxSuffix));
    writer->outbox_ = JournalWriter(std::move(outbox));
    SF_ASSIGN_OR_RETURN(writer->ring_fd_, CreateFile(writer->path_ + kRingSuffix));
    if (flock(writer->ring_fd_.get(), LOCK_EX | LOCK_NB) != 0) return ErrnoStatus("flock", errno);
    ring::RingFileHeader header{};
    header.pid = process.identity.pid;
    header.shares_descriptors = own_descriptors ? 0 : 1;
    header.start_time = StartTimeOf(header.pid);
    header.pid_namespace = PidNamespace();
    const std::string& instance = process.identity.instance;
    std::memcpy(header.instance, instance.data(),
                std::min(instance.size(), sizeof header.instance - 1));
    SF_ASSIGN_OR_RETURN(writer->file_, ring::MapRingFile(writer->ring_fd_.get(), header));
    return ring::UseRingFile(writer->file_);
  };
  if (const Status status = create(); !status.ok()) {
    RemoveFiles(writer->path_);
    return status;
  }
  return writer;
}

void Writer::Append(JournalWriter& journal, uint32_t type, const std::string& payload) {
  const Status status = journal.Append(type, payload);
  if (status.ok() || std::exchange(failed_, true)) return;
  LogError("what a kill leaves of this process may be incomplete: " + status.ToString());
}

void Writer::NoteProcess(const ProcessEntry& process) {
  Append(plans_, kProcessEntry, Encode(process));
}

void Writer::NoteModules(const std::vector<agent::LoadedModule>& modules) {
  Append(plans_, kModulesEntry, Encode(modules));
}

void Writer::NoteProbe(const ProbeEntry& probe) { Append(plans_, kProbeEntry, Encode(probe)); }

void Writer::NoteCaller(const CallerEntry& caller) {
  const std::string bytes = Encode(caller);
  if (caller_bytes_ + bytes.size() > kMaxCallerBytes) return;
  caller_bytes_ += bytes.size();
  Append(plans_, kCallerEntry, bytes);
}

void Writer::Mirror(uint64_t ticks, int64_t unix_nanos, uint64_t ticks_per_second,
                    std::span<const ring::RingMirror::Counts> probes) {
  ring::RingMirror mirror{};
  mirror.generation = ++generation_;
  mirror.ticks = ticks;
  mirror.unix_nanos = unix_nanos;
  mirror.ticks_per_second = ticks_per_second;
  mirror.probe_count = static_cast<uint32_t>(std::min<size_t>(probes.size(), ring::kMirrorProbes));
  const size_t counts_bytes = mirror.probe_count * sizeof(ring::RingMirror::Counts);
  if (counts_bytes != 0) std::memcpy(mirror.probes, probes.data(), counts_bytes);
  mirror.checksum = ring::MirrorChecksum(mirror);
  std::memcpy(file_ + ring::kMirrorOffset + (generation_ & 1) * sizeof mirror, &mirror,
              offsetof(ring::RingMirror, probes) + counts_bytes);
}

void Writer::Added(const model::Snapshot& snapshot) {
  if (snapshot.sequence >= kFirstLightSequence) {
    last_.last_light = snapshot.sequence;
    last_.last_light_ticks = ticks_;
    last_.last_light_thread = snapshot.thread_id;
  }
  Append(outbox_, kSnapshotEntry,
         Encode(SnapshotEntry{std::exchange(ticks_, 0), model::EncodeSnapshot(snapshot)}));
}

void Writer::Acked(const std::string& tracepoint_id, uint64_t sequence) {
  ++totals_[tracepoint_id].acked;
  Append(outbox_, kAckedEntry, Encode(OutcomeEntry{tracepoint_id, "", sequence}));
}

void Writer::Dropped(const std::string& tracepoint_id, const std::string& reason,
                     uint64_t sequence) {
  ++totals_[tracepoint_id].dropped[reason];
  Append(outbox_, kDroppedEntry, Encode(OutcomeEntry{tracepoint_id, reason, sequence}));
}

void Writer::Emptied() {
  if (outbox_.size_bytes() < kEmptyOutboxBytes) return;
  TotalsEntry entry = last_;
  for (const auto& [id, totals] : totals_) {
    entry.acked.emplace_back(id, totals.acked);
    for (const auto& [reason, count] : totals.dropped)
      entry.dropped.push_back({{id, reason}, count});
  }
  const std::string totals = Encode(entry);
  if (ReplaceOutbox(totals)) return;
  // The folder is out of reach (another root). A kill between the two steps loses totals and
  // nothing else.
  if (outbox_.Truncate().ok()) Append(outbox_, kTotalsEntry, totals);
}

// Whenever the kill comes, one of the two files is there, whole.
bool Writer::ReplaceOutbox(const std::string& totals) {
  const std::string path = path_ + kOutboxSuffix, next = path_ + kNextOutboxSuffix;
  unlink(next.c_str());
  auto file = CreateFile(next);
  if (!file.ok()) return false;
  JournalWriter journal(std::move(*file));
  if (!journal.Append(kTotalsEntry, totals).ok() || rename(next.c_str(), path.c_str()) != 0) {
    unlink(next.c_str());
    return false;
  }
  outbox_ = std::move(journal);
  return true;
}

void Writer::Remove() { RemoveFiles(path_); }

}  // namespace stillframe::durable
