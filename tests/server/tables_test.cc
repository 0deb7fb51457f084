// Batches with tables: what the agent encodes is what the server reads, and references are hostile.
#include <gtest/gtest.h>

#include "server/wire.h"
#include "stillframe/v1/agent.pb.h"
#include "transport/transport.h"

namespace stillframe::server {
namespace {

model::Snapshot MakeSnapshot(uint64_t sequence) {
  model::Snapshot snapshot;
  snapshot.id = "sn_1";
  snapshot.tracepoint_id = "tp_1";
  snapshot.instance = "i";
  snapshot.time_unix_nanos = 5;
  snapshot.thread_id = 4711;
  snapshot.thread_name = "w\xff";
  model::Value leaf{"[0]", "char", "65 'A'", true, model::ValueStatus::kExact, "", {}};
  model::Value tree{"t", "T", "", false, model::ValueStatus::kTruncated, "LIMIT", {leaf, leaf}};
  model::Frame frame;
  frame.function = "f()";
  frame.file = "/src/f.cc";
  frame.module = "shop";
  frame.build_id = "ab";
  frame.line = 42;
  frame.pc = ~uint64_t{0};
  frame.inlined = true;
  frame.variables = {tree, leaf};
  model::Frame outer;
  outer.variables_reason = "LIMIT";
  snapshot.frames = {frame, outer};
  snapshot.expressions = {leaf};
  snapshot.sequence = sequence;
  return snapshot;
}

TEST(Tables, WhatTheAgentEncodesIsWhatTheServerReads) {
  model::PublishRequest request{"i", "s", 77, {MakeSnapshot(1), MakeSnapshot(2)}};
  const std::string plain = transport::EncodePublishRequest(request);
  request.tables = true;
  const std::string tables = transport::EncodePublishRequest(request);
  EXPECT_LT(tables.size(), plain.size());
  auto from_plain = ParsePublishRequest(plain);
  auto from_tables = ParsePublishRequest(tables);
  ASSERT_TRUE(from_plain.ok() && from_tables.ok());
  ASSERT_EQ(from_tables->snapshots.size(), 2u);
  EXPECT_EQ(from_tables->instance, "i");
  EXPECT_EQ(from_tables->epoch, 77u);
  for (int i = 0; i < 2; ++i) {
    // What the batch says for all of them is not in each.
    model::Snapshot& snapshot = from_tables->snapshots[i];
    EXPECT_EQ(snapshot.id, "");
    snapshot.id = from_plain->snapshots[i].id;
    snapshot.instance = from_plain->snapshots[i].instance;
    EXPECT_EQ(model::SnapshotToJson(snapshot), model::SnapshotToJson(from_plain->snapshots[i]));
  }
}

TEST(Tables, EmptyNamesAndValuesStayEmpty) {
  model::Snapshot snapshot;
  snapshot.expressions.resize(1);
  snapshot.frames.resize(1);
  auto read = ParsePublishRequest(transport::EncodePublishRequest(
      {.instance = "i", .service = "s", .epoch = 1, .snapshots = {snapshot}, .tables = true}));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(model::SnapshotToJson(read->snapshots[0]), model::SnapshotToJson(snapshot));
}

Status Read(const v1::PublishRequest& request) {
  return ParsePublishRequest(request.SerializeAsString()).status();
}

TEST(Tables, ReferencesThatLeadNowhereAreRefused) {
  v1::PublishRequest request;
  request.add_snapshots()->add_expressions()->set_label(1);
  EXPECT_EQ(Read(request).code(), Code::kCorrupt);
  request.add_labels()->set_name(1);
  EXPECT_EQ(Read(request).message(), "a string is in no table");
  request.add_strings("x");
  EXPECT_TRUE(Read(request).ok());
  request.mutable_snapshots(0)->add_frames()->set_place(~0u);
  EXPECT_EQ(Read(request).message(), "a place is in no table");
  request.mutable_snapshots(0)->clear_frames();
  request.mutable_snapshots(0)->set_thread_string(2);
  EXPECT_EQ(Read(request).code(), Code::kCorrupt);
}

TEST(Tables, AFewBytesDoNotBecomeGigabytes) {
  v1::PublishRequest request;
  request.add_strings(std::string(1u << 20, 'x'));
  request.add_labels()->set_name(1);
  v1::Snapshot& snapshot = *request.add_snapshots();
  for (int i = 0; i < 10'000; ++i) snapshot.add_expressions()->set_label(1);
  EXPECT_EQ(Read(request).code(), Code::kOverLimit);
}

}  // namespace
}  // namespace stillframe::server
