// Of the store: what those have to know who find this process's ring after its death.
#include "agent/tracepoint_store.h"
#include "plan/plan_codec.h"

namespace stillframe::agent {
namespace {

durable::ProbeRole RoleOf(const hit::ProbeRuntime& runtime) {
  switch (runtime.action) {
    case hit::Action::kLog:
      return durable::ProbeRole::kLight;
    case hit::Action::kEndSpan:
      return runtime.light != nullptr ? durable::ProbeRole::kLightSpan : durable::ProbeRole::kSpan;
    case hit::Action::kCount:
    case hit::Action::kMeasure:
    case hit::Action::kStash:  // counts nothing, and is not told of
      return durable::ProbeRole::kCounts;
    case hit::Action::kCapture:
    case hit::Action::kBeginSpan:
      break;
  }
  return durable::ProbeRole::kRecords;
}

}  // namespace

void TracepointStore::NoteProbe(const model::DesiredTracepoint& tracepoint,
                                const ModuleProbe& probe) {
  durable::ProbeEntry entry;
  entry.probe_id = probe.id();
  entry.tracepoint_id = probe.tracepoint_id();
  entry.revision = tracepoint.revision;
  entry.role = RoleOf(probe.runtime());
  entry.is_log = probe.log().has_value();
  entry.log_message = tracepoint.spec.log_message;
  entry.load_bias = probe.module().bias.value;
  entry.tls_module = probe.module().tls_module;
  entry.plan = EncodePlan(probe.plan());
  options_.durable->NoteProbe(entry);
}

std::vector<ring::RingMirror::Counts> TracepointStore::MirrorCounts() const {
  std::vector<ring::RingMirror::Counts> counts;
  for (const auto& [id, active] : active_) {
    if (active.last_probe_id == 0 || counts.size() == ring::kMirrorProbes) continue;
    const hit::CounterSums sums = Sums(active);
    ring::RingMirror::Counts& one = counts.emplace_back();
    one.probe_id = active.last_probe_id;
    static_assert(ring::kMirrorCounts == hit::kCounterCount);
    for (uint32_t i = 0; i < ring::kMirrorCounts; ++i) one.count[i] = sums.count[i];
    one.count[hit::kCaptured] = Counted(active);
  }
  return counts;
}

}  // namespace stillframe::agent
