// Where the loader has put the data that this very program imports.
#include "symbolizer/data_imports.h"

#include <gtest/gtest.h>
#include <link.h>

#include <iostream>

namespace stillframe {
namespace {

uint64_t LoadBiasOfProgram() {
  uint64_t bias = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        *static_cast<uint64_t*>(out) = info->dlpi_addr;
        return 1;  // the program comes first
      },
      &bias);
  return bias;
}

TEST(DataImports, LeadToWhatTheProgramUses) {
  const auto program = ElfFile::Open("/proc/self/exe");
  ASSERT_TRUE(program.ok());
  DataImports imports(**program);
  const struct {
    const char* symbol;
    const void* object;
  } kObjects[] = {{"_ZSt4cout", &std::cout}, {"_ZSt4cerr", &std::cerr}, {"stdout", &stdout}};
  int found = 0;
  for (const auto& [symbol, object] : kObjects) {
    const auto place = imports.Find(symbol);
    if (!place) continue;
    ++found;
    const uint64_t at = LoadBiasOfProgram() + place->address.value;
    const uint64_t address = place->is_indirect ? *reinterpret_cast<const uint64_t*>(at) : at;
    EXPECT_EQ(address, reinterpret_cast<uint64_t>(object)) << symbol;
  }
  EXPECT_GT(found, 0);
  EXPECT_FALSE(imports.Find("nobody_has_this").has_value());
  EXPECT_FALSE(imports.Find("").has_value());
  EXPECT_FALSE(imports.binds_locally());
}

}  // namespace
}  // namespace stillframe
