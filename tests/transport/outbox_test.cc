#include "transport/outbox.h"

#include <gtest/gtest.h>
#include <malloc.h>

namespace stillframe::transport {
namespace {

model::Snapshot Numbered(uint64_t sequence, size_t bytes = 10) {
  model::Snapshot snapshot;
  snapshot.tracepoint_id = "tp";
  snapshot.sequence = sequence;
  model::Value value;
  value.value.assign(bytes, 'x');
  snapshot.expressions = {value};
  return snapshot;
}

std::vector<uint64_t> SequencesOf(const std::vector<model::Snapshot>& snapshots) {
  std::vector<uint64_t> sequences;
  for (const model::Snapshot& snapshot : snapshots) sequences.push_back(snapshot.sequence);
  return sequences;
}

TEST(Outbox, EverySnapshotIsAccountedFor) {
  Outbox outbox({.bytes = 100'000, .batch_snapshots = 3, .batch_bytes = 50'000});
  for (uint64_t i = 1; i <= 5; ++i) EXPECT_TRUE(outbox.Add(Numbered(i)));
  EXPECT_FALSE(outbox.Add(Numbered(6, 200'000)));
  EXPECT_EQ(outbox.Sequences(), (std::vector<uint64_t>{1, 2, 3}));
  outbox.Acked({1, 2, 99});
  outbox.Reject({3});
  outbox.Lost("tp", "undecodable");
  EXPECT_EQ(outbox.in_flight("tp"), 2u);
  EXPECT_EQ(outbox.acked("tp"), 2u);
  outbox.Acked({1});  // a repeated answer counts once
  EXPECT_EQ(outbox.acked("tp"), 2u);
  outbox.DropAll("shutdownDeadline");
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.bytes(), 0u);
  const auto dropped = outbox.dropped("tp");
  EXPECT_EQ(dropped.at("outboxFull") + dropped.at("refused") + dropped.at("undecodable") +
                dropped.at("shutdownDeadline") + outbox.acked("tp"),
            7u);  // six given and one lost before
}

TEST(Outbox, WhatTheServerDidNotNameIsSentAgainAndNothingElse) {
  Outbox outbox({});
  for (uint64_t i = 1; i <= 5; ++i) outbox.Add(Numbered(i));
  EXPECT_EQ(outbox.Sequences(), (std::vector<uint64_t>{1, 2, 3, 4, 5}));
  outbox.Add(Numbered(6));  // while the five are under way
  outbox.Acked({2, 4});
  EXPECT_EQ(outbox.Sequences(), (std::vector<uint64_t>{1, 3, 5}));
  EXPECT_EQ(SequencesOf(outbox.Batch()), (std::vector<uint64_t>{1, 3, 5}));
  outbox.Acked({1, 3, 5});
  EXPECT_EQ(outbox.Sequences(), (std::vector<uint64_t>{6}));
  outbox.Acked({6});
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.bytes(), 0u);
  EXPECT_EQ(outbox.acked("tp"), 6u);
}

TEST(Outbox, ProcessesAreNotMixedInABatch) {
  Outbox outbox({});
  for (const char* instance : {"a", "a", "b"}) {
    model::Snapshot snapshot = Numbered(1);
    snapshot.instance = instance;
    outbox.Add(snapshot);
  }
  EXPECT_EQ(outbox.Batch().size(), 2u);
  EXPECT_EQ(outbox.Batch()[0].instance, "a");
}

// 20,000 messages a second for 15 s while no server takes them.
TEST(Outbox, LogMessagesThatNobodyTakesAreDroppedAndCounted) {
  Outbox outbox({});
  constexpr uint64_t kMessages = 300'000;
  uint64_t kept = 0;
  const uint64_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
  for (uint64_t i = 1; i <= kMessages; ++i) {
    model::Snapshot log;
    log.kind = model::Kind::kLog;
    log.tracepoint_id = "tp";
    log.sequence = i;
    log.message.assign(60, 'x');
    log.frames.resize(1);
    log.frames[0].function = "shop::Checkout(shop::Order const&)";
    kept += outbox.Add(log) ? 1 : 0;
  }
  const uint64_t memory = mallinfo2().uordblks + mallinfo2().hblkhd - before;
  EXPECT_EQ(outbox.in_flight("tp"), kept);
  EXPECT_EQ(kept + outbox.dropped("tp").at("outboxFull"), kMessages);
  // What it says it takes is what it takes, and a second and a half of messages fits.
  EXPECT_LE(outbox.bytes(), OutboxLimits().bytes + OutboxLimits().batch_bytes);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LE(memory, outbox.bytes() * 5 / 4);
  EXPECT_GE(memory, outbox.bytes() / 2);
#endif
  EXPECT_GT(kept, 30'000u);
  // And is taken in large batches, oldest first.
  const std::vector<uint64_t> batch = outbox.Sequences();
  EXPECT_EQ(batch.size(), OutboxLimits().batch_snapshots);
  EXPECT_EQ(batch.front(), 1u);
}

TEST(Outbox, OneThatIsLargerThanABatchGoesAlone) {
  Outbox outbox({.bytes = 1u << 20, .batch_snapshots = 10, .batch_bytes = 1'000});
  EXPECT_TRUE(outbox.Add(Numbered(1, 5'000)));
  EXPECT_TRUE(outbox.Add(Numbered(2)));
  EXPECT_EQ(outbox.Sequences(), std::vector<uint64_t>{1});
}

// The server makes objects of a batch: few bytes that mean much of the same text are no large
// batch.
TEST(Outbox, ABatchIsBoundedByWhatTheServerMakesOfIt) {
  Outbox outbox({.batch_text_bytes = 100'000});
  model::Snapshot snapshot = Numbered(1);
  snapshot.expressions[0].type.assign(40'000, 't');
  for (snapshot.sequence = 1; snapshot.sequence <= 5; ++snapshot.sequence) outbox.Add(snapshot);
  EXPECT_EQ(outbox.Sequences(), (std::vector<uint64_t>{1, 2}));
  EXPECT_LT(outbox.bytes(), 400'000u);
}

TEST(Backoff, GrowsJitteredUpToItsCapAndHonoursTheServer) {
  EXPECT_EQ(BackoffMs(1, 0, 0.0), 0u);
  EXPECT_LT(BackoffMs(1, 0, 0.999), 500u);
  EXPECT_GT(BackoffMs(4, 0, 0.999), 3'900u);
  EXPECT_LE(BackoffMs(1000, 0, 0.999), 30'000u);
  EXPECT_EQ(BackoffMs(1, 7'000, 0.5), 7'000u);
}

}  // namespace
}  // namespace stillframe::transport
