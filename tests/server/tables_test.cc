// Batches with tables: what the agent encodes is what the server reads, and references are hostile.
#include <gtest/gtest.h>

#include "server/wire.h"
#include "stillframe/v1/agent.pb.h"
#include "tests/transport/sample_snapshot.h"
#include "transport/transport.h"

namespace stillframe::server {
namespace {

TEST(Tables, WhatTheAgentEncodesIsWhatTheServerReads) {
  const model::PublishRequest request{
      "i-1", "shop", 77, {transport::SampleSnapshot(1), transport::SampleSnapshot(2)}};
  const std::string plain = transport::EncodePublishRequest(request);
  const std::string tables = transport::EncodeWithTables("i-1", 77, request.snapshots);
  EXPECT_LT(tables.size(), plain.size());
  auto from_plain = ParsePublishRequest(plain);
  auto from_tables = ParsePublishRequest(tables);
  ASSERT_TRUE(from_plain.ok() && from_tables.ok());
  ASSERT_EQ(from_tables->snapshots.size(), 2u);
  EXPECT_EQ(from_tables->instance, "i-1");
  EXPECT_EQ(from_tables->epoch, 77u);
  for (int i = 0; i < 2; ++i) {
    // What the batch says for all of them is not in each.
    model::Snapshot& snapshot = from_tables->snapshots[i];
    EXPECT_EQ(snapshot.id, "");
    snapshot.id = from_plain->snapshots[i].id;
    snapshot.instance = from_plain->snapshots[i].instance;
    snapshot.service = from_plain->snapshots[i].service;
    EXPECT_EQ(model::SnapshotToJson(snapshot), model::SnapshotToJson(from_plain->snapshots[i]));
  }
}

TEST(Tables, EmptyNamesAndValuesStayEmpty) {
  model::Snapshot snapshot;
  snapshot.expressions.resize(1);
  snapshot.frames.resize(1);
  auto read = ParsePublishRequest(transport::EncodeWithTables("", 1, {snapshot}));
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
