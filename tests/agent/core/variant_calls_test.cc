// Small functions, written as bytes at kEntry; the other variant stands at kOther.
#include "agent/variant_calls.h"

#include <gtest/gtest.h>

namespace stillframe::agent {
namespace {

constexpr uint64_t kEntry = 0x1000, kOther = 0x1100;

bool Calls(std::vector<uint8_t> text, const std::set<uint64_t>& inlined = {}) {
  const std::vector<CodePart> parts = {{kEntry, std::move(text)}};
  return AlwaysCalls(parts, kEntry, {kOther}, inlined);
}

// call kOther (of the byte at 2); ret
TEST(VariantCalls, ADeletingDestructorCallsTheCompleteOne) {
  EXPECT_TRUE(Calls({0x31, 0xC0, 0xE8, 0xF9, 0x00, 0x00, 0x00, 0xC3}));
  EXPECT_FALSE(Calls({0x31, 0xC0, 0xE8, 0xF8, 0x00, 0x00, 0x00, 0xC3}));  // another function
  EXPECT_FALSE(Calls({0x31, 0xC0, 0xC3}));
}

TEST(VariantCalls, AStubJumpsToIt) {
  EXPECT_TRUE(Calls({0x31, 0xC0, 0xE9, 0xF9, 0x00, 0x00, 0x00}));
  EXPECT_FALSE(Calls({0x31, 0xC0, 0xE9, 0xF8, 0x00, 0x00, 0x00}));
}

// A destructor that deletes the next of a list runs its own code each time.
TEST(VariantCalls, OnEveryWay) {
  // je 7; call kOther; 7: ret
  EXPECT_FALSE(Calls({0x74, 0x05, 0xE8, 0xF9, 0x00, 0x00, 0x00, 0xC3}));
  // je 9; call kOther; jmp 14; 9: call kOther; 14: ret
  EXPECT_TRUE(Calls(
      {0x74, 0x07, 0xE8, 0xF9, 0x00, 0x00, 0x00, 0xEB, 0x05, 0xE8, 0xF2, 0x00, 0x00, 0x00, 0xC3}));
  // je out of the function; call kOther; ret
  EXPECT_FALSE(Calls({0x74, 0x7F, 0xE8, 0xF9, 0x00, 0x00, 0x00, 0xC3}));
}

TEST(VariantCalls, OrItsInlinedCopyRuns) {
  // je 4; 2: xor; 4: xor; ret
  const std::vector<uint8_t> text = {0x74, 0x02, 0x31, 0xC0, 0x31, 0xC0, 0xC3};
  EXPECT_TRUE(Calls(text, {kEntry + 4}));
  EXPECT_FALSE(Calls(text, {kEntry + 2}));
}

bool IsNext(std::vector<uint8_t> text, uint64_t site, std::set<uint64_t> others) {
  const std::vector<CodePart> parts = {{kEntry, std::move(text)}};
  std::set<uint64_t> addresses;
  for (const uint64_t other : others) addresses.insert(kEntry + other);
  return IsNextToOneOf(parts, kEntry, kEntry + site, addresses);
}

TEST(VariantCalls, InlinedBeforeOrBehindIt) {
  // 0: xor; 2: xor; 4: ret
  const std::vector<uint8_t> text = {0x31, 0xC0, 0x31, 0xC0, 0xC3};
  EXPECT_TRUE(IsNext(text, 0, {2}));
  EXPECT_TRUE(IsNext(text, 2, {0}));
  EXPECT_FALSE(IsNext(text, 2, {2}));
  EXPECT_FALSE(IsNext(text, 2, {}));
  EXPECT_FALSE(IsNext({0x06}, 0, {0}));
}

TEST(VariantCalls, InlinedOnSomeWaysOnly) {
  // 0: xor; je 6; 4: xor; 6: xor; ret
  const std::vector<uint8_t> skips = {0x31, 0xC0, 0x74, 0x02, 0x31, 0xC0, 0x31, 0xC0, 0xC3};
  EXPECT_FALSE(IsNext(skips, 0, {4}));
  EXPECT_FALSE(IsNext(skips, 6, {4}));
  EXPECT_TRUE(IsNext(skips, 4, {6}));
}

TEST(VariantCalls, InlinedInALoop) {
  // 0: xor; 2: xor; jne 0; ret
  const std::vector<uint8_t> both = {0x31, 0xC0, 0x31, 0xC0, 0x75, 0xFA, 0xC3};
  EXPECT_TRUE(IsNext(both, 0, {2}));
  EXPECT_TRUE(IsNext(both, 2, {0}));
  // 0: xor; 2: xor; jne 2; ret: once before the loop
  EXPECT_FALSE(IsNext({0x31, 0xC0, 0x31, 0xC0, 0x75, 0xFC, 0xC3}, 2, {0}));
  // 0: xor; 2: je 6; 4: xor; 6: jne 0; ret: not in each round
  EXPECT_FALSE(IsNext({0x31, 0xC0, 0x74, 0x02, 0x31, 0xC0, 0x75, 0xF8, 0xC3}, 0, {4}));
}

TEST(VariantCalls, WhatIsNotUnderstoodIsNone) {
  EXPECT_FALSE(Calls({0xE8, 0xFB, 0x00, 0x00, 0x00, 0x06, 0xC3}));
  EXPECT_FALSE(Calls({0xFF, 0xE0}));  // jmp *rax
  EXPECT_FALSE(Calls({}));
}

}  // namespace
}  // namespace stillframe::agent
