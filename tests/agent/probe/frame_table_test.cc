// Frames of code that comes and goes are found from every address of it, and never another's.
#include "agent/probe/frame_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

namespace stillframe::probe {
namespace {

// As if made at run time: nothing of the program's own lies there.
constexpr uint64_t kCode = 0x123400000000;

// An .eh_frame that is told by its bytes.
std::vector<uint8_t> Named(uint64_t name) {
  std::vector<uint8_t> bytes(64, 0);
  std::memcpy(bytes.data(), &name, sizeof name);
  return bytes;
}

// What the header leads to; 0: nothing is found.
uint64_t NameAt(uint64_t pc) {
  FoundFrames found;
  if (!FindFrames(pc, found)) return 0;
  EXPECT_LE(found.start, pc);
  EXPECT_LT(pc, found.start + found.size_bytes);
  EXPECT_EQ(found.header[0], 1u);  // version
  uint64_t eh_frame = 0;
  std::memcpy(&eh_frame, found.header + 4, sizeof eh_frame);
  EXPECT_EQ(eh_frame % 8, 0u);
  uint64_t name = 0;
  std::memcpy(&name, reinterpret_cast<const void*>(eh_frame), sizeof name);
  return name;
}

TEST(FrameTable, FindsEveryAddressAndNoOther) {
  struct Code {
    uint64_t start;
    uint32_t size_bytes;
  };
  // One byte; next to each other; over the border of a block; longer than several blocks.
  const Code codes[] = {{kCode, 1},
                        {kCode + 1, 13},
                        {kCode + 14, 5},
                        {kCode + 500, 100},
                        {kCode + 1000, 512},
                        {kCode + 2000, 3000},
                        {kCode + 5000, 511},
                        {1, 4},
                        {UINT64_MAX - 600, 90}};
  const uint32_t before = FrameCount();
  uint64_t name = 0;
  for (const Code& code : codes) AddFrames(code.start, code.size_bytes, Named(++name));
  name = 0;
  for (const Code& code : codes) {
    ++name;
    for (uint32_t i = 0; i < code.size_bytes; ++i) ASSERT_EQ(NameAt(code.start + i), name) << i;
  }
  EXPECT_EQ(NameAt(0), 0u);
  EXPECT_EQ(NameAt(kCode - 1), 0u);
  EXPECT_EQ(NameAt(kCode + 19), 0u);
  EXPECT_EQ(NameAt(kCode + 499), 0u);
  EXPECT_EQ(NameAt(kCode + 600), 0u);
  EXPECT_EQ(NameAt(kCode + 5511), 0u);
  EXPECT_EQ(NameAt(UINT64_MAX), 0u);
  for (const Code& code : codes) RemoveFrames(code.start);
  for (const Code& code : codes) EXPECT_EQ(NameAt(code.start), 0u);
  EXPECT_EQ(FrameCount(), before);
  RemoveFrames(kCode);  // nothing there
  RemoveFrames(kCode + 77);
}

TEST(FrameTable, ReplacesWhatWasThere) {
  AddFrames(kCode, 2000, Named(1));
  AddFrames(kCode, 64, Named(2));
  EXPECT_EQ(NameAt(kCode + 63), 2u);
  EXPECT_EQ(NameAt(kCode + 64), 0u);
  EXPECT_EQ(NameAt(kCode + 1999), 0u);
  RemoveFrames(kCode);
}

// Probe code is made and thrown away at the same places for ever.
TEST(FrameTable, UsesItsRoomAgain) {
  AddFrames(kCode, 700, Named(1));
  const uint32_t count = FrameCount();
  for (uint64_t i = 0; i < 100'000; ++i) {
    RemoveFrames(kCode);
    AddFrames(kCode, 700, Named(i));
  }
  EXPECT_EQ(FrameCount(), count);
  EXPECT_EQ(NameAt(kCode + 699), 99'999u);
  RemoveFrames(kCode);
}

TEST(FrameTable, StaysFoundWhileOthersComeAndGo) {
  constexpr uint64_t kStable = kCode + 10 * 512;
  AddFrames(kStable, 256, Named(7));
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> wrong{0}, looked{0};
  std::thread reader([&] {
    while (!stop.load()) {
      for (uint32_t i = 0; i < 256; ++i) wrong += NameAt(kStable + i) != 7;
      ++looked;
    }
  });
  // In the same block, so that they share its chain.
  for (uint64_t i = 0; i < 50'000 || looked.load() < 100; ++i) {
    const uint64_t at = kStable + 256 + 32 * (i % 8);
    AddFrames(at, 32, Named(100 + i));
    if (i % 3 != 0) RemoveFrames(at);
  }
  stop = true;
  reader.join();
  EXPECT_EQ(wrong.load(), 0u);
  for (int i = 0; i < 8; ++i) RemoveFrames(kStable + 256 + 32 * i);
  RemoveFrames(kStable);
}

}  // namespace
}  // namespace stillframe::probe
