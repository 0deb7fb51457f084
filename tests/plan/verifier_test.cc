#include "plan/verifier.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "agent/hit/interpreter.h"

namespace stillframe {
namespace {

Insn I(Op op, uint8_t a = 0, uint8_t b = 0, int64_t imm = 0) { return MakeInsn(op, imm, a, b); }

std::string Verify(const std::vector<Insn>& code, size_t string_count = 1) {
  const Program whole{0, static_cast<uint32_t>(code.size())};
  return VerifyProgram(code, whole, string_count).ToString();
}

TEST(VerifyProgram, AcceptsWellFormedPrograms) {
  EXPECT_EQ(Verify({I(Op::kConst), I(Op::kReturn)}), "OK");
  EXPECT_EQ(Verify({I(Op::kFail, static_cast<uint8_t>(Code::kOptimizedOut))}), "OK");
  EXPECT_EQ(Verify({I(Op::kRegister, 15), I(Op::kLoad, 8), I(Op::kReturn)}), "OK");
  EXPECT_EQ(Verify({I(Op::kEntryValue, ParameterCellOf(kParameterCells - 1)), I(Op::kReturn)}),
            "OK");
  EXPECT_EQ(Verify({I(Op::kXmm, 15, 8), I(Op::kCfa), I(Op::kRot), I(Op::kReturn)}),
            "CORRUPT: instruction 2: stack underflow");
  // if (0) 1 else 2
  EXPECT_EQ(Verify({I(Op::kConst), I(Op::kJumpIfZero, 0, 0, 3), I(Op::kConst),
                    I(Op::kJump, 0, 0, 2), I(Op::kConst), I(Op::kReturn)}),
            "OK");
  EXPECT_EQ(Verify(std::vector<Insn>(kMaxStack, I(Op::kConst))),
            "CORRUPT: instruction 23: control leaves the program");
}

TEST(VerifyProgram, RefusesEachViolation) {
  const auto bad_op = static_cast<Op>(static_cast<uint8_t>(Op::kThreadOffset) + 1);
  const struct {
    std::vector<Insn> code;
    const char* what;
  } kCases[] = {
      {{}, "empty program"},
      {{I(bad_op)}, "instruction 0: unknown operation"},
      {{I(Op::kReturn)}, "instruction 0: stack underflow"},
      {{I(Op::kConst), I(Op::kAdd), I(Op::kReturn)}, "instruction 1: stack underflow"},
      {{I(Op::kConst), I(Op::kPick, 1), I(Op::kReturn)}, "instruction 1: stack underflow"},
      {{I(Op::kConst)}, "instruction 0: control leaves the program"},
      {{I(Op::kFail)}, "instruction 0: not an error code"},
      {{I(Op::kFail, 255)}, "instruction 0: not an error code"},
      {{I(Op::kRegister, 16), I(Op::kReturn)}, "instruction 0: no such register"},
      {{I(Op::kXmm, 16, 8), I(Op::kReturn)}, "instruction 0: no such register"},
      {{I(Op::kEntryValue, kAllEntryCells), I(Op::kReturn)}, "instruction 0: no such register"},
      {{I(Op::kXmm, 0, 16), I(Op::kReturn)}, "instruction 0: bad size"},
      {{I(Op::kConst), I(Op::kLoad, 3), I(Op::kReturn)}, "instruction 1: bad size"},
      {{I(Op::kConst), I(Op::kExtend, 0), I(Op::kReturn)}, "instruction 1: bad size"},
      {{I(Op::kConst), I(Op::kCStringEq, 0, 0, 1), I(Op::kReturn)},
       "instruction 1: no such string"},
      {{I(Op::kConst), I(Op::kDup), I(Op::kStringEq, 0, 0, -1), I(Op::kReturn)},
       "instruction 2: no such string"},
      {{I(Op::kConst), I(Op::kJump, 0, 0, 0), I(Op::kReturn)},
       "instruction 1: jump that does not go forward"},
      {{I(Op::kConst), I(Op::kJump, 0, 0, -1), I(Op::kReturn)},
       "instruction 1: jump that does not go forward"},
      {{I(Op::kConst), I(Op::kJump, 0, 0, 2), I(Op::kReturn)},
       "instruction 1: control leaves the program"},
      {{I(Op::kConst), I(Op::kJump, 0, 0, INT64_MAX), I(Op::kReturn)},
       "instruction 1: control leaves the program"},
      {{I(Op::kConst), I(Op::kJumpIfZero, 0, 0, 2), I(Op::kConst), I(Op::kConst), I(Op::kReturn)},
       "instruction 3: stack depth differs between paths"},
      {{I(Op::kGetLocal, 0), I(Op::kReturn)}, "instruction 0: local that may not be set"},
      {{I(Op::kConst), I(Op::kSetLocal, kMaxLocals), I(Op::kConst), I(Op::kReturn)},
       "instruction 1: no such local"},
      // if (0) local = 1; return local
      {{I(Op::kConst), I(Op::kJumpIfZero, 0, 0, 3), I(Op::kConst), I(Op::kSetLocal, 1),
        I(Op::kGetLocal, 1), I(Op::kReturn)},
       "instruction 4: local that may not be set"},
      {{I(Op::kConst), I(Op::kLoop, 0, 0, 1), I(Op::kReturn)},
       "instruction 1: loop that does not go back"},
      {{I(Op::kConst), I(Op::kLoop, 0, 0, -2), I(Op::kReturn)},
       "instruction 1: loop that does not go back"},
      {{I(Op::kConst), I(Op::kLoop, 0, 0, -1), I(Op::kReturn)},
       "instruction 1: stack depth differs between paths"},
      {{I(Op::kFact, kFactCount), I(Op::kReturn)}, "instruction 0: no such fact"},
      {{I(Op::kConst), I(Op::kDup), I(Op::kTextTest, kTextTestCount, 0, 0), I(Op::kReturn)},
       "instruction 2: no such test"},
      {{I(Op::kConst), I(Op::kDup), I(Op::kTextTest, 0, 0, 1), I(Op::kReturn)},
       "instruction 2: no such string"},
      {{I(Op::kConst), I(Op::kDup), I(Op::kTextTest, 0, 0, -1), I(Op::kReturn)},
       "instruction 2: stack underflow"},
      {{I(Op::kConst), I(Op::kTextLength, 0, 0, -1), I(Op::kReturn)}, "instruction 1: bad size"},
      // Jumps over what sets the local that the loop's head relies on.
      {{I(Op::kConst), I(Op::kSetLocal, 0), I(Op::kConst), I(Op::kJumpIfZero, 0, 0, 3),
        I(Op::kConst), I(Op::kSetLocal, 1), I(Op::kGetLocal, 1), I(Op::kReturn)},
       "instruction 6: local that may not be set"},
  };
  for (const auto& [code, what] : kCases) {
    EXPECT_EQ(Verify(code), std::string("CORRUPT: ") + what);
  }
  std::vector<Insn> deep(kMaxStack + 1, I(Op::kConst));
  deep.push_back(I(Op::kReturn));
  EXPECT_EQ(Verify(deep), "CORRUPT: instruction 24: stack overflow");
  std::vector<Insn> longer(kMaxProgramLength, I(Op::kFail, 1));
  longer.push_back(I(Op::kFail, 1));
  EXPECT_EQ(Verify(longer), "CORRUPT: program too long");
  const std::vector<Insn> two = {I(Op::kConst), I(Op::kReturn)};
  EXPECT_EQ(VerifyProgram(two, {1, 2}, 1).ToString(), "CORRUPT: program outside the code");
  EXPECT_EQ(VerifyProgram(two, {UINT32_MAX, 1}, 1).ToString(), "CORRUPT: program outside the code");
}

TEST(VerifyProgram, StackDepthsOfEachInstruction) {
  const std::vector<Insn> code = {I(Op::kConst), I(Op::kDup), I(Op::kJump, 0, 0, 2),
                                  I(Op::kDrop),  I(Op::kAdd), I(Op::kReturn)};
  const auto depths = StackDepths(code, {0, 6}, 1);
  ASSERT_TRUE(depths.ok());
  EXPECT_EQ(*depths, (std::vector<uint8_t>{0, 1, 2, kNeverRuns, 2, 1}));
}

// Whatever is accepted runs within its stack: red zones around it stay as they are.
TEST(VerifyProgram, AcceptedRandomProgramsRunSafely) {
  std::mt19937_64 random(42);
  constexpr uint64_t kGuard = 0x5afe5afe5afe5afe;
  const hit::StringRef strings[] = {{"", 0}, {"abc", 3}};
  uint64_t registers[kRegisterCount] = {};
  uint8_t xmm[kXmmCount][16] = {};
  const hit::FrameContext frame{registers, 0xffff,  1, {}, 0x1000,  0,
                                xmm,       nullptr, 0, 0,  nullptr, nullptr};
  const hit::MemoryReader memory{[](void*, uint64_t address, void* out, uint32_t size_bytes) {
                                   std::memset(out, static_cast<int>(address), size_bytes);
                                   return address % 3 != 0;
                                 },
                                 nullptr};
  int accepted = 0;
  for (int round = 0; round < 300'000; ++round) {
    std::vector<Insn> code(1 + random() % 14);
    for (Insn& insn : code) {
      // Mostly pushes and small operands, so that a fair share is accepted.
      insn.op = static_cast<Op>(random() % 4 == 0 ? 2 : random() % 69);
      insn.a = static_cast<uint8_t>(random() % 9);
      insn.b = static_cast<uint8_t>(random() % 9);
      insn.imm = static_cast<int64_t>(random() % 5);
      if (insn.op == Op::kLoop || random() % 16 == 0) insn.imm = -insn.imm;
    }
    code.back() = I(Op::kReturn);
    if (Verify(code, 2) != "OK") continue;
    ++accepted;
    uint64_t cells[kMaxStack + hit::kSideCells + 8];
    for (uint64_t& cell : cells) cell = kGuard;
    hit::EvaluateWithStack(cells + 4, code.data(), static_cast<uint32_t>(code.size()), frame,
                           memory, strings);
    for (int i = 0; i < 4; ++i) {
      ASSERT_EQ(cells[i], kGuard);
      ASSERT_EQ(cells[kMaxStack + hit::kSideCells + 4 + i], kGuard);
    }
  }
  EXPECT_GT(accepted, 1'000);
}

TEST(VerifyProgram, RandomBytesNeverCrash) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 200'000; ++round) {
    std::vector<Insn> code(1 + random() % 6);
    for (Insn& insn : code) {
      uint64_t bytes[2] = {random(), random()};
      if (random() % 2 == 0) bytes[0] &= 0x0f0f3f;
      std::memcpy(static_cast<void*>(&insn), bytes, sizeof insn);
    }
    Verify(code);
  }
}

// A plan with one of everything.
ProbePlan ValidPlan() {
  ProbePlan plan;
  PlanUnit& unit = plan.unit;
  unit.strings = {"", "int", "S", "p", "abcdefgh"};
  unit.code = {I(Op::kCfa), I(Op::kReturn)};
  unit.types.resize(6);
  unit.types[1].kind = TypeKind::kSigned;
  unit.types[1].name = 1;
  unit.types[1].size_bytes = 4;
  unit.types[2].kind = TypeKind::kStruct;
  unit.types[2].name = 2;
  unit.types[2].size_bytes = 24;
  unit.types[2].member_count = 2;
  unit.types[2].view = 1;
  unit.types[3].kind = TypeKind::kPointer;
  unit.types[3].size_bytes = 8;
  unit.types[3].target = 2;
  unit.types[4].kind = TypeKind::kArray;
  unit.types[4].target = 1;
  unit.types[4].count = 3;
  unit.types[4].size_bytes = 12;
  unit.types[5].kind = TypeKind::kEnum;
  unit.types[5].size_bytes = 4;
  unit.types[5].member_count = 1;
  unit.members.resize(2);
  unit.members[0].type = 1;
  unit.members[1].type = 3;
  unit.members[1].offset_bytes = 16;
  unit.enumerators.resize(1);
  View view;
  view.kind = ViewKind::kSequence;
  view.b = 8;
  view.element = 1;
  unit.views.push_back(view);
  unit.pieces.resize(1);
  unit.pieces[0].kind = LocationKind::kBytes;
  unit.pieces[0].size_bytes = 8;
  unit.pieces[0].bytes = 4;
  unit.variables.resize(2);
  unit.variables[0].type = 2;
  unit.variables[0].location.kind = LocationKind::kMemory;
  unit.variables[0].location.program = {0, 2};
  unit.variables[1].location.kind = LocationKind::kPieces;
  unit.variables[1].location.piece_count = 1;
  unit.virtual_frames.resize(1);
  unit.virtual_frames[0].variable_count = 2;
  unit.frames.resize(1);
  unit.frames[0].virtual_count = 1;
  plan.sites.resize(1);
  plan.sites[0].condition = {0, 2};
  plan.sites[0].expression_count = 1;
  return plan;
}

TEST(VerifyPlan, AcceptsAValidPlan) { EXPECT_EQ(VerifyPlan(ValidPlan()).ToString(), "OK"); }

TEST(VerifyPlan, RefusesEachViolation) {
  const struct {
    std::function<void(ProbePlan&)> damage;
    const char* what;
  } kCases[] = {
      {[](ProbePlan& p) { p.unit.strings[0] = "x"; }, "string 0 is not \"\""},
      {[](ProbePlan& p) { p.unit.types[0].kind = TypeKind::kBool; }, "type 0 is not void"},
      {[](ProbePlan& p) { p.unit.views[0].kind = ViewKind::kPair; }, "view 0 is not none"},
      {[](ProbePlan& p) { p.unit.views[1].kind = static_cast<ViewKind>(99); },
       "view 1: unknown kind"},
      {[](ProbePlan& p) { p.unit.views[1].element = 6; }, "view 1: no such type"},
      {[](ProbePlan& p) { p.unit.views[1].member_count = 3; }, "view 1: members outside the table"},
      {[](ProbePlan& p) { p.unit.views[1].kind = ViewKind::kVariant; }, "view 1: bad index size"},
      {[](ProbePlan& p) { p.unit.views[1].b = 17; }, "type 2: view leaves its object"},
      {[](ProbePlan& p) {
         p.unit.views[1].kind = ViewKind::kInlineArray;
         p.unit.views[1].count = 7;
       },
       "type 2: view leaves its object"},
      {[](ProbePlan& p) { p.unit.views[1].right = 32; }, "view 1: bad link"},
      {[](ProbePlan& p) { p.unit.views[1].layout = 200; }, "view 1: unknown kind"},
      {[](ProbePlan& p) {
         p.unit.views[1].kind = ViewKind::kIterator;
         p.unit.views[1].layout = kInDeque;  // of no elements a block
         p.unit.views[1].c = 0;
       },
       "type 2: view leaves its object"},
      {[](ProbePlan& p) {
         p.unit.views[1].kind = ViewKind::kIterator;
         p.unit.views[1].a = 1000;
       },
       "type 2: view leaves its object"},
      {[](ProbePlan& p) {
         p.unit.views[1].kind = ViewKind::kDeque;  // reads 32 bytes at b
       },
       "type 2: view leaves its object"},
      {[](ProbePlan& p) {
         p.unit.views[1].kind = ViewKind::kBitset;
         p.unit.views[1].count = 64 * 3 + 1;
       },
       "type 2: view leaves its object"},
      {[](ProbePlan& p) {
         p.unit.views[1].kind = ViewKind::kCustom;
         p.unit.views[1].b = 2;
       },
       "view 1: no such view"},
      {[](ProbePlan& p) {
         p.unit.views[1].kind = ViewKind::kCustom;
         p.unit.views[1].b = 1;  // itself: it would never end
       },
       "view 1: a formatter's items of a bad kind"},
      {[](ProbePlan& p) {
         p.unit.views[1].kind = ViewKind::kCustom;
         p.unit.views[1].b = 2;
         p.unit.views.push_back(View{.kind = ViewKind::kChoice, .b = 0, .c = 2});  // for ever
       },
       "view 1: a formatter's items of a bad kind"},
      {[](ProbePlan& p) {
         p.unit.views[1].kind = ViewKind::kCustom;
         p.unit.views[1].b = 2;
         p.unit.views.push_back(View{.kind = ViewKind::kSlots, .count = 8, .e = 1000});
       },
       "type 2: view leaves its object"},
      {[](ProbePlan& p) {
         p.unit.views[1].kind = ViewKind::kCustom;
         p.unit.views[1].b = 2;
         p.unit.views.push_back(View{.kind = ViewKind::kBuckets, .parent = 32});
       },
       "view 2: bad link"},
      {[](ProbePlan& p) {
         p.unit.derived.push_back({8, 8, 1, 0});
       },
       "derived 0: empty range"},
      {[](ProbePlan& p) {
         p.unit.derived.push_back({8, 16, 6, 0});
       },
       "derived 0: no such type"},
      {[](ProbePlan& p) { p.unit.types[2].derived_count = 1; },
       "type 2: derived types outside the table"},
      {[](ProbePlan& p) { p.unit.members[0].name = 5; }, "member 0: no such string"},
      {[](ProbePlan& p) { p.unit.members[0].type = 6; }, "member 0: no such type"},
      {[](ProbePlan& p) { p.unit.members[0].bit_size = 65; }, "member 0: bad bit-field"},
      {[](ProbePlan& p) { p.unit.members[1].flags = kMemberBase; },
       "member 1: base or anonymous member that is not a class"},
      {[](ProbePlan& p) { p.unit.enumerators[0].name = 5; }, "enumerator 0: no such string"},
      {[](ProbePlan& p) { p.unit.types[1].kind = static_cast<TypeKind>(99); },
       "type 1: unknown kind"},
      {[](ProbePlan& p) { p.unit.types[1].name = 5; }, "type 1: no such string"},
      {[](ProbePlan& p) { p.unit.types[3].target = 6; }, "type 3: no such type"},
      {[](ProbePlan& p) { p.unit.types[2].view = 2; }, "type 2: no such view"},
      {[](ProbePlan& p) { p.unit.types[2].size_bytes = UINT32_MAX; }, "type 2: too large"},
      {[](ProbePlan& p) { p.unit.types[1].size_bytes = 17; }, "type 1: bad size"},
      {[](ProbePlan& p) { p.unit.types[3].size_bytes = 4; }, "type 3: bad size"},
      {[](ProbePlan& p) { p.unit.types[4].count = 4; }, "type 4: bad size"},
      {[](ProbePlan& p) { p.unit.types[4].member_count = 1; },
       "type 4: members of a type that has none"},
      {[](ProbePlan& p) { p.unit.types[2].first_member = UINT32_MAX; },
       "type 2: members outside the table"},
      {[](ProbePlan& p) { p.unit.types[5].member_count = 2; }, "type 5: members outside the table"},
      {[](ProbePlan& p) { p.unit.members[1].offset_bytes = 17; },
       "type 2: member 1 leaves its parent"},
      {[](ProbePlan& p) { p.unit.members[1].type = 2; }, "type 2: member 1 leaves its parent"},
      {[](ProbePlan& p) {
         p.unit.members[1].type = 2;
         p.unit.members[1].offset_bytes = 0;
       },
       "type 2 contains itself"},
      {[](ProbePlan& p) {
         p.unit.types[1].kind = TypeKind::kReference;
         p.unit.types[1].size_bytes = 8;
         p.unit.types[1].target = 1;
       },
       "type 1: reference to a reference"},
      {[](ProbePlan& p) { p.unit.pieces[0].kind = LocationKind::kPieces; }, "piece 0: bad kind"},
      {[](ProbePlan& p) { p.unit.pieces[0].size_bytes = 0; }, "piece 0: bad size"},
      {[](ProbePlan& p) { p.unit.pieces[0].bytes = 1; }, "piece 0: fewer bytes than its size"},
      {[](ProbePlan& p) {
         p.unit.pieces[0].kind = LocationKind::kXmm;
         p.unit.pieces[0].reg = kVectorCount;
       },
       "piece 0: no such register"},
      {[](ProbePlan& p) { p.unit.variables[0].name = 5; }, "variable 0: no such string"},
      {[](ProbePlan& p) { p.unit.variables[0].type = 6; }, "variable 0: no such type"},
      {[](ProbePlan& p) {
         p.unit.variables[0].location.program = {1, 2};
       },
       "variable 0: program outside the code"},
      {[](ProbePlan& p) { p.unit.variables[1].location.piece_count = 2; },
       "variable 1: pieces outside the table"},
      {[](ProbePlan& p) { p.unit.variables[1].location.kind = static_cast<LocationKind>(9); },
       "variable 1: bad location kind"},
      {[](ProbePlan& p) { p.unit.virtual_frames[0].file = 5; }, "virtual frame 0: no such string"},
      {[](ProbePlan& p) { p.unit.virtual_frames[0].variable_count = 3; },
       "virtual frame 0: variables outside the table"},
      {[](ProbePlan& p) { p.unit.frames[0].virtual_count = 2; },
       "frame 0: virtual frames outside the table"},
      {[](ProbePlan& p) { p.sites[0].function = 5; }, "site 0: no such string"},
      {[](ProbePlan& p) { p.sites[0].frame = 1; }, "site 0: no such frame"},
      {[](ProbePlan& p) { p.sites[0].expression_count = 3; },
       "site 0: expressions outside the table"},
      {[](ProbePlan& p) {
         p.sites[0].condition = {1, 1};
       },
       "site 0: condition: instruction 0: stack underflow"},
      {[](ProbePlan& p) { p.limits.depth = 1000; }, "capture limits too large"},
  };
  for (const auto& [damage, what] : kCases) {
    ProbePlan plan = ValidPlan();
    damage(plan);
    EXPECT_EQ(VerifyPlan(plan).ToString(), std::string("CORRUPT: ") + what);
  }
}

// Rows of variable length, and a pointer to them.
ProbePlan PlanOfRows() {
  ProbePlan plan = ValidPlan();
  PlanUnit& unit = plan.unit;
  unit.types.resize(9);
  for (const TypeId array : {6, 7}) {
    unit.types[array].kind = TypeKind::kArray;
    unit.types[array].flags = kFlagCountedByVariable;
  }
  unit.types[6].target = 7;
  unit.types[7].target = 1;
  unit.types[8].kind = TypeKind::kPointer;
  unit.types[8].size_bytes = 8;
  unit.types[8].target = 6;
  unit.extents = {{0, 2}, {0, 2}};
  unit.variables[0].type = 6;
  unit.variables[0].extent_count = 2;
  unit.variables[1].type = 8;
  unit.variables[1].extent_count = 2;
  return plan;
}

TEST(VerifyPlan, ExtentsBelongToDimensionsWithoutACount) {
  EXPECT_EQ(VerifyPlan(PlanOfRows()).ToString(), "OK");
  const struct {
    std::function<void(PlanUnit&)> damage;
    const char* what;
  } kCases[] = {
      {[](PlanUnit& u) { u.variables[0].extent_count = 3; },
       "variable 0: extents outside the table"},
      {[](PlanUnit& u) { u.variables[0].first_extent = UINT32_MAX; },
       "variable 0: extents outside the table"},
      {[](PlanUnit& u) {
         u.extents.resize(kMaxExtents + 1, u.extents[0]);
         u.variables[0].extent_count = kMaxExtents + 1;
       },
       "variable 0: extents outside the table"},
      {[](PlanUnit& u) { u.variables[0].extent_count = 1; }, "variable 0: extents missing"},
      {[](PlanUnit& u) {
         u.extents[1] = {1, 1};
       },
       "variable 0: instruction 0: stack underflow"},
      {[](PlanUnit& u) { u.types[7].flags = 0; }, "variable 0: extents of what is no array"},
      {[](PlanUnit& u) { u.types[8].target = 1; }, "variable 1: extents of what is no array"},
      {[](PlanUnit& u) { u.variables[0].location.kind = LocationKind::kValue; },
       "variable 0: extents of what is no array in memory"},
  };
  for (const auto& [damage, what] : kCases) {
    ProbePlan plan = PlanOfRows();
    damage(plan.unit);
    EXPECT_EQ(VerifyPlan(plan).ToString(), std::string("CORRUPT: ") + what);
  }
}

TEST(VerifyPlan, OverlappingMemberRangesDoNotMeanEndlessWork) {
  ProbePlan plan = ValidPlan();
  plan.unit.members.assign(10'000, plan.unit.members[0]);
  TypeNode type = plan.unit.types[2];
  type.view = 0;
  type.member_count = 10'000;
  plan.unit.types.resize(10'000, type);
  EXPECT_NE(VerifyPlan(plan).ToString().find("too many members in all"), std::string::npos);
}

}  // namespace
}  // namespace stillframe
