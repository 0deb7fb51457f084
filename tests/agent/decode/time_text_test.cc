#include "agent/decode/time_text.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "agent/decode/scalar_text.h"

namespace stillframe::decode {
namespace {

TEST(TimeText, DurationsGoUpToTheUnitTheyFill) {
  EXPECT_EQ(DurationText(Int128{250}, 1, 1'000), "250ms");
  EXPECT_EQ(DurationText(Int128{1'500}, 1, 1'000), "1.5s");
  EXPECT_EQ(DurationText(Int128{1'234'567'890}, 1, 1'000'000'000), "1.23456789s");
  EXPECT_EQ(DurationText(Int128{1'005}, 1, 1'000'000'000), "1.005us");
  EXPECT_EQ(DurationText(Int128{0}, 1, 1'000'000), "0us");
  EXPECT_EQ(DurationText(Int128{-1'500}, 1, 1'000'000), "-1.5ms");
  EXPECT_EQ(DurationText(Int128{36}, 3'600, 1), "36h");
  EXPECT_EQ(DurationText(Int128{42}, 1, 60), "42[1/60]s");
  EXPECT_EQ(DurationText(Int128{2}, 604'800, 1), "2w");
  EXPECT_EQ(DurationText(Int128{-5}, 2'629'746, 1), "-5mo");
  EXPECT_EQ(DurationText("1.5", 31'556'952, 1), "1.5y");
  EXPECT_EQ(DurationText(Int128{2}, 31'536'000, 1), "2[31536000]s");
  EXPECT_EQ(DurationText("1.5", 1, 1), "1.5s");
  // The most negative number has no positive counterpart.
  EXPECT_EQ(DurationText(Int128{INT64_MIN}, 1, 1'000'000'000), "-9223372036.854775808s");
}

TEST(TimeText, TimesAreUtcDates) {
  EXPECT_EQ(SystemTimeText(0, 1, 1), "1970-01-01T00:00:00Z");
  EXPECT_EQ(SystemTimeText(1'767'323'045'678, 1, 1'000), "2026-01-02T03:04:05.678Z");
  EXPECT_EQ(SystemTimeText(-1, 1, 1'000), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(SystemTimeText(951'782'400, 1, 1), "2000-02-29T00:00:00Z");
  EXPECT_EQ(SystemTimeText(4'107'542'400, 1, 1), "2100-03-01T00:00:00Z");
  EXPECT_EQ(SystemTimeText(1, 86'400, 1), "1970-01-02T00:00:00Z");
  EXPECT_EQ(SystemTimeText(253'402'300'799, 1, 1), "9999-12-31T23:59:59Z");
  EXPECT_EQ(SystemTimeText(253'402'300'800, 1, 1), "");
  EXPECT_EQ(SystemTimeText(5, 1, 60), "");
}

TEST(ScalarText, HalvesAndBrainFloats) {
  EXPECT_EQ(HalfText(0x3e00), "1.5");
  EXPECT_EQ(HalfText(0xc000), "-2");
  EXPECT_EQ(HalfText(0x7bff), "65504");
  EXPECT_EQ(HalfText(0x0001), "5.9604645e-08");  // the smallest subnormal, 2^-24
  EXPECT_EQ(HalfText(0x7c00), "inf");
  EXPECT_EQ(HalfText(0x8000), "-0");
  EXPECT_EQ(BrainFloatText(0x3fc0), "1.5");
  EXPECT_EQ(BrainFloatText(0xff80), "-inf");
}

}  // namespace
}  // namespace stillframe::decode
