// Which position an iterator is at, and when that is not known.
#include "agent/decode/known_containers.h"

#include <gtest/gtest.h>

namespace stillframe::decode {
namespace {

constexpr bool kForwards = false;
constexpr bool kBackwards = true;

TEST(KnownContainersTest, ElementsInARow) {
  KnownContainers known;
  known.AddArray(0x1000, 3, 8);
  EXPECT_EQ(known.InArray(0x1000, 8, kForwards)->index, 0u);
  EXPECT_EQ(known.InArray(0x1018, 8, kForwards)->index, 3u);  // the end
  EXPECT_FALSE(known.InArray(0x1020, 8, kForwards));
  EXPECT_FALSE(known.InArray(0xff8, 8, kForwards));
  EXPECT_FALSE(known.InArray(0x1004, 8, kForwards));  // inside an element
  EXPECT_FALSE(known.InArray(0x1000, 4, kForwards));  // elements of another size
  EXPECT_TRUE(known.asked());
}

TEST(KnownContainersTest, ContainersThatDifferTellNothing) {
  KnownContainers known;
  known.AddArray(0x1000, 4, 4);
  known.AddArray(0x1010, 4, 4);  // begins where the other one ends
  EXPECT_FALSE(known.InArray(0x1010, 4, kForwards));
  EXPECT_FALSE(known.InArray(0x1010, 4, kBackwards));
  EXPECT_TRUE(known.InArray(0x100c, 4, kForwards));
  known.AddArray(0x1000, 4, 4);  // the same once more
  EXPECT_TRUE(known.InArray(0x100c, 4, kForwards));
}

TEST(KnownContainersTest, Bits) {
  KnownContainers known;
  known.AddBits(0x1000, 65);
  EXPECT_EQ(known.OfBit(0x1008, 0, kForwards)->index, 64u);
  EXPECT_EQ(known.OfBit(0x1008, 1, kForwards)->index, 65u);
  EXPECT_FALSE(known.OfBit(0x1008, 2, kForwards));
}

TEST(KnownContainersTest, ElementsInBlocks) {
  KnownContainers known;
  known.AddDeque({.map = 0x1000, .start = 5, .count = 10, .per_block = 8});
  EXPECT_EQ(known.InDeque(0x1000, 5, kForwards)->index, 0u);
  EXPECT_EQ(known.InDeque(0x1008, 0, kForwards)->index, 3u);
  EXPECT_EQ(known.InDeque(0x1008, 7, kForwards)->index, 10u);
  EXPECT_FALSE(known.InDeque(0x1000, 4, kForwards));
  EXPECT_FALSE(known.InDeque(0x1010, 0, kForwards));
  // Far away, so that the position would not fit.
  EXPECT_FALSE(known.InDeque(~uint64_t{7}, 0, kForwards));
}

TEST(KnownContainersTest, ListsAndWhatIsClosed) {
  KnownContainers known;
  EXPECT_TRUE(known.empty());
  known.AddListEnd(0x10);
  known.AddListNode(0x20);
  EXPECT_FALSE(known.empty());
  known.Close();
  known.AddListNode(0x30);
  EXPECT_TRUE(known.IsListEnd(0x10));
  EXPECT_TRUE(known.IsListNode(0x20));
  EXPECT_FALSE(known.IsListNode(0x30));
  EXPECT_FALSE(known.IsListNode(0x10));
}

}  // namespace
}  // namespace stillframe::decode
