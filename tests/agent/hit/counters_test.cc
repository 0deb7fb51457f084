// Counters keep their limits, and threads that ended leave no slot behind.
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "agent/hit/process_state.h"
#include "tests/agent/hit/test_plan.h"

namespace stillframe::hit {
namespace {

void HitTimes(TestProbe& probe, uint64_t times) {
  RegisterFile registers{};
  for (uint64_t i = 0; i < times; ++i) stillframe_hit(&probe.site(), &registers);
}

class CountersTest : public testing::Test {
 protected:
  CountersTest() {
    EXPECT_TRUE(Initialize({kTicksPerSecond, 0, 0}).ok());
    probe_ = std::make_unique<TestProbe>(plan_);
    probe_->runtime().action = Action::kCount;
  }
  TestPlan plan_;
  std::unique_ptr<TestProbe> probe_;
};

TEST_F(CountersTest, WithoutLimitsEveryHitCounts) {
  HitTimes(*probe_, 1000);
  EXPECT_EQ(probe_->Sums().count[kCaptured], 1000u);
}

// Four threads at once: exactly as many as were asked for. (Limits of counters were ignored.)
TEST_F(CountersTest, MaxHitsIsExact) {
  probe_->SetMaxHits(1000);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([this] { HitTimes(*probe_, 5000); });
  for (std::thread& thread : threads) thread.join();
  const CounterSums sums = probe_->Sums();
  EXPECT_EQ(sums.count[kCaptured], 1000u);
  EXPECT_EQ(sums.count[kRateLimited], 19'000u);
  ExpectAccounted(sums);
}

TEST_F(CountersTest, PerSecondIsKept) {
  probe_->runtime().ticks_per_permit = ~uint64_t{0} / 4;
  HitTimes(*probe_, 20);
  EXPECT_EQ(probe_->Sums().count[kCaptured], 1u);
  EXPECT_EQ(probe_->Sums().count[kRateLimited], 19u);
}

uint32_t TakenSlots() {
  uint32_t taken = 0;
  for (const ThreadSlot& slot : g_process.slots) taken += slot.owner.load() != 0 ? 1 : 0;
  return taken;
}

// Three times as many threads as there are slots, given back now and then as the agent does.
TEST_F(CountersTest, ShortThreadsDoNotUseUpTheSlots) {
  for (uint32_t i = 0; i < 3 * kThreadSlots; ++i) {
    std::thread([this] { HitTimes(*probe_, 1); }).join();
    if (i % 200 == 199) FreeDeadSlots();
  }
  EXPECT_EQ(probe_->Sums().count[kCaptured], 3 * kThreadSlots);
  // None shared the last shard, which is for threads without a slot.
  EXPECT_EQ(probe_->runtime().shards[kSharedShard].count[kCaptured].load(), 0u);
  FreeDeadSlots();
  EXPECT_LE(TakenSlots(), 1u) << "this thread's own at most";
}

}  // namespace
}  // namespace stillframe::hit
