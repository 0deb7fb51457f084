#include "plan/entry_key.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace stillframe {
namespace {

// A frame of variables with these names and flags.
class EntryKeyTest : public testing::Test {
 protected:
  void Add(const char* name, uint8_t flags = 0) {
    unit_.strings.emplace_back(name);
    Variable variable;
    variable.name = static_cast<StringId>(unit_.strings.size() - 1);
    variable.flags = flags;
    unit_.variables.push_back(variable);
  }
  std::string KeyOf(uint32_t index) {
    VirtualFrame frame;
    frame.variable_count = static_cast<uint32_t>(unit_.variables.size());
    const Variable* const key = KeyVariableOf(unit_, frame, index);
    return key == nullptr ? "" : unit_.strings[key->name];
  }

  PlanUnit unit_;
};

TEST_F(EntryKeyTest, OfVariablesByTheirNames) {
  for (const char* name : {"value", "name", "other", "v", "second"}) Add(name);
  EXPECT_EQ(KeyOf(0), "name");
  EXPECT_EQ(KeyOf(1), "");
  EXPECT_EQ(KeyOf(2), "");
  EXPECT_EQ(KeyOf(3), "");
  EXPECT_EQ(KeyOf(4), "");
}

TEST_F(EntryKeyTest, OfABindingItsFirstName) {
  Add("before");
  Add("header", kVariableBindsFirst);
  Add("text", kVariableBinds);
  Add("more", kVariableBinds);
  Add("one", kVariableBindsFirst);
  Add("two", kVariableBinds);
  Add("after");
  const char* const keys[] = {"", "", "header", "header", "", "one", ""};
  for (uint32_t i = 0; i < 7; ++i) EXPECT_EQ(KeyOf(i), keys[i]) << i;
}

TEST_F(EntryKeyTest, ABindingWhoseFirstNameIsHiddenHasNoKey) {
  Add("text", kVariableBinds);
  EXPECT_EQ(KeyOf(0), "");
}

TEST_F(EntryKeyTest, NumbersNameNothing) {
  const auto add = [this](TypeKind kind, TypeId target = kVoidType) {
    TypeNode type;
    type.kind = kind;
    type.target = target;
    unit_.types.push_back(type);
    return static_cast<TypeId>(unit_.types.size() - 1);
  };
  add(TypeKind::kVoid);
  const TypeId number = add(TypeKind::kSigned), text = add(TypeKind::kStruct);
  EXPECT_FALSE(MayName(unit_, number));
  EXPECT_FALSE(MayName(unit_, add(TypeKind::kReference, number)));
  EXPECT_FALSE(MayName(unit_, add(TypeKind::kFloat)));
  EXPECT_TRUE(MayName(unit_, text));
  EXPECT_TRUE(MayName(unit_, add(TypeKind::kReference, text)));
  EXPECT_TRUE(MayName(unit_, add(TypeKind::kPointer, number)));
  EXPECT_TRUE(MayName(unit_, add(TypeKind::kEnum)));
}

}  // namespace
}  // namespace stillframe
