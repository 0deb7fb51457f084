#include "agent/ring/ring.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "plan/record.h"

namespace stillframe::ring {
namespace {

class RingTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(Initialize().ok()); }
  void TearDown() override {
    Slot slot;
    while (Take(slot)) Release(slot);
  }
};

TEST_F(RingTest, SlotsAreDistinctAlignedAndRunOut) {
  std::vector<Slot> slots(kSlotCount);
  std::set<uint8_t*> data;
  for (Slot& slot : slots) {
    ASSERT_TRUE(Acquire(slot));
    EXPECT_EQ(reinterpret_cast<uint64_t>(slot.data) % 64, 0u);
    data.insert(slot.data);
  }
  EXPECT_EQ(data.size(), kSlotCount);
  Slot extra;
  EXPECT_FALSE(Acquire(extra));
  Abandon(slots[7]);
  ASSERT_TRUE(Acquire(extra));
  EXPECT_EQ(extra.index, slots[7].index);
  for (const Slot& slot : slots) Abandon(slot);
}

TEST_F(RingTest, LowestSlotIsReusedFirst) {
  Slot a, b, c;
  ASSERT_TRUE(Acquire(a));
  ASSERT_TRUE(Acquire(b));
  EXPECT_LT(a.index, b.index);
  Abandon(a);
  ASSERT_TRUE(Acquire(c));
  EXPECT_EQ(c.index, a.index);
  Abandon(b);
  Abandon(c);
}

TEST_F(RingTest, TakesInOrderOfCommitNotOfAcquire) {
  Slot a, b, taken;
  ASSERT_TRUE(Acquire(a));
  ASSERT_TRUE(Acquire(b));
  EXPECT_FALSE(Take(taken));
  const uint64_t first = Commit(b);
  EXPECT_EQ(Commit(a), first + 1);
  EXPECT_EQ(committed(), first + 1);
  ASSERT_TRUE(Take(taken));
  EXPECT_EQ(taken.data, b.data);
  EXPECT_EQ(reinterpret_cast<RecordHeader*>(taken.data)->sequence, first);
  Release(taken);
  ASSERT_TRUE(Take(taken));
  EXPECT_EQ(taken.data, a.data);
  Release(taken);
  EXPECT_FALSE(Take(taken));
}

TEST_F(RingTest, AWriterThatNeverCommitsCostsOnlyItsSlot) {
  Slot stuck;
  ASSERT_TRUE(Acquire(stuck));
  for (uint32_t i = 0; i < 10 * kSlotCount; ++i) {
    Slot slot, taken;
    ASSERT_TRUE(Acquire(slot));
    EXPECT_NE(slot.index, stuck.index);
    Commit(slot);
    ASSERT_TRUE(Take(taken));
    EXPECT_EQ(taken.index, slot.index);
    Release(taken);
  }
  Abandon(stuck);
}

// Every record is seen once, whole, with a dense sequence, however writers and reader interleave.
TEST_F(RingTest, NothingIsLostTwiceSeenOrTornUnderLoad) {
  constexpr int kThreads = 4;
  constexpr uint64_t kPerThread = 20000;
  constexpr uint32_t kWords = 200;
  const uint64_t base = committed();
  std::atomic<uint64_t> full{0};
  std::vector<std::thread> writers;
  for (uint64_t t = 0; t < kThreads; ++t) {
    writers.emplace_back([t, &full] {
      for (uint64_t i = 0; i < kPerThread;) {
        Slot slot;
        if (!Acquire(slot)) {
          full.fetch_add(1);
          std::this_thread::yield();
          continue;
        }
        auto* header = reinterpret_cast<RecordHeader*>(slot.data);
        header->probe_id = t;
        auto* words = reinterpret_cast<uint64_t*>(slot.data + sizeof(RecordHeader));
        for (uint32_t w = 0; w < kWords; ++w) words[w] = t << 32 | i;
        Commit(slot);
        ++i;
      }
    });
  }
  std::vector<uint64_t> next(kThreads, 0);
  std::set<uint64_t> early;  // committed, but taken before a lower sequence became ready
  uint64_t expected = base + 1;
  for (uint64_t seen = 0; seen < kThreads * kPerThread;) {
    Slot slot;
    if (!Take(slot)) {
      std::this_thread::yield();
      continue;
    }
    ++seen;
    const auto* header = reinterpret_cast<const RecordHeader*>(slot.data);
    ASSERT_LT(header->probe_id, static_cast<uint64_t>(kThreads));
    const auto* words = reinterpret_cast<const uint64_t*>(slot.data + sizeof(RecordHeader));
    const uint64_t i = words[0] & 0xffffffff;
    ASSERT_EQ(words[0] >> 32, header->probe_id);
    for (uint32_t w = 0; w < kWords; ++w) ASSERT_EQ(words[w], words[0]);
    // One thread's records come in its order, so each i exactly once.
    ASSERT_EQ(i, next[header->probe_id]);
    ++next[header->probe_id];
    ASSERT_TRUE(early.insert(header->sequence).second);
    while (early.erase(expected) != 0) ++expected;
    Release(slot);
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_TRUE(early.empty());
  EXPECT_EQ(expected, base + 1 + kThreads * kPerThread);
  EXPECT_EQ(committed(), base + kThreads * kPerThread);
  Slot slot;
  EXPECT_FALSE(Take(slot));
}

}  // namespace
}  // namespace stillframe::ring
