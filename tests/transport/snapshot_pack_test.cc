// Snapshots in the wire's form and back.
#include "transport/snapshot_pack.h"

#include <gtest/gtest.h>

#include "stillframe/v1/agent.pb.h"
#include "transport/transport.h"

namespace stillframe::transport {
namespace {

model::Snapshot MakeSnapshot(uint64_t sequence) {
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

void ExpectSame(const model::Value& a, const model::Value& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.type, b.type);
  EXPECT_EQ(a.value, b.value);
  EXPECT_EQ(a.has_value, b.has_value);
  EXPECT_EQ(a.status, b.status);
  EXPECT_EQ(a.reason, b.reason);
  ASSERT_EQ(a.children.size(), b.children.size());
  for (size_t i = 0; i < a.children.size(); ++i) ExpectSame(a.children[i], b.children[i]);
}

void ExpectSame(const model::Snapshot& a, const model::Snapshot& b) {
  EXPECT_EQ(model::SnapshotToJson(a), model::SnapshotToJson(b));
  // What JSON does not show, or shows in another form.
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.sequence, b.sequence);
  EXPECT_EQ(a.thread_name, b.thread_name);
  EXPECT_EQ(a.message, b.message);
  EXPECT_EQ(a.duration_nanos, b.duration_nanos);
  ASSERT_EQ(a.frames.size(), b.frames.size());
  for (size_t f = 0; f < a.frames.size(); ++f) {
    ASSERT_EQ(a.frames[f].variables.size(), b.frames[f].variables.size());
    for (size_t v = 0; v < a.frames[f].variables.size(); ++v) {
      ExpectSame(a.frames[f].variables[v], b.frames[f].variables[v]);
    }
  }
}

TEST(SnapshotPack, WhatGoesInComesOut) {
  SnapshotPack pack;
  std::vector<SnapshotPack::Place> places;
  for (uint64_t i = 9; i <= 11; ++i) places.push_back(pack.Add(MakeSnapshot(i)));
  model::Snapshot other = MakeSnapshot(12);
  other.id = "an id of its own";
  places.push_back(pack.Add(other));
  model::Snapshot nothing;
  nothing.service = "shop";
  nothing.instance = "i-1";
  places.push_back(pack.Add(nothing));
  const auto out = pack.Decode(places);
  ASSERT_EQ(out.size(), 5u);
  for (uint64_t i = 0; i < 3; ++i) ExpectSame(out[i], MakeSnapshot(9 + i));
  ExpectSame(out[3], other);
  // Any of them alone.
  const auto last = pack.Decode({places[3], places[0]});
  ASSERT_EQ(last.size(), 2u);
  ExpectSame(last[0], other);
  ExpectSame(last[1], MakeSnapshot(9));
}

TEST(SnapshotPack, EncodesWhatTheBatchesEncoderDoes) {
  SnapshotPack pack;
  model::PublishRequest request{"i-1", "shop", 5, {}, true};
  std::vector<SnapshotPack::Place> places;
  for (uint64_t i = 1; i <= 3; ++i) {
    request.snapshots.push_back(MakeSnapshot(i));
    places.push_back(pack.Add(request.snapshots.back()));
  }
  model::AgentIdentity sender;
  sender.instance = "i-1";
  sender.service = "shop";
  sender.start_unix_nanos = 5;
  EXPECT_EQ(pack.Encode(sender, places), EncodePublishRequest(request));
  v1::PublishRequest read;
  ASSERT_TRUE(read.ParseFromString(pack.Encode(sender, {places[1]})));
  ASSERT_EQ(read.snapshots_size(), 1);
  EXPECT_EQ(read.snapshots(0).sequence(), 2u);
}

TEST(SnapshotPack, IsSmall) {
  SnapshotPack pack;
  for (uint64_t i = 1; i <= 500; ++i) pack.Add(MakeSnapshot(i));
  EXPECT_LT(pack.bytes(), 500u * 500);
}

TEST(SnapshotPack, OneProcessOnly) {
  SnapshotPack pack;
  EXPECT_TRUE(pack.Fits(MakeSnapshot(1)));
  pack.Add(MakeSnapshot(1));
  model::Snapshot other = MakeSnapshot(2);
  EXPECT_TRUE(pack.Fits(other));
  other.instance = "i-2";
  EXPECT_FALSE(pack.Fits(other));
}

}  // namespace
}  // namespace stillframe::transport
