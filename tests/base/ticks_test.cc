#include "base/ticks.h"

#include <gtest/gtest.h>

namespace stillframe {
namespace {

TEST(TicksToNanos, RoundsDownAndNeverLeavesItsRange) {
  EXPECT_EQ(TicksToNanos(3, 3'000'000'000), 1u);
  EXPECT_EQ(TicksToNanos(2, 3'000'000'000), 0u);
  EXPECT_EQ(TicksToNanos(7'500'000'000, 3'000'000'000), 2'500'000'000u);
  // A month of ticks, to the nanosecond.
  EXPECT_EQ(TicksToNanos(uint64_t{2'592'000} * 2'400'000'000 + 24, 2'400'000'000),
            uint64_t{2'592'000} * 1'000'000'000 + 10);
  EXPECT_EQ(TicksToNanos(1, 0), 0u);
  // What damaged records say.
  EXPECT_EQ(TicksToNanos(UINT64_MAX, 1), static_cast<uint64_t>(INT64_MAX));
  EXPECT_EQ(TicksToNanos(UINT64_MAX, UINT64_MAX), 1'000'000'000u);
  EXPECT_EQ(TicksToNanos(UINT64_MAX - 1, UINT64_MAX), 999'999'999u);
}

}  // namespace
}  // namespace stillframe
