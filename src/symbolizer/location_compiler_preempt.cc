#include <elf.h>
#include <gelf.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "symbolizer/data_imports.h"
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

// What a symbol's value would be: an address, or an offset into the module's thread-local block.
struct StaticPlace {
  uint64_t value;
  bool is_thread_local;
};

// Of an operation that pushes a number which the file gives.
std::optional<uint64_t> ConstantOf(Dwarf_Attribute& attribute, const Dwarf_Op& op) {
  if (op.atom == DW_OP_addr || (op.atom >= DW_OP_const1u && op.atom <= DW_OP_consts)) {
    return op.number;
  }
  Dwarf_Attribute value;
  Dwarf_Addr address = 0;
  if (dwarf_getlocation_attr(&attribute, &op, &value) != 0) return std::nullopt;
  if (dwarf_formaddr(&value, &address) != 0) return std::nullopt;
  return address;
}

std::optional<StaticPlace> PlaceOf(Dwarf_Die variable) {
  Dwarf_Attribute attribute;
  Dwarf_Op* ops = nullptr;
  size_t count = 0;
  if (dwarf_attr_integrate(&variable, DW_AT_location, &attribute) == nullptr) return std::nullopt;
  if (dwarf_getlocation(&attribute, &ops, &count) != 0 || count == 0) return std::nullopt;
  const std::optional<uint64_t> value = ConstantOf(attribute, ops[0]);
  if (!value) return std::nullopt;
  const bool is_thread_local = count == 2 && (ops[1].atom == DW_OP_form_tls_address ||
                                              ops[1].atom == DW_OP_GNU_push_tls_address);
  const bool is_address = ops[0].atom == DW_OP_addr || ops[0].atom == DW_OP_addrx ||
                          ops[0].atom == DW_OP_GNU_addr_index;
  if (!is_thread_local && !is_address) return std::nullopt;
  return StaticPlace{*value, is_thread_local};
}

// gABI: a global or weak symbol of default visibility takes part in the dynamic search. Version
// scripts have made the others local by link time.
bool IsExported(const GElf_Sym& symbol) {
  const unsigned binding = GELF_ST_BIND(symbol.st_info);
  return GELF_ST_VISIBILITY(symbol.st_other) == STV_DEFAULT && binding != STB_LOCAL;
}

bool IsDeclared(const Dwarf_Die& variable) {
  return Flag(variable, DW_AT_declaration, false) && Flag(variable, DW_AT_external);
}

// How the module's code comes to the object.
std::vector<Insn> CodeOf(const DataImports::Place& place) {
  const Insn first = MakeInsn(Op::kModuleAddress, static_cast<int64_t>(place.address.value));
  const Insn load = MakeInsn(Op::kLoad, 0, 8);
  switch (place.kind) {
    case DataImports::PlaceKind::kObject:
      return {first, MakeInsn(Op::kReturn)};
    case DataImports::PlaceKind::kPointer:
      return {first, load, MakeInsn(Op::kReturn)};
    case DataImports::PlaceKind::kThreadOffset:
      return {first, load, MakeInsn(Op::kThreadOffset), MakeInsn(Op::kReturn)};
    case DataImports::PlaceKind::kThreadIndex:
      break;
  }
  const Insn second = MakeInsn(Op::kModuleAddress, static_cast<int64_t>(place.address.value + 8));
  return {first,
          load,
          MakeInsn(Op::kThreadBlock),
          second,
          load,
          MakeInsn(Op::kAdd),
          MakeInsn(Op::kReturn)};
}

// The object's address as the loader gave it to the module; nullopt when the module's code does not
// ask for it.
std::optional<Program> LoadedAddress(Dwarf_Die variable, DataImports& imports, PlanTables& tables) {
  const Dwarf_Die origin = Origin(variable);
  const std::string linkage(LinkageName(origin));
  const std::string own = linkage.empty() ? std::string(Name(origin)) : linkage;
  std::vector<std::string> names{own};
  if (!IsDeclared(variable)) {
    const std::optional<StaticPlace> own_place = PlaceOf(variable);
    if (!own_place) return std::nullopt;
    names = own_place->is_thread_local ? imports.ThreadLocalsAt(own_place->value)
                                       : imports.ExportedAt(LinkAddress(own_place->value));
    const bool is_named = std::find(names.begin(), names.end(), own) != names.end();
    // A function's static variable has a symbol, but no linkage name.
    if (is_named || !linkage.empty()) names = {own};
  }
  std::optional<DataImports::Place> place;
  for (const std::string& name : names) {
    const auto found = imports.Find(name);
    if (!found) continue;
    if (place) return std::nullopt;  // two names for one object here may be two objects elsewhere
    place = found;
  }
  if (!place) return std::nullopt;
  return tables.AddProgram(CodeOf(*place));
}

}  // namespace

bool MayBePreempted(Dwarf_Die variable) {
  Elf* elf = dwarf_getelf(dwarf_cu_getdwarf(variable.cu));
  const std::optional<StaticPlace> place = PlaceOf(variable);
  if (!place || elf == nullptr || !IsSharedLibrary(elf)) return false;
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
      const bool is_thread_local = GELF_ST_TYPE(symbol.st_info) == STT_TLS;
      if (symbol.st_value == place->value && is_thread_local == place->is_thread_local &&
          symbol.st_shndx != SHN_UNDEF && IsExported(symbol)) {
        return true;
      }
    }
  }
  return !seen_table;  // nothing to prove it with: not to be trusted
}

void FollowLoader(const Dwarf_Die& variable, DataImports* imports, PlanTables& tables,
                  Location& location) {
  const bool is_missing = location.kind == LocationKind::kUnavailable && IsDeclared(variable);
  const bool may_be_preempted = location.kind == LocationKind::kMemory && MayBePreempted(variable);
  if (!is_missing && !may_be_preempted) return;
  if (may_be_preempted && imports != nullptr && imports->binds_locally()) return;
  const auto address =
      imports == nullptr ? std::nullopt : LoadedAddress(variable, *imports, tables);
  location = Location{};
  location.reason = Code::kUnsupportedLocation;
  if (!address) return;
  location.kind = LocationKind::kMemory;
  location.reason = Code::kOk;
  location.program = *address;
}

}  // namespace stillframe::dwarf
