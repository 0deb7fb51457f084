// Names for the slots of the procedure linkage table, which no symbol table lists.
#ifndef STILLFRAME_SYMBOLIZER_PLT_SYMBOLS_H_
#define STILLFRAME_SYMBOLIZER_PLT_SYMBOLS_H_

#include <string>
#include <vector>

#include "base/address.h"
#include "symbolizer/elf_file.h"

namespace stillframe {

struct PltSymbol {
  LinkAddress start;
  uint64_t size_bytes = 0;
  std::string name;  // of the import, mangled
};

// Slots of .plt, .plt.sec and .plt.got whose indirect jump goes through a relocated GOT entry. Best
// effort: what is not understood is left out.
std::vector<PltSymbol> ReadPltSymbols(const ElfFile& module);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_PLT_SYMBOLS_H_
