// Where the loader has put the data that this very program imports.
#include "symbolizer/data_imports.h"

#include <gtest/gtest.h>
#include <link.h>

#include <iostream>
#include <mutex>

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
    const bool is_pointer = place->kind == DataImports::PlaceKind::kPointer;
    const uint64_t address = is_pointer ? *reinterpret_cast<const uint64_t*>(at) : at;
    EXPECT_EQ(address, reinterpret_cast<uint64_t>(object)) << symbol;
  }
  EXPECT_GT(found, 0);
  EXPECT_FALSE(imports.Find("nobody_has_this").has_value());
  EXPECT_FALSE(imports.Find("").has_value());
}

TEST(DataImports, LeadToThreadLocalsOfOtherLibraries) {
  const auto program = ElfFile::Open("/proc/self/exe");
  ASSERT_TRUE(program.ok());
  DataImports imports(**program);
  // std::call_once passes what it calls through a thread-local variable of libstdc++.
  const auto place = imports.Find("_ZSt15__once_callable");
  ASSERT_TRUE(place.has_value());
  ASSERT_EQ(place->kind,
            DataImports::PlaceKind::kThreadOffset);  // the program's own linker's choice
  const auto* const word =
      reinterpret_cast<const uint64_t*>(LoadBiasOfProgram() + place->address.value);
  const auto pointer = reinterpret_cast<uint64_t>(__builtin_thread_pointer());
  EXPECT_EQ(pointer + *word, reinterpret_cast<uint64_t>(&std::__once_callable));
  std::once_flag once;
  std::call_once(once, [] {});
}

}  // namespace
}  // namespace stillframe
