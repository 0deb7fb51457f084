// Where a module's code finds data that another module may define: the answers of the dynamic
// loader itself (gABI, "Dynamic Linking"; psABI §4.4.1).
//
// Not by a search of our own through the symbol tables of all modules: order of load, scopes of
// dlopen, versions and copy relocations decide, and the loader has decided before the module's code
// runs. Its answer stands in the module's own memory, is the one that the code uses, and moves with
// the module; what it leads to cannot be unloaded before it.
#ifndef STILLFRAME_SYMBOLIZER_DATA_IMPORTS_H_
#define STILLFRAME_SYMBOLIZER_DATA_IMPORTS_H_

#include <elf.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "symbolizer/elf_file.h"

namespace stillframe {

class DataImports {
 public:
  // Reads nothing yet. `module` is what runs, and must outlive this.
  explicit DataImports(const ElfFile& module) : module_(module) {}

  enum class PlaceKind : uint8_t {
    kPointer,       // a word of the global offset table, which holds the object's address
    kObject,        // R_X86_64_COPY: the executable's copy is the one that everybody uses
    kThreadOffset,  // thread-local: a word that holds its distance from the thread pointer
    kThreadIndex,   // thread-local: two words, the number of its module and the offset in the block
  };
  struct Place {
    LinkAddress address;
    PlaceKind kind = PlaceKind::kPointer;
  };
  // By the symbol's name as in the symbol table. nullopt when the module's code does not ask the
  // loader for it, or asks for several versions.
  std::optional<Place> Find(std::string_view symbol);
  // The names under which the module itself exports data at that address; of thread-local data, at
  // that offset in its block.
  std::vector<std::string> ExportedAt(LinkAddress address);
  std::vector<std::string> ThreadLocalsAt(uint64_t offset);
  // Whether what the module defines at that place may not be what its code uses, because a module
  // that comes before it in the search for symbols defines it as well. Never so in a program, which
  // comes first, and in what was linked with -Bsymbolic. Also true when the file does not tell.
  bool MayBePreempted(uint64_t address_or_offset, bool is_thread_local);
  // The offset into the module's thread-local block that split debug information means by a number
  // in .debug_addr: GCC leaves the address of the variable's initial value there (a relocation of
  // the wrong kind), Clang the offset. nullopt when the number is neither, or might be both.
  std::optional<uint64_t> ThreadLocalOffset(uint64_t number);

 private:
  struct Import {
    Place place;
    uint64_t symbol_index;
    bool is_ambiguous = false;
  };
  void Read();
  void AddRelocations(const ElfSection& section);
  void Add(const Elf64_Rela& relocation, const Elf64_Sym& symbol, std::string_view name,
           PlaceKind kind);
  void ReadFlags();
  void ReadSegments(const Elf64_Ehdr& header);
  void ReadExported();

  const ElfFile& module_;
  bool read_ = false;
  bool is_program_ = false;
  bool has_interpreter_ = false;
  uint64_t thread_locals_start_ = 0, thread_locals_bytes_ = 0;  // PT_TLS
  bool binds_locally_ = false;
  bool has_symbols_ = false;
  std::vector<uint64_t> exported_, exported_thread_locals_;  // sorted
  std::map<std::string, Import, std::less<>> imports_;
  using Exports = std::multimap<uint64_t, std::string>;
  static std::vector<std::string> NamesAt(const Exports& exports, uint64_t value);
  Exports exports_, thread_locals_;  // only those that are imported, too
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_DATA_IMPORTS_H_
