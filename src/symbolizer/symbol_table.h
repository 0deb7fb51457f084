// Names of functions and data: .symtab, .dynsym, .gnu_debugdata and the slots of the procedure
// linkage table.
#ifndef STILLFRAME_SYMBOLIZER_SYMBOL_TABLE_H_
#define STILLFRAME_SYMBOLIZER_SYMBOL_TABLE_H_

#include <elf.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "symbolizer/elf_file.h"

namespace stillframe {

// Calls visit(symbol, name) for each entry of a symbol table, its name without the version that
// linkers write behind it. A table that cannot be read has none.
void ForEachElfSymbol(
    const ElfFile& file, const ElfSection& table,
    const std::function<void(const Elf64_Sym& symbol, std::string_view name)>& visit);

struct SymbolMatch {
  std::string name;     // demangled
  uint64_t offset = 0;  // of the address from the symbol's start, in bytes
};

class SymbolTable {
 public:
  // Reads the tables of `module` and, when not nullptr, of its separate debug file. Broken tables
  // are left out: symbols are the last resort and never an error.
  static SymbolTable Read(const ElfFile& module, const ElfFile* separate);

  // The symbol that covers the address. One without a size (hand-written assembly) covers up to the
  // next symbol of its section.
  std::optional<SymbolMatch> Find(LinkAddress address) const;
  // Functions with a body here, by address. Demangling all of them takes about a microsecond each.
  void ForEachFunction(
      const std::function<void(LinkAddress, const std::string& demangled)>& visit) const;
  // The function of that (mangled) name; nullopt when none has it. Looks at all of them.
  std::optional<LinkAddress> FindByName(std::string_view name) const;
  // The same for data.
  std::optional<LinkAddress> FindObject(std::string_view name) const;
  void ForEachObject(std::string_view prefix,
                     const std::function<void(const std::string& name)>& visit) const;
  // Of the slot of the procedure linkage table that covers the address; "" when none does.
  std::string_view PltName(LinkAddress address) const;
  size_t size() const { return symbols_.size(); }

 private:
  struct Symbol {
    uint64_t address;
    uint64_t end;   // exclusive; == address while the size is unknown
    uint64_t name;  // offset in names_
    uint8_t rank;   // of several symbols at one address the lowest is shown
    bool is_function;
    bool is_folded;  // others of its kind stand at the same address: see MarkFolded
  };
  void AddTable(const ElfFile& file, const ElfSection& table, const ElfFile& module);
  void AddPlt(const ElfFile& module);
  void Finish(const ElfFile& module);
  void MarkFolded();

  std::string names_;  // NUL-terminated, one after the other
  std::vector<Symbol> symbols_;
};

// "shop::Checkout(shop::Order const&)" of "_ZN4shop8CheckoutERKNS_5OrderE"; other names unchanged.
std::string Demangle(const std::string& name);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_SYMBOL_TABLE_H_
