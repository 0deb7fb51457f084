// What stands in the journals beside a ring file: who the process is, and what its records mean.
//
//   INSTANCE.ring    the ring itself (ring/ring_file.h); its lock is held while the process lives
//   INSTANCE.plans   ProcessEntry, then ModulesEntry, ProbeEntry, CallerEntry as they become known
//   INSTANCE.outbox  snapshots that were decoded and not yet acknowledged, and what became of them
#ifndef STILLFRAME_AGENT_DURABLE_ENTRIES_H_
#define STILLFRAME_AGENT_DURABLE_ENTRIES_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent/loaded_modules.h"
#include "agent/policy.h"
#include "base/archive.h"
#include "model/agent_info.h"

namespace stillframe::durable {

inline constexpr char kRingSuffix[] = ".ring";
inline constexpr char kPlansSuffix[] = ".plans";
inline constexpr char kOutboxSuffix[] = ".outbox";
inline constexpr char kNextOutboxSuffix[] = ".outbox.new";  // before it takes the other's place
// Numbers of what was not numbered by the ring begin here (log messages).
inline constexpr uint64_t kFirstLightSequence = uint64_t{1} << 62;

enum EntryType : uint32_t {
  kProcessEntry = 1,
  kModulesEntry,
  kProbeEntry,
  kCallerEntry,
  kSnapshotEntry,
  kAckedEntry,
  kDroppedEntry,
  kTotalsEntry,
};

inline constexpr uint32_t kEntriesFormat = 2;

struct ProcessEntry {
  uint32_t format = kEntriesFormat;  // of all entries; another one is not read
  model::AgentIdentity identity;
  agent::Policy policy;
};

// What a probe does with its hits, as far as it matters for what they leave behind.
enum class ProbeRole : uint8_t { kRecords, kLight, kSpan, kCounts, kLightSpan };

struct ProbeEntry {
  uint64_t probe_id = 0;
  std::string tracepoint_id;
  uint64_t revision = 0;
  ProbeRole role = ProbeRole::kRecords;
  bool is_log = false;
  std::string log_message;  // the template
  std::vector<std::string> expressions;
  uint64_t load_bias = 0, tls_module = 0;
  std::string plan;  // EncodePlan
};

struct CallerEntry {
  uint64_t pc = 0;
  bool pc_is_exact = false;
  uint64_t load_bias = 0, tls_module = 0;
  std::string module, build_id, function;
  std::string plan;  // EncodeCallerPlan; "" when there is none
};

struct SnapshotEntry {
  uint64_t ticks = 0;    // of a light record: tells it from others of its thread
  std::string snapshot;  // model::EncodeSnapshot
};

// What became of a snapshot. `sequence` 0: it never became one.
struct OutcomeEntry {
  std::string tracepoint_id, reason;
  uint64_t sequence = 0;
};

struct Totals {
  uint64_t acked = 0;
  std::map<std::string, uint64_t> dropped;
};
struct TotalsEntry {
  uint64_t last_light = 0;  // the highest number given to a log message
  uint64_t last_light_ticks = 0;
  uint32_t last_light_thread = 0;
  std::vector<std::pair<std::string, uint64_t>> acked;
  std::vector<std::pair<std::pair<std::string, std::string>, uint64_t>> dropped;
};

template <typename A>
void Fields(A& a, ProbeEntry& e) {
  a(e.probe_id, e.tracepoint_id, e.revision, e.role, e.is_log, e.log_message, e.expressions,
    e.load_bias, e.tls_module, e.plan);
}
template <typename A>
void Fields(A& a, CallerEntry& e) {
  a(e.pc, e.pc_is_exact, e.load_bias, e.tls_module, e.module, e.build_id, e.function, e.plan);
}
template <typename A>
void Fields(A& a, SnapshotEntry& e) {
  a(e.ticks, e.snapshot);
}
template <typename A>
void Fields(A& a, OutcomeEntry& e) {
  a(e.tracepoint_id, e.reason, e.sequence);
}
template <typename A>
void Fields(A& a, TotalsEntry& e) {
  a(e.last_light, e.last_light_ticks, e.last_light_thread, e.acked, e.dropped);
}
template <typename A>
void Fields(A& a, ProcessEntry& e) {
  model::AgentIdentity& i = e.identity;
  agent::Policy& p = e.policy;
  a(e.format, i.instance, i.service, i.version, i.environment, i.labels, i.host, i.pid, i.program,
    i.agent_version, i.start_unix_nanos, p.files.allow, p.files.deny, p.functions.allow,
    p.functions.deny, p.types.allow, p.types.deny, p.names, p.shown_names, p.shown_types,
    p.raw_memory, p.values);
}

}  // namespace stillframe::durable

namespace stillframe::agent {
template <typename A>
void Fields(A& a, LoadedModule& m) {
  a(m.path, m.build_id, m.bias.value, m.tls_module, m.start.value, m.end.value, m.is_agent);
}
}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_DURABLE_ENTRIES_H_
