// Whole ELF files: units, scopes, variables, locations, types, symbols, unwind tables, and the
// plans that are made of them, as the agent asks for them.
#include "symbolizer/symbolizer.h"
#include "tests/fuzz/elf_mutator.h"
#include "tests/fuzz/exercise.h"
#include "tests/fuzz/memory_file.h"

namespace stillframe {

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fuzz::MemoryFile file({data, size});
  SymbolizerOptions options;
  options.max_sites = 64;
  const auto symbolizer = Symbolizer::Create(options);
  const auto module = symbolizer->OpenModule(file.path(), "");
  if (module.ok()) fuzz::Exercise(**module);
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  return fuzz::MutateElf(data, size, max_size, seed);
}

}  // namespace stillframe
