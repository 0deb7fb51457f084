// Small functions, written as bytes; a site is (address, part).
#include "agent/line_executions.h"

#include <gtest/gtest.h>

namespace stillframe::agent {
namespace {

constexpr uint64_t kEntry = 0x1000;

std::vector<bool> Begins(std::vector<uint8_t> text, std::vector<LinePart> sites,
                         std::vector<uint64_t> other_lines = {}) {
  FunctionCode code{kEntry, {{kEntry, std::move(text)}}, {}};
  for (const uint64_t at : other_lines) code.other_lines.push_back(kEntry + at);
  for (LinePart& site : sites) site.address += kEntry;
  return BeginExecutions(code, sites);
}

using Answer = std::vector<bool>;

TEST(LineExecutions, PartsInARowAreOne) {
  // xor; xor; ret
  EXPECT_EQ(Begins({0x31, 0xC0, 0x31, 0xC0, 0xC3}, {{0, 1}, {2, 2}}), (Answer{true, false}));
}

TEST(LineExecutions, EachRoundOfALoopIsOne) {
  // xor; xor; jne -6; ret
  EXPECT_EQ(Begins({0x31, 0xC0, 0x31, 0xC0, 0x75, 0xFA, 0xC3}, {{0, 1}, {2, 2}}),
            (Answer{true, false}));
}

TEST(LineExecutions, APartThatRunsAgainAloneIsProbed) {
  // xor; 2: xor; jne 2; ret
  EXPECT_EQ(Begins({0x31, 0xC0, 0x31, 0xC0, 0x75, 0xFC, 0xC3}, {{0, 1}, {2, 2}}),
            (Answer{true, true}));
}

TEST(LineExecutions, AlternativesAreBothProbed) {
  // je 6; 2: xor; jmp 8; 6: xor; 8: ret
  EXPECT_EQ(Begins({0x74, 0x04, 0x31, 0xC0, 0xEB, 0x02, 0x31, 0xC0, 0xC3}, {{2, 1}, {6, 2}}),
            (Answer{true, true}));
}

TEST(LineExecutions, CopiesAreExecutionsOnceAnotherLineRan) {
  const std::vector<uint8_t> text = {0x31, 0xC0, 0x31, 0xC0, 0x31, 0xC0, 0xC3};
  EXPECT_EQ(Begins(text, {{0, 1}, {4, 1}}, {2}), (Answer{true, true}));
  EXPECT_EQ(Begins(text, {{0, 1}, {4, 1}}), (Answer{true, false}));
}

TEST(LineExecutions, FillersAreNoEntries) {
  // xor; jmp 8; nopl 0(rax) (never run); 8: xor; ret
  EXPECT_EQ(
      Begins({0x31, 0xC0, 0xEB, 0x04, 0x0F, 0x1F, 0x40, 0x00, 0x31, 0xC0, 0xC3}, {{0, 1}, {8, 2}}),
      (Answer{true, false}));
}

TEST(LineExecutions, LandingPadsAre) {
  // xor; jmp 6; 4: xor (no way leads here); 6: xor; ret
  EXPECT_EQ(Begins({0x31, 0xC0, 0xEB, 0x02, 0x31, 0xC0, 0x31, 0xC0, 0xC3}, {{0, 1}, {6, 2}}),
            (Answer{true, true}));
}

TEST(LineExecutions, WhatIsNotUnderstoodIsProbed) {
  EXPECT_EQ(Begins({0x31, 0xC0, 0x06, 0xC0, 0xC3}, {{0, 1}, {2, 2}}), (Answer{true, true}));
  EXPECT_EQ(Begins({0x31, 0xC0, 0x31, 0xC0, 0xC3}, {{0, 1}, {3, 2}}), (Answer{true, true}));
  EXPECT_EQ(BeginExecutions({}, std::vector<LinePart>{{0, 1}, {2, 2}}), (Answer{true, true}));
}

}  // namespace
}  // namespace stillframe::agent
