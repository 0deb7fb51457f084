// Of a dead process: its records, and the sums over them.
#include <algorithm>
#include <cstring>

#include "agent/decode/light_builder.h"
#include "agent/decode/record_view.h"
#include "agent/durable/dead_process_impl.h"
#include "agent/log_message.h"
#include "agent/thrown.h"
#include "base/ticks.h"
#include "model/prune.h"
#include "model/snapshot_codec.h"

namespace stillframe::durable {
namespace {

constexpr uint64_t kLeastSnapshotBytes = 64u << 10;
constexpr uint64_t kTextPerByte = 8;

}  // namespace

uint64_t DeadProcess::Nanos(uint64_t ticks) const {
  return TicksToNanos(ticks, mirror_.ticks_per_second);
}

void DeadProcess::Drop(const std::string& tracepoint_id, const std::string& reason) {
  ++totals_[tracepoint_id].dropped[reason];
}

void DeadProcess::FindRecords() {
  for (uint32_t slot = 0; slot < ring::kSlotCount; ++slot) {
    RecordHeader header;
    std::memcpy(&header, ring_.data() + ring::kSlotOffset + uint64_t{slot} * ring::kSlotBytes,
                sizeof header);
    // 0: being written when the process died, or never used.
    if (header.magic != kRecordMagic || header.sequence == 0) continue;
    // Decoded already, but not wiped yet.
    if (waiting_.contains(header.sequence) || done_.contains(header.sequence)) continue;
    records_.emplace_back(header.sequence, slot);
  }
  std::sort(records_.begin(), records_.end());
}

std::optional<model::Snapshot> DeadProcess::Next() {
  std::optional<model::Snapshot> next;
  while (!waiting_.empty() && !next) {
    const auto first = waiting_.extract(waiting_.begin());
    auto snapshot = model::DecodeSnapshot(first.mapped().snapshot);
    if (snapshot.ok()) next = std::move(*snapshot);
  }
  if (!next) next = NextRecord();
  if (!next) next = NextLight();
  if (next) ++recovered_[next->tracepoint_id];
  return next;
}

std::optional<model::Snapshot> DeadProcess::NextRecord() {
  while (!records_.empty()) {
    const auto [sequence, slot] = records_.front();
    records_.pop_front();
    const auto* const at = reinterpret_cast<const uint8_t*>(ring_.data() + ring::kSlotOffset +
                                                            uint64_t{slot} * ring::kSlotBytes);
    auto snapshot = Decode({at, ring::kSlotBytes});
    if (snapshot.ok()) return std::move(*snapshot);
    Problem("record " + std::to_string(sequence) + ": " + snapshot.status().ToString());
  }
  return std::nullopt;
}

Result<model::Snapshot> DeadProcess::Decode(std::span<const uint8_t> record) {
  RecordHeader header;
  std::memcpy(&header, record.data(), sizeof header);
  SF_ASSIGN_OR_RETURN(const Probe* probe, FindProbe(header.probe_id));
  const std::string& id = probe->entry.tracepoint_id;
  decode::BuildInput input;
  input.record = record.first(std::min<size_t>(header.size_bytes, record.size()));
  input.plan = &probe->plan;
  input.load_bias = probe->entry.load_bias;
  input.tls_module = probe->entry.tls_module;
  input.limits = probe->plan.limits;
  input.redaction = &redaction_;
  input.resolve_frame = [this](uint64_t pc, bool exact) { return Resolve(pc, exact); };
  input.symbol_name = [this](uint64_t address) { return SymbolName(address); };
  ProbePlan place;
  if (header.signal_number != 0) {
    // Where a signal came, no plan was made: the function alone is named.
    place = PlanOfFunction(SymbolName(header.registers.rip));
    input.plan = &place;
  }
  auto snapshot = decode::BuildSnapshot(input);
  if (!snapshot.ok()) {
    Drop(id, "undecodable");
    return snapshot.status();
  }
  if (probe->entry.is_log) agent::MakeLogEvent(probe->log, *snapshot, &redaction_);
  if (probe->plan.hides_site_frame) agent::NameThrown(*snapshot);
  if (header.signal_number != 0) agent::AddFault(header, *snapshot);
  if (header.fingerprint != 0) {
    snapshot->fingerprint = agent::FingerprintText(header.fingerprint);
  }
  if (probe->entry.role == ProbeRole::kSpan) {
    snapshot->kind = model::Kind::kSpan;
    snapshot->duration_nanos = Nanos(header.span_ticks);
    if (!snapshot->frames.empty()) snapshot->frames.resize(1);
  }
  const auto denies = [this](const model::Frame& frame) {
    return !process_.policy.CheckPlace(frame.file, frame.function).ok();
  };
  if (probe->plan.hides_site_frame && !snapshot->frames.empty() && denies(snapshot->frames[0])) {
    agent::HideThrown(*snapshot);
  }
  for (model::Frame& frame : snapshot->frames) {
    if (frame.variables.empty() || !denies(frame)) continue;
    frame.variables.clear();
    frame.variables_reason = CodeName(Code::kDeniedByPolicy);
  }
  Describe(*snapshot, *probe, header.sequence, header.start_ticks - header.span_ticks);
  snapshot->capture_nanos = static_cast<uint32_t>(
      std::min<uint64_t>(Nanos(header.end_ticks - header.start_ticks), UINT32_MAX));
  model::Prune(*snapshot, std::max(kLeastSnapshotBytes, kTextPerByte * probe->plan.limits.bytes));
  return snapshot;
}

void DeadProcess::Describe(model::Snapshot& snapshot, const Probe& probe, uint64_t sequence,
                           uint64_t ticks) {
  const std::string& instance = process_.identity.instance;
  snapshot.tracepoint_id = probe.entry.tracepoint_id;
  snapshot.service = process_.identity.service;
  snapshot.instance = instance;
  std::string short_name = instance.substr(0, 13);
  std::erase(short_name, '-');
  snapshot.id = "sn_" + short_name + "_" + std::to_string(sequence);
  snapshot.sequence = sequence;
  if (mirror_.generation == 0) return;
  // Before the agent's last turn, or after it.
  const uint64_t past = mirror_.ticks - ticks;
  const bool is_later = static_cast<int64_t>(past) < 0;
  const auto distance = static_cast<int64_t>(Nanos(is_later ? uint64_t{0} - past : past));
  int64_t time = 0;
  if (!__builtin_sub_overflow(mirror_.unix_nanos, is_later ? -distance : distance, &time)) {
    snapshot.time_unix_nanos = time;
  }
}

std::optional<model::Snapshot> DeadProcess::NextLight() {
  for (; stream_ < ring::kFileStreams; ++stream_, stream_done_ = 0) {
    uint64_t tail = 0;
    std::memcpy(&tail, ring_.data() + ring::kTailOffset + stream_ * sizeof tail, sizeof tail);
    const char* const stream =
        ring_.data() + ring::kStreamOffset + uint64_t{stream_} * ring::kStreamStride;
    while (stream_done_ < ring::kStreamBytes) {
      const char* const at = stream + ((tail + stream_done_) & (ring::kStreamBytes - 1) & ~7ull);
      LightHeader header;
      std::memcpy(&header, at, sizeof header);
      // Not committed: what the thread was writing when it died. Nothing is behind it but what
      // signal handlers wrote meanwhile, whose place is not known.
      if (header.state != kLightCommitted) break;
      if (header.size_bytes < sizeof(LightHeader) + sizeof(TraceContextRecord) ||
          header.size_bytes % 8 != 0 || header.size_bytes > kMaxLightBytes) {
        Problem("a thread's light records end in a damaged one");
        break;
      }
      const bool first = stream_done_ == 0;
      stream_done_ += header.size_bytes;
      // Decoded already, but not wiped yet: only the first can be that.
      if (first && header.ticks == last_.last_light_ticks &&
          header.thread_id == last_.last_light_thread) {
        continue;
      }
      auto snapshot =
          DecodeLight({reinterpret_cast<const uint8_t*>(at), header.size_bytes}, header);
      if (snapshot.ok()) return std::move(*snapshot);
      Problem("a light record: " + snapshot.status().ToString());
    }
  }
  return std::nullopt;
}

Result<model::Snapshot> DeadProcess::DecodeLight(std::span<const uint8_t> record,
                                                 const LightHeader& header) {
  SF_ASSIGN_OR_RETURN(const Probe* probe, FindProbe(header.probe_id));
  decode::LightInput input;
  input.record = record;
  input.plan = &probe->plan;
  input.sites = probe->light.sites();
  input.symbol_name = [this](uint64_t address) { return SymbolName(address); };
  const auto span_ticks = decode::ReadSpanTicks(input, header);
  auto snapshot = span_ticks.ok() ? decode::BuildLightSnapshot(input) : span_ticks.status();
  if (!snapshot.ok()) {
    Drop(probe->entry.tracepoint_id, "undecodable");
    return snapshot.status();
  }
  if (*span_ticks) {
    snapshot->kind = model::Kind::kSpan;
    snapshot->duration_nanos = Nanos(**span_ticks);
  } else {
    agent::MakeLogEvent(probe->log, *snapshot, &redaction_);
  }
  last_.last_light = std::max(last_.last_light, kFirstLightSequence) + 1;
  Describe(*snapshot, *probe, last_.last_light, header.ticks - span_ticks->value_or(0));
  return snapshot;
}

std::vector<model::TracepointReport> DeadProcess::Reports() const {
  std::map<std::string, model::Counters> sums;
  std::map<std::string, uint64_t> revisions;  // the last of each
  for (const auto& [id, probe] : probes_) {
    model::Counters& sum = sums[probe->entry.tracepoint_id];
    uint64_t& revision = revisions[probe->entry.tracepoint_id];
    revision = std::max(revision, probe->entry.revision);
    for (uint32_t i = 0; i < mirror_.probe_count; ++i) {
      if (mirror_.probes[i].probe_id != id) continue;
      const uint64_t* const count = mirror_.probes[i].count;
      sum.condition_false += count[1];
      sum.condition_error += count[2];
      sum.rate_limited += count[3];
      sum.budget_stopped += count[4];
      sum.reentrant += count[5];
      sum.ring_full += count[6];
      sum.unsafe_context += count[7];
      // What leaves no record was delivered by being counted.
      if (probe->entry.role == ProbeRole::kCounts) sum.acked += count[8];
    }
  }
  std::vector<model::TracepointReport> reports;
  for (auto& [id, sum] : sums) {
    if (const auto found = totals_.find(id); found != totals_.end()) {
      sum.acked += found->second.acked;
      sum.dropped = found->second.dropped;
    }
    const auto found = recovered_.find(id);
    sum.in_flight = found == recovered_.end() ? 0 : found->second;
    sum.captured = sum.acked + sum.in_flight;
    for (const auto& [reason, count] : sum.dropped) sum.captured += count;
    sum.hits = sum.condition_false + sum.condition_error + sum.rate_limited + sum.budget_stopped +
               sum.reentrant + sum.ring_full + sum.unsafe_context + sum.captured;
    model::TracepointReport report;
    report.id = id;
    report.status.instance = process_.identity.instance;
    report.status.state = model::State::kEmitting;
    report.status.counters = sum;
    report.status.revision = revisions[id];
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace stillframe::durable
