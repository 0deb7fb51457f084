// A snapshot with everything that the wire knows, strings that are no text among it.
#ifndef STILLFRAME_TESTS_TRANSPORT_SAMPLE_SNAPSHOT_H_
#define STILLFRAME_TESTS_TRANSPORT_SAMPLE_SNAPSHOT_H_

#include <string>
#include <vector>

#include "model/snapshot.h"
#include "transport/snapshot_pack.h"

namespace stillframe::transport {

inline model::Snapshot SampleSnapshot(uint64_t sequence) {
  model::Value leaf{"[0]", "char", "65 'A'", true, model::ValueStatus::kExact, "", {}};
  model::Value odd{
      "\xff",        "T\x01", std::string("\0\xfe", 2), true, model::ValueStatus::kRecovered,
      "entry value", {}};
  model::Value tree{"t", "T", "", false, model::ValueStatus::kTruncated, "LIMIT", {leaf, odd}};
  model::Frame frame;
  frame.function = "f()";
  frame.file = "/src/f.cc";
  frame.module = "shop";
  frame.build_id = "ab";
  frame.line = 42;
  frame.pc = ~uint64_t{0};
  frame.inlined = true;
  frame.variables = {tree, leaf, {}};
  model::Frame outer;
  outer.variables_reason = "LIMIT";
  model::Snapshot snapshot;
  snapshot.kind = model::Kind::kSpan;
  snapshot.id = "sn_0123_" + std::to_string(sequence);
  snapshot.tracepoint_id = "tp_1";
  snapshot.service = "shop";
  snapshot.instance = "i-1";
  snapshot.time_unix_nanos = -5;
  snapshot.thread_id = 4711;
  snapshot.thread_name = "w\xff";
  snapshot.trace = {"0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", true};
  snapshot.frames = {frame, outer, {}};
  snapshot.expressions = {leaf, tree};
  snapshot.message = "m\xff";
  snapshot.fingerprint = "f";
  snapshot.duration_nanos = 77;
  snapshot.capture_nanos = 5;
  snapshot.truncated = true;
  snapshot.sequence = sequence;
  return snapshot;
}

// As the agent encodes them in one batch.
inline std::string EncodeWithTables(const std::string& instance, uint64_t epoch,
                                    const std::vector<model::Snapshot>& snapshots) {
  SnapshotPack pack;
  std::vector<SnapshotPack::Place> places;
  for (const model::Snapshot& snapshot : snapshots) places.push_back(pack.Add(snapshot));
  model::AgentIdentity sender;
  sender.instance = instance;
  sender.service = "shop";
  sender.start_unix_nanos = static_cast<int64_t>(epoch);
  return pack.Encode(sender, places);
}

}  // namespace stillframe::transport

#endif  // STILLFRAME_TESTS_TRANSPORT_SAMPLE_SNAPSHOT_H_
