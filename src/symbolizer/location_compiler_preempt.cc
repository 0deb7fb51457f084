#include <elf.h>
#include <gelf.h>

#include "symbolizer/dwarf_util.h"
#include "symbolizer/location_compiler.h"

namespace stillframe::dwarf {
namespace {

// An executable comes first in the search for symbols, so nothing preempts its own.
bool IsSharedLibrary(Elf* elf) {
  GElf_Ehdr header;
  if (gelf_getehdr(elf, &header) == nullptr || header.e_type != ET_DYN) return false;
  size_t count = 0;
  if (elf_getphdrnum(elf, &count) != 0) return true;
  for (size_t i = 0; i < count; ++i) {
    GElf_Phdr segment;
    if (gelf_getphdr(elf, static_cast<int>(i), &segment) == nullptr) return true;
    if (segment.p_type == PT_INTERP) return false;
  }
  return true;
}

std::optional<uint64_t> StaticAddress(Dwarf_Die variable) {
  Dwarf_Attribute attribute;
  Dwarf_Op* ops = nullptr;
  size_t count = 0;
  if (dwarf_attr_integrate(&variable, DW_AT_location, &attribute) == nullptr) return std::nullopt;
  if (dwarf_getlocation(&attribute, &ops, &count) != 0 || count == 0) return std::nullopt;
  if (ops[0].atom == DW_OP_addr) return ops[0].number;
  Dwarf_Attribute value;
  Dwarf_Addr address = 0;
  if (dwarf_getlocation_attr(&attribute, &ops[0], &value) != 0) return std::nullopt;
  if (dwarf_formaddr(&value, &address) != 0) return std::nullopt;
  return address;
}

// gABI: a global or weak symbol of default visibility takes part in the dynamic search. Version
// scripts have made the others local by link time.
bool IsExported(const GElf_Sym& symbol) {
  const unsigned binding = GELF_ST_BIND(symbol.st_info);
  return GELF_ST_VISIBILITY(symbol.st_other) == STV_DEFAULT && binding != STB_LOCAL;
}

}  // namespace

bool MayBePreempted(Dwarf_Die variable) {
  Elf* elf = dwarf_getelf(dwarf_cu_getdwarf(variable.cu));
  const std::optional<uint64_t> address = StaticAddress(variable);
  if (!address || elf == nullptr || !IsSharedLibrary(elf)) return false;
  bool seen_table = false;
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr;
       section = elf_nextscn(elf, section)) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_entsize == 0) continue;
    if (header.sh_type != SHT_SYMTAB && header.sh_type != SHT_DYNSYM) continue;
    Elf_Data* data = elf_getdata(section, nullptr);
    if (data == nullptr || data->d_size == 0) continue;
    seen_table = true;
    for (size_t i = 0; i < header.sh_size / header.sh_entsize; ++i) {
      GElf_Sym symbol;
      if (gelf_getsym(data, static_cast<int>(i), &symbol) == nullptr) break;
      if (symbol.st_value == *address && symbol.st_shndx != SHN_UNDEF && IsExported(symbol)) {
        return true;
      }
    }
  }
  return !seen_table;  // nothing to prove it with: not to be trusted
}

}  // namespace stillframe::dwarf
