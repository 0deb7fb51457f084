// The ELF reader: headers, notes, symbols, the procedure linkage table, .gnu_debuglink, classes.
#include "symbolizer/class_index.h"
#include "symbolizer/debug_file.h"
#include "symbolizer/elf_file.h"
#include "symbolizer/source_names.h"
#include "symbolizer/symbol_table.h"
#include "tests/fuzz/elf_mutator.h"
#include "tests/fuzz/memory_file.h"

namespace stillframe {

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fuzz::MemoryFile file({data, size});
  const auto opened = ElfFile::Open(file.path());
  if (!opened.ok()) return 0;
  const ElfFile& elf = **opened;
  for (const ElfSection& section : elf.sections()) {
    const auto bytes = elf.ReadSection(section);
    SF_FUZZ_CHECK(!bytes.ok() || bytes->size() <= size);
  }
  (void)FindDebugFile(elf, "/nowhere/module.so", {});
  const SymbolTable symbols = SymbolTable::Read(elf, &elf);
  for (const CodeRange& range : elf.code_ranges()) {
    (void)symbols.Find(range.start);
    (void)symbols.PltName(range.start);
    SF_FUZZ_CHECK(range.start >= range.end || elf.IsCode(range.start));
  }
  ClassIndex classes(elf, elf);
  (void)classes.Family("shop::Cart", 64);
  (void)classes.AnyManagers();
  (void)SourceNames::Read(elf);
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  return fuzz::MutateElf(data, size, max_size, seed);
}

}  // namespace stillframe
