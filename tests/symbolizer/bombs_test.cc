// Debug information made to cost time and memory (tests/fuzz/seeds/bombs.py): what is said of it,
// or that it is read like any other. That all of it is read within limits is what fuzz.bombs tests.
#include <string>

#include "gtest/gtest.h"
#include "plan/verifier.h"
#include "symbolizer/symbolizer.h"

namespace stillframe {
namespace {

struct Bomb {
  const char* name;
  const char* reason;  // part of the status; "" when plans can be made
};

std::ostream& operator<<(std::ostream& out, const Bomb& bomb) { return out << bomb.name; }

class Bombs : public testing::TestWithParam<Bomb> {};

TEST_P(Bombs, AreRefusedWithAReasonOrRead) {
  const auto symbolizer = Symbolizer::Create({});
  const std::string path = std::string(STILLFRAME_BOMBS) + "/" + GetParam().name;
  const auto module = symbolizer->OpenModule(path, "");
  ASSERT_TRUE(module.ok()) << module.status().ToString();
  PlanRequest request;
  request.function = "Checkout";
  const auto plan = (*module)->Compile(request);
  const std::string reason = GetParam().reason;
  if (reason.empty()) {
    ASSERT_TRUE(plan.ok()) << plan.status().ToString();
    EXPECT_TRUE(VerifyPlan(*plan).ok());
    EXPECT_FALSE(plan->unit.variables.empty());
    return;
  }
  ASSERT_FALSE(plan.ok());
  EXPECT_NE(plan.status().ToString().find(reason), std::string::npos) << plan.status().ToString();
  // The answer is the same at the next question, and others do not wait for it.
  EXPECT_EQ((*module)->Compile(request).status().ToString(), plan.status().ToString());
  EXPECT_FALSE((*module)->Symbolize(LinkAddress(0x1000)).empty());
}

constexpr const char* kDeep = "of the debug information nests its entries too deep";
constexpr const char* kRanges = "of the debug information has too many ranges of addresses";
constexpr const char* kAttributes = "an entry of .debug_abbrev has more than 1024 attributes";
INSTANTIATE_TEST_SUITE_P(
    Refused, Bombs,
    testing::Values(Bomb{"abbrev_attributes", kAttributes}, Bomb{"unit_attributes", kAttributes},
                    Bomb{"deep_blocks", kDeep}, Bomb{"deep_functions", kDeep},
                    Bomb{"deep_namespaces", kDeep}, Bomb{"deep_structs", kDeep},
                    Bomb{"deep_variables", kDeep}, Bomb{"deep_scopes", kDeep},
                    Bomb{"deep_inlined", kDeep},
                    Bomb{"siblings_into_children", "has an entry whose sibling is inside it"},
                    Bomb{"ranges", kRanges}, Bomb{"inlined_ranges", kRanges},
                    Bomb{"zlib_bomb", ".debug_info claims an absurd size"},
                    Bomb{"zstd_bomb", ".debug_info claims an absurd size"},
                    Bomb{"zlib_bomb_line", ".debug_line claims an absurd size"},
                    Bomb{"same_bytes_often", "its sections claim more than it can hold"},
                    Bomb{"specification_cycle", "no function 'Checkout'"},
                    Bomb{"origin_cycle", "no function 'Checkout'"}));
INSTANTIATE_TEST_SUITE_P(
    Read, Bombs,
    testing::Values(Bomb{"sound", ""}, Bomb{"section_names", ""}, Bomb{"long_expressions", ""},
                    Bomb{"many_pieces", ""}, Bomb{"expression_loops", ""}, Bomb{"locations", ""},
                    Bomb{"variables", ""}, Bomb{"import_tree", ""}, Bomb{"import_cycle", ""},
                    Bomb{"holds_itself", ""}, Bomb{"array_of_itself", ""},
                    Bomb{"typedef_of_itself", ""}, Bomb{"pointer_to_itself", ""},
                    Bomb{"typedef_chain", ""}, Bomb{"members_double", ""}, Bomb{"bases_double", ""},
                    Bomb{"members", ""}, Bomb{"array_2_63", ""}, Bomb{"array_2_64", ""},
                    Bomb{"line_rows", ""}, Bomb{"cfi_remember", ""}, Bomb{"cfi_rows", ""}));

}  // namespace
}  // namespace stillframe
