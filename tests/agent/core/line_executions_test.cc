// Small functions, written as bytes; a site is (address, part).
#include "agent/line_executions.h"

#include <gtest/gtest.h>

#include "plan/line_part.h"

namespace stillframe::agent {
namespace {

constexpr uint64_t kEntry = 0x1000;

std::vector<bool> Begins(std::vector<uint8_t> text, std::vector<LinePart> sites,
                         std::vector<uint64_t> other_lines = {}, bool marks_statements = true) {
  FunctionCode code;
  code.marks_statements = marks_statements;
  code.entry = kEntry;
  code.parts.push_back({kEntry, std::move(text)});
  for (const uint64_t at : other_lines) code.other_lines.push_back(kEntry + at);
  code.other_rows = code.other_lines;
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
  EXPECT_EQ(Begins({0x31, 0xC0, 0x31, 0xC0, 0x75, 0xFC, 0xC3},
                   {{0, 1 | LinePartBits::kExact}, {2, 2 | LinePartBits::kExact}}),
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

// A statement's mark stays where its code was, and another line's begins: on the way from the
// line's other statement it ends an execution; the jump over that one did not run the line.
TEST(LineExecutions, AMarkWithoutCodeBeginsNoneWhereItEndsOne) {
  // je 4; 2: xor; 4: xor; ret
  const std::vector<uint8_t> text = {0x74, 0x02, 0x31, 0xC0, 0x31, 0xC0, 0xC3};
  EXPECT_EQ(Begins(text, {{2, 1}, {4, 2 | LinePartBits::kEmpty}}, {4}), (Answer{true, false}));
  EXPECT_EQ(Begins(text, {{2, 1}, {4, 2}}), (Answer{true, true}));
  // Alone on its way it does.
  EXPECT_EQ(Begins(text, {{4, 2 | LinePartBits::kEmpty}}, {4}), (Answer{true}));
}

// Another line's code was moved to where the statement begins: no statement of that line.
TEST(LineExecutions, MovedCodeEndsNoExecution) {
  // 0: xor; 2: xor; ret; before the first comes another line's statement
  const std::vector<uint8_t> text = {0x31, 0xC0, 0x31, 0xC0, 0xC3};
  const uint32_t exact = 1 | LinePartBits::kExact;
  const uint32_t moved = exact | LinePartBits::kEmpty | LinePartBits::kBehind;
  EXPECT_EQ(Begins(text, {{0, moved}, {2, exact}}, {0}), (Answer{true, false}));
  EXPECT_EQ(Begins(text, {{0, moved | LinePartBits::kBefore}, {2, exact}}, {0}),
            (Answer{true, true}));
}

// Code that the compiler moved away from the statement's mark.
TEST(LineExecutions, RunsBesideStatementsCountWhereNoStatementIs) {
  // je 6; 2: xor; jmp 8; 6: xor; 8: ret
  EXPECT_EQ(Begins({0x74, 0x04, 0x31, 0xC0, 0xEB, 0x02, 0x31, 0xC0, 0xC3},
                   {{2, 1 | LinePartBits::kEmpty}, {6, 2 | LinePartBits::kRun}}),
            (Answer{true, true}));
  // xor; xor; ret
  EXPECT_EQ(Begins({0x31, 0xC0, 0x31, 0xC0, 0xC3}, {{0, 1 | LinePartBits::kRun}, {2, 2}}),
            (Answer{false, true}));
  EXPECT_EQ(Begins({0x31, 0xC0, 0x31, 0xC0, 0xC3}, {{0, 1}, {2, 2 | LinePartBits::kRun}}),
            (Answer{true, false}));
  // Not understood: those that are marked.
  EXPECT_EQ(Begins({0x06}, {{0, 1}, {2, 2 | LinePartBits::kRun}}), (Answer{true, false}));
}

TEST(LineExecutions, ARunThatWasTakenOutOfALoopIsNone) {
  // mov; 5: xor; 7: xor; jne 5; ret
  EXPECT_EQ(Begins({0xB8, 0, 0, 0, 0, 0x31, 0xC0, 0x31, 0xC0, 0x75, 0xFA, 0xC3},
                   {{0, 1 | LinePartBits::kRun}, {7, 2 | LinePartBits::kRun}}, {5}),
            (Answer{false, true}));
}

// Of the same part, too, if it does other things: no copy.
TEST(LineExecutions, MovedRunsMayBeOfTheSamePart) {
  // mov; 5: (another line) nop; 6: xor; jne 5; ret
  EXPECT_EQ(Begins({0xB8, 0, 0, 0, 0, 0x90, 0x31, 0xC0, 0x75, 0xFB, 0xC3},
                   {{0, 1 | LinePartBits::kRun}, {6, 1 | LinePartBits::kRun}}, {5}),
            (Answer{false, true}));
  // 0: xor; 2: nop; 3: xor; jne 2; ret
  EXPECT_EQ(Begins({0x31, 0xC0, 0x90, 0x31, 0xC0, 0x75, 0xFB, 0xC3},
                   {{0, 1 | LinePartBits::kRun}, {3, 1 | LinePartBits::kRun}}, {2}),
            (Answer{true, true}));
}

TEST(LineExecutions, NoWayLeadsBehindACallThatThrows) {
  // 0: xor; jmp 9; 4: call 0x1100 (no way leads here); 9: xor; ret
  FunctionCode code;
  code.entry = kEntry;
  code.parts.push_back(
      {kEntry, {0x31, 0xC0, 0xEB, 0x05, 0xE8, 0xF7, 0x00, 0x00, 0x00, 0x31, 0xC0, 0xC3}});
  const std::vector<LinePart> sites = {{kEntry, 1}, {kEntry + 9, 2}};
  EXPECT_EQ(BeginExecutions(code, sites), (Answer{true, true}));
  code.without_return = {0x1100};
  EXPECT_EQ(BeginExecutions(code, sites), (Answer{true, false}));
}

// xor; (another line's nop;) mov; ret: one statement, cut in two. xor; nop; xor; ret: two copies.
TEST(LineExecutions, CopiesDoTheSameThings) {
  const std::vector<uint8_t> cut = {0x31, 0xC0, 0x90, 0xB8, 0, 0, 0, 0, 0xC3};
  const std::vector<uint8_t> copies = {0x31, 0xC0, 0x90, 0x31, 0xC0, 0xC3};
  EXPECT_EQ(Begins(cut, {{0, 1}, {3, 1}}, {2}), (Answer{true, false}));
  EXPECT_EQ(Begins(copies, {{0, 1}, {3, 1}}, {2}), (Answer{true, true}));
  // Marked once for each copy, or in code without any.
  const uint32_t exact = 1 | LinePartBits::kExact, plain = 1 | LinePartBits::kPlain;
  EXPECT_EQ(Begins(cut, {{0, exact}, {3, exact}}, {2}), (Answer{true, true}));
  EXPECT_EQ(Begins(copies, {{0, plain}, {3, plain}}, {2}), (Answer{true, false}));
}

TEST(LineExecutions, WhatTheSchedulerSplitIsOneExecution) {
  // 0: mov rdx, rdi; 3: (another line) inc rdx; 6: call 11; 11: ret
  const std::vector<uint8_t> text = {0x48, 0x89, 0xD7, 0x48, 0xFF, 0xC2,
                                     0xE8, 0x00, 0x00, 0x00, 0x00, 0xC3};
  const uint32_t exact = 1 | LinePartBits::kExact;
  EXPECT_EQ(Begins(text, {{0, 1}, {6, 1}}, {3}), (Answer{true, false}));
  EXPECT_EQ(Begins(text, {{0, exact}, {6, exact}}, {3}), (Answer{true, true}));
  EXPECT_EQ(Begins(text, {{0, exact}, {6, exact}}, {3}, false), (Answer{true, false}));
}

TEST(LineExecutions, CopiesWithOtherRegistersAreExecutions) {
  // 0: mov (rdi), rax; 3: (another line) inc rdx; 6: mov 8(rdi), rcx; 10: ret
  EXPECT_EQ(Begins({0x48, 0x8B, 0x07, 0x48, 0xFF, 0xC2, 0x48, 0x8B, 0x4F, 0x08, 0xC3},
                   {{0, 1}, {6, 1}}, {3}),
            (Answer{true, true}));
}

TEST(LineExecutions, CallsOfOthersAreNoCopies) {
  // 0: call 5; 5: (another line) nop; 6: call 11; 11: ret; and both to 11
  EXPECT_EQ(Begins({0xE8, 0, 0, 0, 0, 0x90, 0xE8, 0, 0, 0, 0, 0xC3}, {{0, 1}, {6, 1}}, {5}),
            (Answer{true, false}));
  EXPECT_EQ(Begins({0xE8, 6, 0, 0, 0, 0x90, 0xE8, 0, 0, 0, 0, 0xC3}, {{0, 1}, {6, 1}}, {5}),
            (Answer{true, true}));
}

TEST(LineExecutions, WhatIsComputedAheadOfALoopIsNoExecution) {
  // 0: mov 1, eax; 5: (another line) xor; 7: cmp ecx, eax; jne 7; ret
  const std::vector<uint8_t> text = {0xB8, 1, 0, 0, 0, 0x31, 0xC9, 0x39, 0xC8, 0x75, 0xFC, 0xC3};
  const uint32_t exact = 1 | LinePartBits::kExact;
  EXPECT_EQ(Begins(text, {{0, 1}, {7, 1}}, {5}), (Answer{false, true}));
  EXPECT_EQ(Begins(text, {{0, exact}, {7, exact}}, {5}), (Answer{true, true}));
  // 5: je 11: the loop may be passed by
  EXPECT_EQ(
      Begins({0xB8, 1, 0, 0, 0, 0x74, 0x04, 0x39, 0xC8, 0x75, 0xFC, 0xC3}, {{0, 1}, {7, 1}}, {5}),
      (Answer{true, true}));
  // 5: call 10: may throw before the loop
  EXPECT_EQ(Begins({0xB8, 1, 0, 0, 0, 0xE8, 0, 0, 0, 0, 0x39, 0xC8, 0x75, 0xFC, 0xC3},
                   {{0, 1}, {10, 1}}, {5}),
            (Answer{true, true}));
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
