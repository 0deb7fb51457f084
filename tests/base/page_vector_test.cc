#include "base/page_vector.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdint>
#include <limits>
#include <numeric>

namespace stillframe {
namespace {

TEST(PageVector, GrowsAcrossItsOwnMappingsWithItsContent) {
  PageVector<uint32_t> numbers;
  for (uint32_t i = 0; i < 1'000'000; ++i) numbers.push_back(i);
  EXPECT_EQ(std::accumulate(numbers.begin(), numbers.end(), uint64_t{0}), 499'999'500'000u);
  numbers.resize(3);
  numbers.shrink_to_fit();  // back among the small ones
  EXPECT_EQ(numbers, (PageVector<uint32_t>{0, 1, 2}));
  PageString text;
  for (int i = 0; i < 100'000; ++i) text.append("0123456789");
  EXPECT_EQ(text.size(), 1'000'000u);
  EXPECT_EQ(text.substr(999'990), "0123456789");
}

TEST(PageVector, TakesNothingLargeFromTheHeap) {
  const struct mallinfo2 before = mallinfo2();
  const PageVector<uint8_t> bytes(size_t{32} << 20);
  const struct mallinfo2 after = mallinfo2();
  EXPECT_EQ(after.hblkhd, before.hblkhd);
  EXPECT_LE(after.arena, before.arena + (size_t{1} << 20));
  EXPECT_EQ(bytes.back(), 0);
}

TEST(PageVector, WhatCannotBeAllocatedThrows) {
  PageAllocator<uint64_t> allocator;
  EXPECT_THROW((void)allocator.allocate(std::numeric_limits<size_t>::max() / 4), std::bad_alloc);
  EXPECT_THROW((void)allocator.allocate(std::numeric_limits<size_t>::max() / 16), std::bad_alloc);
}

}  // namespace
}  // namespace stillframe
