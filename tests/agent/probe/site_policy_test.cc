#include "agent/probe/site_policy.h"

#include <gtest/gtest.h>

namespace stillframe::probe {
namespace {

// A program whose text holds the agent's at [0x3000, 0x4000), and a library.
std::vector<Mapping> Maps() {
  Mapping program;
  program.start = RuntimeAddress(0x1000);
  program.end = RuntimeAddress(0x8000);
  program.readable = program.executable = program.is_private = true;
  program.inode = 1;
  program.path = "/usr/bin/program";
  Mapping library = program;
  library.start = RuntimeAddress(0x10000);
  library.end = RuntimeAddress(0x18000);
  library.inode = 2;
  library.path = "/usr/lib/library.so";
  return {program, library};
}

Code Ask(const PolicyFacts& facts, uint64_t site) {
  const ModuleText module{"/usr/bin/program", RuntimeAddress(0x1000), RuntimeAddress(0x18000)};
  const auto allowed = CheckSiteAllowed(Maps(), facts, RuntimeAddress(site), module);
  return allowed.ok() ? Code::kOk : allowed.status().code();
}

TEST(SitePolicy, AgentLibraryIsNeverProbed) {
  const PolicyFacts facts{.agent_code = 0x11000, .program_entry = 0x1500};
  EXPECT_EQ(Ask(facts, 0x10000), Code::kUnsafeSite);
  EXPECT_EQ(Ask(facts, 0x17fff), Code::kUnsafeSite);
  EXPECT_EQ(Ask(facts, 0x3000), Code::kOk);
}

TEST(SitePolicy, AgentLinkedInIsTheOnlyPartOfTheProgramThatIsRefused) {
  const PolicyFacts facts{.agent_code = 0x3100,
                          .program_entry = 0x1500,
                          .linked_text_start = 0x3000,
                          .linked_text_end = 0x4000};
  EXPECT_EQ(Ask(facts, 0x2fff), Code::kOk);
  EXPECT_EQ(Ask(facts, 0x3000), Code::kUnsafeSite);
  EXPECT_EQ(Ask(facts, 0x3fff), Code::kUnsafeSite);
  EXPECT_EQ(Ask(facts, 0x4000), Code::kOk);
}

// A library of the host may have the agent linked in just as well.
TEST(SitePolicy, AgentLinkedIntoALibraryLeavesTheRestOfItOpen) {
  const PolicyFacts facts{.agent_code = 0x11000,
                          .program_entry = 0x1500,
                          .linked_text_start = 0x11000,
                          .linked_text_end = 0x12000};
  EXPECT_EQ(Ask(facts, 0x11800), Code::kUnsafeSite);
  EXPECT_EQ(Ask(facts, 0x12000), Code::kOk);
}

}  // namespace
}  // namespace stillframe::probe
