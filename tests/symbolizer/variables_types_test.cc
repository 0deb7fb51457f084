// The type table, the views and the names in scope, over a program whose types are known.
#include <algorithm>
#include <optional>

#include "gtest/gtest.h"
#include "plan/verifier.h"
#include "symbolizer/frame_compiler.h"
#include "tests/symbolizer/variables_support.h"

namespace stillframe::variables_test {
namespace {

class TestPolicy : public RedactionPolicy {
 public:
  bool RedactsName(std::string_view name) const override {
    return name == "password" || name == "api_key";
  }
  bool RedactsType(std::string_view name) const override {
    return name.find("Hidden") != std::string_view::npos;
  }
  bool RedactsValue(std::string_view, bool) const override { return false; }
  std::string_view NameList() const override { return "~password\n=apikey\n"; }
};

// One frame of a program, compiled at the line that holds `mark` in a comment.
class Compiled {
 public:
  Compiled(const std::string& program, const std::string& file, const std::string& function)
      : file_(TargetPath(program)) {
    const uint64_t pc = Address(file, function);
    unit_die_ = file_.UnitAt(pc);
    EXPECT_NE(unit_die_, nullptr) << function;
    pc_ = LinkAddress(pc);
    compiler_ = FrameCompiler::Create(file_.dwarf(), &policy_, unit);
    const Result<uint32_t> index = compiler_->AddFrame(unit_die_, pc_, pc_, true);
    EXPECT_TRUE(index.ok()) << index.status().ToString();
    frame_ = index.ok() ? unit.virtual_frames[unit.frames[*index].first_virtual] : VirtualFrame{};
  }

  const Variable& Local(const std::string& name) const {
    for (uint32_t i = 0; i < frame_.variable_count; ++i) {
      const Variable& variable = unit.variables[frame_.first_variable + i];
      if (unit.strings[variable.name] == name) return variable;
    }
    ADD_FAILURE() << "no variable " << name;
    return unit.variables.front();
  }
  const TypeNode& TypeOf(const std::string& name) const { return unit.types[Local(name).type]; }
  const std::string& NameOf(TypeId type) const { return unit.strings[unit.types[type].name]; }
  std::string TypeName(const std::string& name) const { return NameOf(Local(name).type); }
  const View& ViewOf(const std::string& name) const { return unit.views[TypeOf(name).view]; }
  const std::string& function() const { return unit.strings[frame_.function]; }
  std::unique_ptr<Scope> OpenScope() { return compiler_->OpenScope(unit_die_, pc_); }
  const Member* MemberNamed(const TypeNode& type, const std::string& name) const {
    for (uint32_t i = 0; i < type.member_count; ++i) {
      const Member& member = unit.members[type.first_member + i];
      if (unit.strings[member.name] == name) return &member;
    }
    return nullptr;
  }

  PlanUnit unit;

 private:
  // The last statement of the function that `mark` stands in.
  uint64_t Address(const std::string& file, const std::string& mark) {
    const std::string source = std::string(STILLFRAME_TARGET_SOURCES) + "/variables/" + file;
    return file_.AddressOf(file, LineWith(source, "// " + mark));
  }

