// Containers that registers hold in part.
#include <gtest/gtest.h>

#include <cstring>

#include "agent/decode/value_formatter.h"

namespace stillframe::decode {
namespace {

class KnownPartsTest : public testing::Test {
 protected:
  KnownPartsTest() {
    const TypeId number = AddType(TypeKind::kSigned, 4, "int");
    const TypeId pointer = AddType(TypeKind::kPointer, 8, "int *");
    unit_.types[pointer].target = kVoidType;
    vector_ = AddType(TypeKind::kStruct, 24, "std::vector<int>");
    uint32_t offset = 0;
    unit_.types[vector_].first_member = static_cast<uint32_t>(unit_.members.size());
    unit_.types[vector_].member_count = 3;
    for (const char* name : {"_M_start", "_M_finish", "_M_end_of_storage"}) {
      Member member;
      member.name = AddString(name);
      member.type = pointer;
      member.offset_bytes = offset;
      offset += 8;
      unit_.members.push_back(member);
    }
    View view;
    view.kind = ViewKind::kSequence;
    view.b = 8;
    view.element = number;
    unit_.types[vector_].view = static_cast<uint32_t>(unit_.views.size());
    unit_.views.push_back(view);
  }

  StringId AddString(const char* text) {
    unit_.strings.emplace_back(text);
    return static_cast<StringId>(unit_.strings.size() - 1);
  }
  TypeId AddType(TypeKind kind, uint32_t size_bytes, const char* name) {
    TypeNode node;
    node.kind = kind;
    node.size_bytes = size_bytes;
    node.name = AddString(name);
    unit_.types.push_back(node);
    return static_cast<TypeId>(unit_.types.size() - 1);
  }
  // A vector of which the first `known` words are.
  model::Value Format(size_t known) {
    const uint64_t words[3] = {0x1000, 0x2000, 0x3000};
    std::vector<uint8_t> bytes(sizeof words);
    std::memcpy(bytes.data(), words, sizeof words);
    std::vector<Code> reasons(sizeof words, Code::kOptimizedOut);
    std::fill_n(reasons.begin(), known * 8, Code::kOk);
    FormatContext context;
    ValueFormatter formatter(unit_, context);
    return formatter.Format("numbers", vector_, Object::FromBytes(bytes, reasons), 0);
  }

  PlanUnit unit_;
  TypeId vector_ = kVoidType;
};

TEST_F(KnownPartsTest, AreShownRawWithTheReasonForTheRest) {
  const model::Value value = Format(1);
  EXPECT_EQ(value.status, model::ValueStatus::kTruncated);
  EXPECT_EQ(value.reason, "OPTIMIZED_OUT");
  EXPECT_FALSE(value.has_value);
  ASSERT_EQ(value.children.size(), 3u);
  EXPECT_EQ(value.children[0].value, "0x1000");
  EXPECT_EQ(value.children[1].status, model::ValueStatus::kUnavailable);
  EXPECT_EQ(value.children[1].reason, "OPTIMIZED_OUT");
}

TEST_F(KnownPartsTest, NothingKnownIsUnavailable) {
  const model::Value value = Format(0);
  EXPECT_EQ(value.status, model::ValueStatus::kUnavailable);
  EXPECT_EQ(value.reason, "OPTIMIZED_OUT");
  EXPECT_TRUE(value.children.empty());
}

}  // namespace
}  // namespace stillframe::decode
