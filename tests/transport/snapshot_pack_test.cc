// Snapshots in the wire's form and back.
#include "transport/snapshot_pack.h"

#include <gtest/gtest.h>

#include "stillframe/v1/agent.pb.h"
#include "tests/transport/sample_snapshot.h"

namespace stillframe::transport {
namespace {

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
  for (uint64_t i = 9; i <= 11; ++i) places.push_back(pack.Add(SampleSnapshot(i)));
  model::Snapshot other = SampleSnapshot(12);
  other.id = "an id of its own";
  places.push_back(pack.Add(other));
  model::Snapshot nothing;
  nothing.service = "shop";
  nothing.instance = "i-1";
  places.push_back(pack.Add(nothing));
  const auto out = pack.Decode(places);
  ASSERT_EQ(out.size(), 5u);
  for (uint64_t i = 0; i < 3; ++i) ExpectSame(out[i], SampleSnapshot(9 + i));
  ExpectSame(out[3], other);
  // Any of them alone.
  const auto last = pack.Decode({places[3], places[0]});
  ASSERT_EQ(last.size(), 2u);
  ExpectSame(last[0], other);
  ExpectSame(last[1], SampleSnapshot(9));
}

// What the server makes of it: tests/server/tables_test.cc.
TEST(SnapshotPack, EncodesThoseThatAreAskedFor) {
  SnapshotPack pack;
  std::vector<SnapshotPack::Place> places;
  for (uint64_t i = 1; i <= 3; ++i) places.push_back(pack.Add(SampleSnapshot(i)));
  model::AgentIdentity sender;
  sender.instance = "i-1";
  sender.service = "shop";
  sender.start_unix_nanos = 5;
  v1::PublishRequest read;
  ASSERT_TRUE(read.ParseFromString(pack.Encode(sender, {places[1]})));
  EXPECT_EQ(read.instance(), "i-1");
  EXPECT_EQ(read.service(), "shop");
  EXPECT_EQ(read.epoch(), 5u);
  ASSERT_EQ(read.snapshots_size(), 1);
  EXPECT_EQ(read.snapshots(0).sequence(), 2u);
}

TEST(SnapshotPack, IsSmall) {
  SnapshotPack pack;
  for (uint64_t i = 1; i <= 500; ++i) pack.Add(SampleSnapshot(i));
  EXPECT_LT(pack.bytes(), 500u * 500);
}

TEST(SnapshotPack, OneProcessOnly) {
  SnapshotPack pack;
  EXPECT_TRUE(pack.Fits(SampleSnapshot(1)));
  pack.Add(SampleSnapshot(1));
  model::Snapshot other = SampleSnapshot(2);
  EXPECT_TRUE(pack.Fits(other));
  other.instance = "i-2";
  EXPECT_FALSE(pack.Fits(other));
}

}  // namespace
}  // namespace stillframe::transport