  TestPolicy policy_;
  DwarfFileHandle file_;
  Dwarf_Die* unit_die_ = nullptr;
  LinkAddress pc_;
  std::unique_ptr<FrameCompiler> compiler_;
  VirtualFrame frame_;
};

class VariableTypes : public testing::TestWithParam<const char*> {
 protected:
  Compiled show_{GetParam(), "types.cc", "shown"};
};

TEST_P(VariableTypes, PlanPassesTheVerifier) {
  const Status status = VerifyUnit(show_.unit);
  EXPECT_TRUE(status.ok()) << status.ToString();
}

TEST_P(VariableTypes, PrintNamesAsGdbDoes) {
  const std::pair<const char*, const char*> expected[] = {
      {"hidden", "shop::Hidden *"},
      {"title", "const std::string &"},
      {"squares", "std::vector<shop::Square>"},
      {"by_number", "std::map<int, std::string>"},
      {"counts", "std::unordered_map<std::string, long>"},
      {"maybe", "std::optional<std::string>"},
      {"owner", "std::unique_ptr<shop::Square>"},
      {"three", "std::tuple<int, std::string, double>"},
      {"fixed", "std::array<int, 3>"},
      {"text", "std::string_view"},
      {"grid", "int [2][3]"},
      {"function", "int (*)(char, const shop::Square &)"},
      {"unused", "int shop::Bits::*"},
      {"changing", "volatile int"},
      {"tier", "shop::Tier"},
      {"api_key", "std::string"},
      {"big", "unsigned long long"},
      {"wide_char", "char16_t"},
  };
  for (const auto& [name, type] : expected) EXPECT_EQ(show_.TypeName(name), type) << name;
}

TEST_P(VariableTypes, KindsAndSizes) {
  EXPECT_EQ(show_.TypeOf("hidden").kind, TypeKind::kPointer);
  EXPECT_EQ(show_.TypeOf("title").kind, TypeKind::kReference);
  EXPECT_EQ(show_.TypeOf("wide_char").kind, TypeKind::kUnicode);
  EXPECT_EQ(show_.TypeOf("method").kind, TypeKind::kMemberPointer);
  EXPECT_EQ(show_.TypeOf("method").size_bytes, 16u);
  EXPECT_EQ(show_.TypeOf("unused").size_bytes, 8u);
  EXPECT_EQ(show_.TypeOf("runtime").kind, TypeKind::kArray);  // a VLA
  EXPECT_NE(show_.TypeOf("runtime").flags & kFlagCountedByVariable, 0);
  const TypeNode& grid = show_.TypeOf("grid");
  EXPECT_EQ(grid.count, 2u);
  EXPECT_EQ(show_.unit.types[grid.target].count, 3u);
  EXPECT_EQ(show_.unit.types[show_.unit.types[grid.target].target].kind, TypeKind::kSigned);
}

TEST_P(VariableTypes, EnumeratorsAreExtendedByTheirType) {
  const TypeNode& tier = show_.TypeOf("tier");
  EXPECT_EQ(tier.flags & (kFlagScopedEnum | kFlagUnsigned), kFlagScopedEnum | kFlagUnsigned);
  ASSERT_EQ(tier.member_count, 2u);
  EXPECT_EQ(show_.unit.enumerators[tier.first_member + 1].value, 200);
  const TypeNode& level = show_.TypeOf("level");
  EXPECT_EQ(level.flags & (kFlagScopedEnum | kFlagUnsigned), 0);
  EXPECT_EQ(show_.unit.enumerators[level.first_member].value, -5);
}

TEST_P(VariableTypes, BitFieldsCountFromTheLeastSignificantBit) {
  const TypeNode& bits = show_.TypeOf("bits");
  const auto position = [&](const char* name) {
    const Member* member = show_.MemberNamed(bits, name);
    EXPECT_NE(member, nullptr) << name;
    return member == nullptr ? -1 : static_cast<int>(member->offset_bytes * 8 + member->bit_offset);
  };
  EXPECT_EQ(position("first"), 0);
  EXPECT_EQ(position("second"), 3);
  EXPECT_EQ(position("third"), 10);
  EXPECT_EQ(position("fourth"), 50);
  const Member* third = show_.MemberNamed(bits, "third");
  ASSERT_NE(third, nullptr);
  EXPECT_EQ(third->bit_size, 40);
}

TEST_P(VariableTypes, BasesAndAnonymousMembersAreMarked) {
  const TypeNode& square = show_.unit.types[show_.ViewOf("squares").element];
  const Member* base = show_.MemberNamed(square, "shop::Shape");
  ASSERT_NE(base, nullptr);
  EXPECT_EQ(base->flags, kMemberBase);
  const Member* anonymous = show_.MemberNamed(square, "");
  ASSERT_NE(anonymous, nullptr);
  EXPECT_NE(anonymous->flags & kMemberAnonymous, 0);
  const TypeNode& shape = show_.unit.types[base->type];
  const Member& table = show_.unit.members[shape.first_member];
  EXPECT_NE(table.flags & kMemberArtificial, 0);
  const Member* virtual_base = show_.MemberNamed(show_.TypeOf("named"), "shop::Shape");
  ASSERT_NE(virtual_base, nullptr);
  EXPECT_NE(virtual_base->flags & kMemberVirtualBase, 0);
}

TEST_P(VariableTypes, TypesDefinedElsewhereAreFound) {
  const TypeNode& hidden = show_.unit.types[show_.TypeOf("hidden").target];
  EXPECT_EQ(hidden.kind, TypeKind::kStruct);
  EXPECT_EQ(hidden.size_bytes, 16u);
  EXPECT_NE(show_.MemberNamed(hidden, "treasure"), nullptr);
}

TEST_P(VariableTypes, ViewsLeadToTheElements) {
  const std::pair<const char*, ViewKind> kinds[] = {
      {"squares", ViewKind::kSequence}, {"by_number", ViewKind::kTree},
      {"exact", ViewKind::kTree},       {"counts", ViewKind::kHash},
      {"levels", ViewKind::kHash},      {"sequence", ViewKind::kHash},
      {"maybe", ViewKind::kOptional},   {"either", ViewKind::kVariant},
      {"owner", ViewKind::kUniquePtr},  {"shared", ViewKind::kSharedPtr},
      {"weak", ViewKind::kWeakPtr},     {"three", ViewKind::kTuple},
      {"two", ViewKind::kPair},         {"fixed", ViewKind::kInlineArray},
      {"none", ViewKind::kInlineArray}, {"text", ViewKind::kStringView},
      {"api_key", ViewKind::kString},   {"flags", ViewKind::kBits},
  };
  for (const auto& [name, kind] : kinds) {
    EXPECT_EQ(static_cast<int>(show_.ViewOf(name).kind), static_cast<int>(kind)) << name;
  }
  EXPECT_EQ(show_.NameOf(show_.ViewOf("owner").element), "shop::Square");
  EXPECT_EQ(show_.NameOf(show_.ViewOf("shared").element), "const shop::Square");
  EXPECT_EQ(show_.ViewOf("either").member_count, 3u);
  EXPECT_EQ(show_.ViewOf("three").member_count, 3u);
  EXPECT_EQ(show_.ViewOf("by_number").key_value, 1);
  EXPECT_EQ(show_.ViewOf("exact").key_value, 0);
}

// libstdc++ puts a value behind its node's header at the value's own alignment.
TEST_P(VariableTypes, NodeValuesAreAligned) {
  EXPECT_EQ(show_.ViewOf("by_number").c, 32u);
  EXPECT_EQ(show_.ViewOf("counts").c, 8u);
  EXPECT_EQ(show_.ViewOf("levels").c, 8u);
  EXPECT_EQ(show_.ViewOf("wide_counts").c, 32u);
  EXPECT_EQ(show_.ViewOf("wides").c, 32u);
  EXPECT_EQ(show_.ViewOf("sequence").c, 16u);
}

TEST_P(VariableTypes, RedactionMarksNamesAndTypes) {
  EXPECT_NE(show_.Local("api_key").flags & kVariableRedacted, 0);
  EXPECT_NE(show_.Local("hidden").flags & kVariableRedacted, 0);
  EXPECT_EQ(show_.Local("title").flags & kVariableRedacted, 0);
  const TypeNode& square = show_.unit.types[show_.ViewOf("squares").element];
  const Member* password = show_.MemberNamed(square, "password");
  ASSERT_NE(password, nullptr);
  EXPECT_NE(password->flags & kMemberRedacted, 0);
}

TEST_P(VariableTypes, ScopeFindsLocalsAndGlobals) {
  const std::unique_ptr<Scope> scope = show_.OpenScope();
  EXPECT_TRUE(scope->Find("squares"));
  ASSERT_TRUE(scope->Find("visits"));
  EXPECT_EQ(scope->Find("visits")->location.kind, LocationKind::kMemory);
  EXPECT_TRUE(scope->Find("shop::visits"));
  EXPECT_TRUE(scope->Find("::shop::visits"));
  EXPECT_TRUE(scope->Find("secret_offset"));
  EXPECT_TRUE(scope->Find("Catalogue::open_count"));
  ASSERT_TRUE(scope->Find("Catalogue::kPages"));
  EXPECT_TRUE(scope->Find("only_elsewhere"));
  EXPECT_FALSE(scope->Find("open_count"));
  EXPECT_FALSE(scope->Find("no_such_name"));
  ASSERT_TRUE(scope->Find("per_thread"));
  EXPECT_EQ(scope->Find("per_thread")->location.kind, LocationKind::kMemory);
  const std::vector<std::string> names = scope->VisibleNames();
  EXPECT_NE(std::find(names.begin(), names.end(), "by_number"), names.end());
}

TEST_P(VariableTypes, ScopeFindsEnumerators) {
  const std::unique_ptr<Scope> scope = show_.OpenScope();
  const auto value = [&](const char* name) {
    const auto found = scope->FindEnumerator(name);
    return found ? found->value : -1000;
  };
  EXPECT_EQ(value("Tier::kGold"), 200);
  EXPECT_EQ(value("shop::Tier::kGold"), 200);
  EXPECT_EQ(value("kGold"), -1000);  // scoped
  EXPECT_EQ(value("kLow"), -5);
  EXPECT_EQ(value("Level::kLow"), -5);
  EXPECT_EQ(value("Catalogue::kBuy"), 2);
  EXPECT_EQ(value("Elsewhere::kThere"), 31);
}

TEST_P(VariableTypes, MembersHideGlobals) {
  Compiled count(GetParam(), "types_other.cc", "count");
  EXPECT_EQ(count.function(), "shop::Catalogue::Count(int)");
  const std::unique_ptr<Scope> scope = count.OpenScope();
  EXPECT_FALSE(scope->Find("visits"));  // this->visits
  EXPECT_TRUE(scope->Find("this"));
  EXPECT_TRUE(scope->Find("open_count"));
  EXPECT_TRUE(scope->Find("kPages"));
  EXPECT_TRUE(scope->Find("shop::visits"));
}

TEST_P(VariableTypes, FunctionsWithoutLinkageNameAreBuiltFromTheirParameters) {
  const Compiled helper(GetParam(), "types_other.cc", "helper");
  EXPECT_EQ(helper.function(), "shop::Helper(int, shop::Hidden const&)");
}

INSTANTIATE_TEST_SUITE_P(Programs, VariableTypes,
                         testing::Values("types_gcc_dwarf4", "types_gcc_dwarf5", "types_gcc_units",
                                         "types_clang_dwarf4", "types_clang_dwarf5"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace stillframe::variables_test
