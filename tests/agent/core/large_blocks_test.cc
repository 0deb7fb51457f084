// Large blocks of the agent's do not come from malloc, whose habits are the host's.
#include "agent/large_blocks.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <cstring>
#include <new>
#include <thread>
#include <vector>

namespace stillframe::agent {
namespace {

#ifdef STILLFRAME_LARGE_BLOCKS

uint64_t InMalloc() { return mallinfo2().uordblks + mallinfo2().hblkhd; }

TEST(LargeBlocks, AreNotMallocs) {
  const uint64_t before = InMalloc();
  auto* const block = static_cast<uint8_t*>(::operator new(10u << 20));
  std::memset(block, 1, 10u << 20);
  EXPECT_EQ(InMalloc(), before);
  ::operator delete(block);
  auto* const small = static_cast<uint8_t*>(::operator new(1000));
  EXPECT_GE(InMalloc(), before + 1000);
  ::operator delete(small);
}

TEST(LargeBlocks, MoreThanThereArePlacesFor) {
  std::vector<std::vector<uint8_t>> blocks;
  for (int i = 0; i < 600; ++i) blocks.emplace_back(200'000, static_cast<uint8_t>(i));
  for (int i = 0; i < 600; ++i) EXPECT_EQ(blocks[i].back(), static_cast<uint8_t>(i));
  while (!blocks.empty()) blocks.erase(blocks.begin() + static_cast<long>(blocks.size() / 2));
}

TEST(LargeBlocks, OfSeveralThreadsAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 2'000; ++i) {
        std::vector<uint8_t> block(130'000 + i, static_cast<uint8_t>(t));
        ASSERT_EQ(block.front(), t);
        ASSERT_EQ(block.back(), t);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(LargeBlocks, WhatCannotBeHadIsAnException) {
  volatile size_t much = SIZE_MAX / 4;
  EXPECT_THROW(::operator delete(::operator new(much)), std::bad_alloc);
  much = SIZE_MAX;
  EXPECT_THROW(::operator delete(::operator new(much)), std::bad_alloc);
}

#endif

}  // namespace
}  // namespace stillframe::agent
