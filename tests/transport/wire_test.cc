// The agent's encoding against libprotobuf's.
#include <gtest/gtest.h>

#include <random>

#include "stillframe/v1/agent.pb.h"
#include "transport/transport.h"

namespace stillframe::transport {
namespace {

model::Snapshot MakeSnapshot() {
  model::Snapshot snapshot;
  snapshot.id = "sn_1";
  snapshot.tracepoint_id = "tp_1";
  snapshot.time_unix_nanos = -5;
  snapshot.thread_id = 4711;
  snapshot.thread_name = std::string("w\xff\0x", 4);
  snapshot.trace = {"4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", true};
  model::Value leaf{"[0]", "char", "65 'A'", true, model::ValueStatus::kExact, "", {}};
  model::Value tree{"t", "T", "", false, model::ValueStatus::kTruncated, "LIMIT", {leaf, leaf}};
  model::Frame frame;
  frame.function = "f()";
  frame.line = 42;
  frame.pc = ~uint64_t{0};
  frame.inlined = true;
  frame.variables = {tree};
  snapshot.frames = {frame, model::Frame()};
  snapshot.expressions = {leaf};
  snapshot.capture_nanos = 2150;
  snapshot.sequence = 9;
  return snapshot;
}

TEST(Wire, TextThatIsNotUtf8DoesNotSpoilTheMessage) {
  model::PollRequest request;
  request.identity.host = "h\xff\xfe";
  request.identity.labels = {{"k\xc0", "\xed\xa0\x80"}};
  model::TracepointReport report;
  report.status.message = std::string("bad \x80 name \xf0\x9f\x98\x80");
  request.reports = {report};
  v1::PollRequest read;
  ASSERT_TRUE(read.ParseFromString(EncodePollRequest(request)));
  EXPECT_EQ(read.identity().host(), "h\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(read.reports(0).message(), "bad \xEF\xBF\xBD name \xf0\x9f\x98\x80");
}

TEST(Wire, ValuesNestedWithoutEndAreCutNotRefused) {
  model::Value value{"leaf", "T", "1", true, model::ValueStatus::kExact, "", {}};
  for (int i = 0; i < 200; ++i) {
    value = {"v", "T", "", false, model::ValueStatus::kExact, "", {std::move(value)}};
  }
  model::Snapshot snapshot;
  snapshot.expressions = {value};
  v1::PublishRequest read;
  ASSERT_TRUE(read.ParseFromString(EncodePublishRequest({"i", "s", 1, {snapshot}})));
  const v1::Value* at = &read.snapshots(0).expressions(0);
  while (at->children_size() != 0) at = &at->children(0);
  EXPECT_EQ(at->reason(), "LIMIT");
}

TEST(Wire, PublishIsReadByLibprotobuf) {
  model::PublishRequest request{"i", "s", 77, {MakeSnapshot(), MakeSnapshot()}};
  stillframe::v1::PublishRequest read;
  ASSERT_TRUE(read.ParseFromString(EncodePublishRequest(request)));
  EXPECT_EQ(read.epoch(), 77u);
  ASSERT_EQ(read.snapshots_size(), 2);
  const auto& snapshot = read.snapshots(1);
  EXPECT_EQ(snapshot.time_unix_nanos(), -5);
  EXPECT_EQ(snapshot.thread_name(), std::string("w\xff\0x", 4));
  EXPECT_EQ(snapshot.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
  ASSERT_EQ(snapshot.frames_size(), 2);
  EXPECT_EQ(snapshot.frames(0).pc(), ~uint64_t{0});
  EXPECT_TRUE(snapshot.frames(0).inlined());
  const auto& tree = snapshot.frames(0).variables(0);
  EXPECT_EQ(tree.status(), stillframe::v1::TRUNCATED);
  EXPECT_EQ(tree.children(1).value(), "65 'A'");
  EXPECT_TRUE(tree.children(1).has_value());
  EXPECT_EQ(snapshot.expressions(0).name(), "[0]");
  EXPECT_EQ(snapshot.sequence(), 9u);
}

TEST(Wire, LogMessagesAreReadByLibprotobuf) {
  model::Snapshot log = MakeSnapshot();
  log.kind = model::Kind::kLog;
  log.message = "order 17 for \xc3\xb6";
  v1::PublishRequest read;
  ASSERT_TRUE(read.ParseFromString(EncodePublishRequest({"i", "s", 1, {log, MakeSnapshot()}})));
  EXPECT_EQ(read.snapshots(0).kind(), v1::LOG);
  EXPECT_EQ(read.snapshots(0).message(), log.message);
  EXPECT_EQ(read.snapshots(1).kind(), v1::SNAPSHOT);
  EXPECT_EQ(read.snapshots(1).message(), "");
}

TEST(Wire, PollIsReadByLibprotobuf) {
  model::PollRequest request;
  request.identity.instance = "i";
  request.identity.labels = {{"zone", "a"}};
  request.identity.cpu_seconds = 1.5;
  request.known_revision = 3;
  model::TracepointReport report;
  report.id = "tp";
  report.status.state = model::State::kError;
  report.status.reason = "BAD_EXPRESSION";
  report.status.sites = {{"m", "b", "f", 0x12a4, "EXACT_PUN", ""}};
  report.status.counters.hits = 10;
  report.status.counters.dropped["outboxFull"] = 2;
  request.reports = {report};
  request.answers = {{"q", "{}", "", ""}};
  stillframe::v1::PollRequest read;
  ASSERT_TRUE(read.ParseFromString(EncodePollRequest(request)));
  EXPECT_EQ(read.identity().labels(0).key(), "zone");
  EXPECT_EQ(read.identity().cpu_seconds(), 1.5);
  EXPECT_EQ(read.reports(0).state(), stillframe::v1::ERROR);
  EXPECT_EQ(read.reports(0).sites(0).address(), 0x12a4u);
  EXPECT_EQ(read.reports(0).counters().dropped(0).count(), 2u);
  EXPECT_EQ(read.answers(0).query_id(), "q");
}

TEST(Wire, ReadsWhatLibprotobufWrites) {
  stillframe::v1::PollResponse response;
  response.set_revision(8);
  auto& tracepoint = *response.add_tracepoints();
  tracepoint.set_id("tp");
  tracepoint.set_revision(2);
  auto& spec = *tracepoint.mutable_spec();
  spec.mutable_location()->set_file("a.cc");
  spec.mutable_location()->set_line(42);
  spec.add_expressions("x");
  spec.mutable_limits()->set_max_hits(7);
  spec.mutable_limits()->set_per_second(0.5);
  spec.mutable_capture()->set_frames(1'000'000);  // beyond what an agent accepts
  spec.set_kind(static_cast<stillframe::v1::Kind>(99));
  response.add_queries()->set_kind("lines");
  const auto read = DecodePollResponse(response.SerializeAsString());
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->desired.revision, 8u);
  const auto& desired = read->desired.tracepoints.at(0);
  EXPECT_EQ(desired.spec.location.line, 42u);
  EXPECT_EQ(desired.spec.limits.per_second, 0.5);
  EXPECT_EQ(desired.spec.capture.frames, 128u);
  EXPECT_NE(desired.spec.kind, model::Kind::kSnapshot);  // an unknown kind is never taken for one
  stillframe::v1::PublishResponse acked;
  for (uint64_t sequence : {1u, 300u, 70'000u}) acked.add_acked(sequence);
  EXPECT_EQ(DecodePublishResponse(acked.SerializeAsString())->acked,
            (std::vector<uint64_t>{1, 300, 70'000}));
}

TEST(Wire, GarbageIsAnError) {
  std::mt19937 random(7);
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes(random() % 60, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    refused += !DecodePollResponse(bytes).ok();
    (void)DecodePublishResponse(bytes);
  }
  EXPECT_GT(refused, 10'000);
}

}  // namespace
}  // namespace stillframe::transport
