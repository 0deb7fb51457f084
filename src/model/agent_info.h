// Who an agent is and what poll and publish exchange, independent of the wire's encoding.
#ifndef STILLFRAME_MODEL_AGENT_INFO_H_
#define STILLFRAME_MODEL_AGENT_INFO_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/snapshot.h"
#include "model/tracepoint.h"

namespace stillframe::model {

struct AgentIdentity {
  std::string instance;  // random UUID per process epoch
  std::string service, version, environment;
  std::vector<std::pair<std::string, std::string>> labels;
  std::string host;
  uint32_t pid = 0;
  std::string program;  // path of the executable
  std::string agent_version;
  std::vector<std::pair<std::string, std::string>> modules;  // file name, build-id
  int64_t start_unix_nanos = 0;
  // Cost so far.
  double cpu_seconds = 0;  // of the agent thread and of hits
  uint64_t rss_bytes = 0;  // of its unwind tables and ring
};

// As in GET …/agents. `last_seen_unix_ms` is the server's clock; `stopped` says who holds the kill
// switch, "" when nobody does.
std::string AgentToJson(const AgentIdentity& identity, int64_t last_seen_unix_ms,
                        const std::string& stopped);
// Whether the selector means this process (threads and requests are the hit path's to tell apart).
bool Selects(const Selector& selector, const AgentIdentity& identity);

// How many hits an agent may take of a tracepoint's revision.
struct Lease {
  uint64_t granted = 0;
  bool over = false;     // the fleet has taken all
  uint64_t version = 0;  // goes up with each change of this agent's grant

  bool operator==(const Lease&) const = default;
};

struct DesiredTracepoint {
  std::string id;
  uint64_t revision = 0;
  uint64_t expires_unix_ms = 0;  // 0 = never
  TracepointSpec spec;
  std::optional<Lease> lease;  // absent: maxHits is the agent's own to keep
};

// The whole desired set of this agent's service and selector.
struct DesiredSet {
  uint64_t revision = 0;  // of the set; the agent repeats it in its next poll
  std::vector<DesiredTracepoint> tracepoints;
  std::optional<std::string> stop;  // the kill switch is on, and why: nothing may be armed
};

struct TracepointReport {
  std::string id;
  AgentStatus status;
};

// A question of the server (GET …/lines, …/variables), answered with the next poll.
struct Query {
  std::string id;
  std::string kind;  // "lines" or "variables"
  std::string file;
  uint32_t line = 0;
};
struct Answer {
  std::string query_id;
  std::string json;                       // the REST body
  std::string error_code, error_message;  // or this
};

struct PollRequest {
  AgentIdentity identity;
  uint64_t known_revision = 0;
  uint32_t hold_ms = 50'000;  // how long the server may hold the poll
  std::vector<TracepointReport> reports;
  std::vector<Answer> answers;
  bool leaving = false;  // the last poll of this process
};
struct PollResponse {
  bool unchanged = false;
  DesiredSet desired;  // when !unchanged
  std::vector<Query> queries;
  bool takes_tables = false;  // the server reads batches with tables
};

struct PublishRequest {
  std::string instance;
  std::string service;
  uint64_t epoch = 0;               // start time in ns: distinguishes processes and forks
  std::vector<Snapshot> snapshots;  // each with its sequence
};
struct PublishResponse {
  std::vector<uint64_t> acked;  // sequences that are durable now (or were before)
};

}  // namespace stillframe::model

#endif  // STILLFRAME_MODEL_AGENT_INFO_H_
