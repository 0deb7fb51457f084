#include "agent/durable/dead_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/snapshot_codec.h"
#include "tests/agent/durable/ring_image.h"

namespace stillframe::durable {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<uint64_t> Sequences(DeadProcess& dead) {
  std::vector<uint64_t> sequences;
  while (const auto snapshot = dead.Next()) sequences.push_back(snapshot->sequence);
  return sequences;
}

Result<std::unique_ptr<DeadProcess>> Open(const RingImage& image) {
  return DeadProcess::FromBytes(image.ring, image.plans, image.outbox);
}

std::string Waiting(uint64_t sequence) {
  model::Snapshot snapshot;
  snapshot.tracepoint_id = "tp";
  snapshot.sequence = sequence;
  return Framed(kSnapshotEntry, EncodeEntry(SnapshotEntry{0, model::EncodeSnapshot(snapshot)}));
}

TEST(DeadProcess, GivesCommittedRecordsInTheirOrderAndNoTornOnes) {
  RingImage image;
  image.AddProbe();
  image.AddRecord(3, 12);
  image.AddRecord(0, 13);
  image.AddRecord(1, 0);  // the process died in the midst of it
  image.AddRecord(31, 11);
  auto dead = Open(image);
  ASSERT_TRUE(dead.ok()) << dead.status().ToString();
  EXPECT_EQ((*dead)->identity().service, "shop");
  const auto first = (*dead)->Next();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->sequence, 11u);
  EXPECT_EQ(first->id, "sn_0123456789ab_11");
  EXPECT_EQ(first->time_unix_nanos, 1'699'999'999'000'000'000);
  ASSERT_EQ(first->frames.size(), 1u);
  EXPECT_EQ(first->frames[0].function, "Checkout()");
  EXPECT_EQ(first->frames[0].line, 42u);
  EXPECT_THAT(Sequences(**dead), ElementsAre(12, 13));
  EXPECT_THAT((*dead)->problems(), IsEmpty());
}

TEST(DeadProcess, BothIdentitiesHoldForWhatWasCommitted) {
  RingImage image;
  image.AddProbe();
  image.outbox = Waiting(1) + Waiting(2) + Waiting(3);
  image.outbox += Framed(kAckedEntry, EncodeEntry(OutcomeEntry{"tp", "", 1}));
  image.outbox += Framed(kDroppedEntry, EncodeEntry(OutcomeEntry{"tp", "refused", 2}));
  image.outbox += Framed(kDroppedEntry, EncodeEntry(OutcomeEntry{"tp", "outboxFull", 0}));
  image.AddRecord(0, 3);  // decoded, but not wiped: not twice
  image.AddRecord(1, 1);  // and delivered
  image.AddRecord(2, 4);
  auto dead = Open(image);
  ASSERT_TRUE(dead.ok()) << dead.status().ToString();
  EXPECT_THAT(Sequences(**dead), ElementsAre(3, 4));
  const auto reports = (*dead)->Reports();
  ASSERT_EQ(reports.size(), 1u);
  const model::Counters& counters = reports[0].status.counters;
  EXPECT_EQ(counters.acked, 1u);
  EXPECT_EQ(counters.in_flight, 2u);
  EXPECT_EQ(counters.dropped.at("refused"), 1u);
  EXPECT_EQ(counters.dropped.at("outboxFull"), 1u);
  EXPECT_EQ(counters.captured, 5u);
  EXPECT_EQ(counters.condition_false, 40u);
  EXPECT_EQ(counters.ring_full, 2u);
  EXPECT_EQ(counters.hits, 47u);
}

TEST(DeadProcess, ARecordOfNoKnownProbeIsAProblemAndNoSnapshot) {
  RingImage image;
  image.AddProbe();
  image.AddRecord(0, 1, 8);
  image.AddRecord(1, 2);
  auto dead = Open(image);
  ASSERT_TRUE(dead.ok());
  EXPECT_THAT(Sequences(**dead), ElementsAre(2));
  EXPECT_THAT((*dead)->problems(), ElementsAre(HasSubstr("record 1: CORRUPT")));
}

TEST(DeadProcess, AForeignFileIsRefusedByName) {
  RingImage image;
  image.ring[0] = 'X';
  EXPECT_THAT(Open(image).status().message(), HasSubstr("no ring"));
  image = RingImage();
  image.ring[8] = 9;
  EXPECT_EQ(Open(image).status().code(), Code::kUnsupported);
  image = RingImage();
  image.ring[60] ^= 1;
  EXPECT_THAT(Open(image).status().message(), HasSubstr("header is damaged"));
  image = RingImage();
  image.ring.resize(image.ring.size() - 1);
  EXPECT_THAT(Open(image).status().message(), HasSubstr("cut off"));
  image = RingImage();
  image.plans.clear();
  EXPECT_THAT(Open(image).status().message(), HasSubstr("whose ring"));
}

TEST(DeadProcess, ATornOrDamagedEntryEndsItsFile) {
  RingImage image;
  image.AddProbe();
  image.AddRecord(0, 1);
  image.plans += "torn";
  std::string flipped = Waiting(2);
  flipped[flipped.size() / 2] ^= 1;
  image.outbox = Waiting(5) + flipped + Waiting(6);
  auto dead = Open(image);
  ASSERT_TRUE(dead.ok());
  EXPECT_THAT(Sequences(**dead), ElementsAre(5, 1));
  EXPECT_THAT((*dead)->problems(), ElementsAre(HasSubstr("plans ends"), HasSubstr("outbox ends")));
}

TEST(DeadProcess, ADamagedMirrorMeansNoTimes) {
  RingImage image;
  image.AddProbe();
  image.AddRecord(0, 1);
  image.ring[ring::kMirrorOffset + sizeof(ring::RingMirror) + 8] ^= 1;
  auto dead = Open(image);
  ASSERT_TRUE(dead.ok());
  EXPECT_THAT((*dead)->problems(), ElementsAre(HasSubstr("times")));
  const auto snapshot = (*dead)->Next();
  ASSERT_TRUE(snapshot.has_value());
  EXPECT_EQ(snapshot->time_unix_nanos, 0);
}

}  // namespace
}  // namespace stillframe::durable
