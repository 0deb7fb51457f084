#include "symbolizer/return_sites.h"

#include <elf.h>

#include <map>
#include <string_view>

#include "symbolizer/dwarf_util.h"
#include "symbolizer/inline_chain_lines.h"
#include "symbolizer/symbol_table.h"

namespace stillframe {
namespace {

// What a function's symbols tell of what the compiler may have done to its result.
struct Linkage {
  bool is_global = false;
  bool is_remade = false;  // it has parts of the function, or another result
};

// GCC makes functions over under names with a suffix: "f.isra.0" may have lost its result,
// "f.part.0" is a piece; so do coroutines. Copies for constants, and names that link-time
// optimization made unique, return what the function returns.
bool IsRemade(std::string_view name) {
  const size_t dot = name.find('.', 1);
  if (dot == std::string_view::npos) return false;
  const std::string_view suffix = name.substr(dot);
  for (const std::string_view harmless : {".constprop.", ".llvm.", ".lto_priv."}) {
    if (suffix.starts_with(harmless) &&
        suffix.find_first_not_of("0123456789", harmless.size()) == std::string_view::npos) {
      return false;
    }
  }
  return true;
}

std::map<uint64_t, Linkage> ReadLinkage(const ElfFile& file, std::map<uint64_t, Linkage> wanted) {
  for (const ElfSection& section : file.sections()) {
    if (section.type != SHT_SYMTAB && section.type != SHT_DYNSYM) continue;
    ForEachElfSymbol(file, section, [&](const Elf64_Sym& symbol, std::string_view name) {
      const auto found = wanted.find(symbol.st_value);
      if (found == wanted.end() || ELF64_ST_TYPE(symbol.st_info) != STT_FUNC) return;
      if (ELF64_ST_BIND(symbol.st_info) != STB_LOCAL) found->second.is_global = true;
      if (IsRemade(name)) found->second.is_remade = true;
    });
  }
  return wanted;
}

bool IsGnu(const Dwarf_Die& unit) {
  Dwarf_Die copy = unit;
  Dwarf_Attribute attribute;
  if (dwarf_attr(&copy, DW_AT_producer, &attribute) == nullptr) return false;
  const char* const text = dwarf_formstring(&attribute);
  return text != nullptr && std::string_view(text).starts_with("GNU ");
}

Returning WhatReturns(const ReturnSite& place, const LineSite& site, const Dwarf_Die& function,
                      const Linkage& linkage) {
  Returning out;
  out.frame_is_intact = place.frame_is_intact;
  out.sets_integer = place.sets_integer;
  out.sets_float = place.sets_float;
  // Clang takes results away that nobody in the unit wants, and constant ones, under the old name;
  // only where it sees every call.
  out.needs_proof = !linkage.is_global && !IsGnu(*site.unit);
  const uint64_t convention =
      dwarf::Unsigned(function, DW_AT_calling_convention).value_or(uint64_t{DW_CC_normal});
  if (place.is_tail_call) {
    out.absent = Code::kTailCall;
  } else if (linkage.is_remade || (convention != DW_CC_normal && convention != DW_CC_program)) {
    out.absent = Code::kOptimizedOut;
  }
  return out;
}

}  // namespace

Result<std::vector<LineSite>> FindReturnSites(ModuleDebug& debug, const ElfFile& symbols,
                                              const std::vector<ReturnSite>& returns) {
  std::vector<LineSite> sites;
  std::vector<const FunctionEntry*> functions;
  std::map<uint64_t, Linkage> linkage;
  for (const ReturnSite& place : returns) {
    LineSite site;
    site.address = place.address;
    site.unit = debug.units.FindByAddress(place.address);
    const FunctionEntry* const function =
        site.unit == nullptr ? nullptr : debug.units.FindFunction(site.unit, place.address);
    if (function == nullptr) {
      return Status(Code::kNotFound, "no debug information covers an address");
    }
    site.function = function->die.addr;
    const dwarf::SourceLine line = dwarf::LineAt(*site.unit, place.address);
    site.file = line.file;
    site.line = line.line;
    linkage.try_emplace(function->entry.value);
    functions.push_back(function);
    sites.push_back(std::move(site));
  }
  linkage = ReadLinkage(symbols, std::move(linkage));
  for (size_t i = 0; i < sites.size(); ++i) {
    const FunctionEntry& function = *functions[i];
    sites[i].returning =
        WhatReturns(returns[i], sites[i], function.die, linkage[function.entry.value]);
  }
  return sites;
}

}  // namespace stillframe
