// How functions end: which instructions only release the frame, and what is known before them.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "agent/probe/plain_code.h"

namespace stillframe::probe {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint64_t kBase = 0x1000;

Bytes Concat(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

const Bytes kMovEaxEdi{0x89, 0xf8};
const Bytes kMovEbxEdi{0x89, 0xfb};
const Bytes kAddRsp24{0x48, 0x83, 0xc4, 0x18};
const Bytes kPopRbx{0x5b};
const Bytes kPopRax{0x58};
const Bytes kPopR12{0x41, 0x5c};
const Bytes kLeave{0xc9};
const Bytes kRet{0xc3};
const Bytes kCall{0xe8, 0, 0x10, 0, 0};
const Bytes kMulsdXmm0{0xf2, 0x0f, 0x59, 0xc1};

Epilogue Find(const Bytes& text) {
  const auto found = FindEpilogue(text, kBase, kBase + text.size() - 1);
  EXPECT_TRUE(found.has_value());
  return found.value_or(Epilogue{});
}

TEST(Epilogue, BeginsWithTheFirstInstructionThatReleases) {
  const Epilogue end = Find(Concat({kMovEaxEdi, kAddRsp24, kPopRbx, kPopR12, kRet}));
  EXPECT_EQ(end.first, kBase + 2);
  EXPECT_TRUE(end.frame_is_intact);
  EXPECT_TRUE(end.begins_release);
  EXPECT_TRUE(end.sets_integer);
  EXPECT_FALSE(end.sets_float);
}

TEST(Epilogue, IsTheReturnAloneWhereNothingIsReleased) {
  const Epilogue end = Find(Concat({kMulsdXmm0, kRet}));
  EXPECT_EQ(end.first, kBase + 4);
  EXPECT_TRUE(end.frame_is_intact);
  EXPECT_FALSE(end.sets_integer);
  EXPECT_TRUE(end.sets_float);
}

TEST(Epilogue, NothingIsProvenByACallOrAnotherRegister) {
  EXPECT_FALSE(Find(Concat({kCall, kAddRsp24, kRet})).sets_integer);
  EXPECT_TRUE(Find(Concat({kCall, kAddRsp24, kRet})).frame_is_intact);
  EXPECT_FALSE(Find(Concat({kMovEbxEdi, kPopRbx, kRet})).sets_integer);
}

TEST(Epilogue, WhatChangesTheResultIsNoRelease) {
  const Epilogue end = Find(Concat({kMovEbxEdi, kPopRax, kPopRbx, kRet}));
  EXPECT_EQ(end.first, kBase + 3);
}

// jmp over the add: to the pop, where part of the frame is released already on the other way.
TEST(Epilogue, StopsWhereSomebodyJumpsInto) {
  const Epilogue end = Find(Concat({{0xeb, 0x04}, kAddRsp24, kPopRbx, kRet}));
  EXPECT_EQ(end.first, kBase + 6);
  EXPECT_FALSE(end.frame_is_intact);
  EXPECT_FALSE(end.begins_release);
}

TEST(Epilogue, WhoJumpsToALeaveHasTheFrame) {
  const Epilogue end = Find(Concat({{0xeb, 0x02}, kMovEaxEdi, kLeave, kRet}));
  EXPECT_EQ(end.first, kBase + 4);
  EXPECT_TRUE(end.frame_is_intact);
  EXPECT_FALSE(end.sets_integer);  // who jumps here has computed something else
}

TEST(Epilogue, WhoJumpsToItsBeginningMayHaveTheFrame) {
  const Epilogue end = Find(Concat({{0xeb, 0x02}, kMovEaxEdi, kAddRsp24, kPopRbx, kRet}));
  EXPECT_EQ(end.first, kBase + 4);
  EXPECT_FALSE(end.frame_is_intact);
  EXPECT_TRUE(end.begins_release);
}

TEST(Epilogue, WhatIsNotUnderstoodHasNone) {
  const Bytes text = Concat({{0x06}, kRet});  // push es: not in 64-bit code
  EXPECT_FALSE(FindEpilogue(text, kBase, kBase + 1).has_value());
  // An exit in the midst of an instruction.
  EXPECT_FALSE(FindEpilogue(kCall, kBase, kBase + 3).has_value());
}

TEST(Epilogue, LengthOfWhatReleases) {
  EXPECT_EQ(FrameReleaseBytes(kAddRsp24), 4u);
  EXPECT_EQ(FrameReleaseBytes(kPopR12), 2u);
  EXPECT_EQ(FrameReleaseBytes(kPopRax), 0u);
  EXPECT_EQ(FrameReleaseBytes(kRet), 0u);
  EXPECT_EQ(FrameReleaseBytes({}), 0u);
}

}  // namespace
}  // namespace stillframe::probe
