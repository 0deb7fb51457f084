#include "transport/outbox.h"

#include <gtest/gtest.h>

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

TEST(Outbox, EverySnapshotIsAccountedFor) {
  Outbox outbox({.bytes = 100'000, .batch_snapshots = 3, .batch_bytes = 50'000});
  for (uint64_t i = 1; i <= 5; ++i) EXPECT_TRUE(outbox.Add(Numbered(i)));
  EXPECT_FALSE(outbox.Add(Numbered(6, 200'000)));
  EXPECT_EQ(outbox.Batch().size(), 3u);
  outbox.Acked({1, 2, 99});
  outbox.Reject({3});
  outbox.Lost("tp", "undecodable");
  EXPECT_EQ(outbox.in_flight("tp"), 2u);
  EXPECT_EQ(outbox.acked("tp"), 2u);
  outbox.Acked({1});  // a repeated answer counts once
  EXPECT_EQ(outbox.acked("tp"), 2u);
  outbox.DropAll("shutdownDeadline");
  EXPECT_TRUE(outbox.empty());
  const auto dropped = outbox.dropped("tp");
  EXPECT_EQ(dropped.at("outboxFull") + dropped.at("refused") + dropped.at("undecodable") +
                dropped.at("shutdownDeadline") + outbox.acked("tp"),
            7u);  // six given and one lost before
}

// 5,000 messages a second for a minute while no server takes them.
TEST(Outbox, LogMessagesThatNobodyTakesAreDroppedAndCounted) {
  Outbox outbox({});
  constexpr uint64_t kMessages = 300'000;
  uint64_t kept = 0;
  for (uint64_t i = 1; i <= kMessages; ++i) {
    model::Snapshot log;
    log.kind = model::Kind::kLog;
    log.tracepoint_id = "tp";
    log.sequence = i;
    log.message.assign(100, 'x');
    log.frames.resize(1);
    kept += outbox.Add(std::move(log)) ? 1 : 0;
  }
  EXPECT_EQ(outbox.in_flight("tp"), kept);
  EXPECT_EQ(kept + outbox.dropped("tp").at("outboxFull"), kMessages);
  // What is kept really fits: the objects alone, without what their strings hold.
  EXPECT_LE(kept * (sizeof(model::Snapshot) + sizeof(model::Frame) + 100), OutboxLimits().bytes);
  EXPECT_GT(kept, 1'000u);
  // And is taken in large batches, oldest first.
  const auto batch = outbox.Batch();
  EXPECT_EQ(batch.size(), OutboxLimits().batch_snapshots);
  EXPECT_EQ(batch.front().sequence, 1u);
}

TEST(Outbox, OneThatIsLargerThanABatchGoesAlone) {
  Outbox outbox({.bytes = 1u << 20, .batch_snapshots = 10, .batch_bytes = 1'000});
  EXPECT_TRUE(outbox.Add(Numbered(1, 5'000)));
  EXPECT_TRUE(outbox.Add(Numbered(2)));
  ASSERT_EQ(outbox.Batch().size(), 1u);
  EXPECT_EQ(outbox.Batch()[0].sequence, 1u);
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
