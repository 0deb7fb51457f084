#include "plan/plan_codec.h"

#include <gtest/gtest.h>

#include "base/checksum.h"

namespace stillframe {
namespace {

// A value of its own in every field that is looked at below.
ProbePlan MakePlan() {
  ProbePlan plan;
  plan.module_path = "/bin/shop";
  plan.build_id = "ab12";
  plan.unit.strings = {"", "f()", "/src/f.cc", "x", "int"};
  plan.unit.code = {MakeInsn(Op::kConst, -5), MakeInsn(Op::kReturn)};
  TypeNode type;
  type.kind = TypeKind::kSigned;
  type.name = 4;
  type.size_bytes = 4;
  plan.unit.types.push_back(type);
  Variable variable;
  variable.name = 3;
  variable.type = 1;
  variable.location.kind = LocationKind::kValue;
  variable.location.program = {0, 2};
  plan.unit.variables.push_back(variable);
  plan.unit.extents.push_back({0, 2});
  plan.unit.virtual_frames.push_back(VirtualFrame{1, 2, 17, 0, {}, 0, 1});
  FramePlan frame;
  frame.pc = LinkAddress(0x1234);
  frame.virtual_count = 1;
  plan.unit.frames.push_back(frame);
  SitePlan site;
  site.address = LinkAddress(0x1234);
  site.function = 1;
  plan.sites.push_back(site);
  plan.limits.items = 7;
  plan.hides_site_frame = true;
  return plan;
}

TEST(PlanCodec, WhatIsReadIsWhatWasWritten) {
  const std::string bytes = EncodePlan(MakePlan());
  const auto plan = DecodePlan(bytes);
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
  EXPECT_EQ(plan->unit.strings, MakePlan().unit.strings);
  EXPECT_EQ(plan->unit.code[0].imm, -5);
  EXPECT_EQ(plan->unit.types[1].kind, TypeKind::kSigned);
  ASSERT_EQ(plan->unit.extents.size(), 1u);
  EXPECT_EQ(plan->unit.extents[0].count, 2u);
  EXPECT_EQ(plan->sites[0].address, LinkAddress(0x1234));
  EXPECT_EQ(plan->limits.items, 7u);
  EXPECT_TRUE(plan->hides_site_frame);
  EXPECT_EQ(EncodePlan(*plan), bytes);
}

TEST(PlanCodec, EveryCutIsAnError) {
  const std::string bytes = EncodePlan(MakePlan());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodePlan(std::string_view(bytes).substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(DecodePlan(bytes + '\0').ok());
}

TEST(PlanCodec, ThePlanIsVerified) {
  ProbePlan plan = MakePlan();
  plan.unit.code[1] = MakeInsn(Op::kJump, 5);  // out of the program
  EXPECT_EQ(DecodePlan(EncodePlan(plan)).status().code(), Code::kCorrupt);
  std::string other = EncodePlan(MakePlan());
  other[0] = 99;
  EXPECT_EQ(DecodePlan(other).status().code(), Code::kUnsupported);
}

TEST(Checksum, IsTheOneOfTheStandard) {
  EXPECT_EQ(Crc32c("123456789", 9), 0xE3069283u);  // RFC 3720
  EXPECT_EQ(Crc32c("6789", 4, Crc32c("12345", 5)), 0xE3069283u);
}

}  // namespace
}  // namespace stillframe
