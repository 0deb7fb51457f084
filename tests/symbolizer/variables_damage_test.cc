// Damaged debug information must end in a reason or in a plan that the verifier passes.
#include <fcntl.h>
#include <gelf.h>

#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "gtest/gtest.h"
#include "plan/verifier.h"
#include "symbolizer/frame_compiler.h"
#include "tests/symbolizer/variables_support.h"

namespace stillframe::variables_test {
namespace {

struct Range {
  size_t offset;
  size_t size;
};

std::vector<Range> DebugSections(std::string& file) {
  std::vector<Range> out;
  Elf* elf = elf_memory(file.data(), file.size());
  size_t names = 0;
  elf_getshdrstrndx(elf, &names);
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr;
       section = elf_nextscn(elf, section)) {
    GElf_Shdr header;
    gelf_getshdr(section, &header);
    const char* name = elf_strptr(elf, names, header.sh_name);
    if (name != nullptr && std::string(name).starts_with(".debug_") && header.sh_size > 0) {
      out.push_back({header.sh_offset, header.sh_size});
    }
  }
  elf_end(elf);
  return out;
}

// Number of frames that could be compiled.
size_t CompileAll(std::string& file, const std::vector<uint64_t>& pcs) {
  size_t frames = 0;
  Elf* elf = elf_memory(file.data(), file.size());
  Dwarf* dwarf = dwarf_begin_elf(elf, DWARF_C_READ, nullptr);
  Dwarf_CU* unit = nullptr;
  Dwarf_Die die;
  uint8_t type = 0;
  while (dwarf != nullptr && frames < 64 &&
         dwarf_get_units(dwarf, unit, &unit, nullptr, &type, &die, nullptr) == 0) {
    PlanUnit plan;
    const auto compiler = FrameCompiler::Create(dwarf, nullptr, plan);
    for (const uint64_t pc : pcs) {
      if (dwarf_haspc(&die, pc) != 1) continue;
      const bool ok = compiler->AddFrame(&die, LinkAddress(pc), LinkAddress(pc), true).ok();
      frames += ok ? 1 : 0;
      InlineChain(&die, LinkAddress(pc));
      compiler->OpenScope(&die, LinkAddress(pc))->Find("visits");
    }
    const Status status = VerifyUnit(plan);
    EXPECT_TRUE(status.ok()) << status.ToString();
  }
  dwarf_end(dwarf);
  elf_end(elf);
  return frames;
}

TEST(VariablesOfDamagedFiles, YieldReasonsOrSoundPlans) {
  elf_version(EV_CURRENT);
  size_t frames = 0;
  for (const char* program :
       {"types_gcc_dwarf5", "values_gcc_O2_dwarf4", "values_clang_O2_dwarf5"}) {
    const std::string path = TargetPath(program);
    const bool types = std::string(program).starts_with("types");
    const std::vector<uint64_t> pcs =
        DwarfFileHandle(path).Statements(types ? "types.cc" : "values.cc", 6);
    std::ifstream in(path, std::ios::binary);
    std::string original((std::istreambuf_iterator<char>(in)), {});
    const std::vector<Range> sections = DebugSections(original);
    ASSERT_FALSE(sections.empty());
    std::mt19937 random(4711);
    for (int round = 0; round < 60; ++round) {
      std::string damaged = original;
      for (int i = 0; i < 1 + round % 20; ++i) {
        const Range& range = sections[random() % sections.size()];
        damaged[range.offset + random() % range.size] = static_cast<char>(random());
      }
      frames += CompileAll(damaged, pcs);
    }
  }
  EXPECT_GT(frames, 100u);  // most damage leaves most frames readable
}

}  // namespace
}  // namespace stillframe::variables_test
