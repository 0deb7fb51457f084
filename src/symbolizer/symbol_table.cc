#include "symbolizer/symbol_table.h"

#include <cxxabi.h>
#include <elf.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "symbolizer/byte_reader.h"
#include "symbolizer/mini_debug.h"
#include "symbolizer/plt_symbols.h"

namespace stillframe {
namespace {

// __cxa_demangle's time is not bounded by a small factor of the length for hostile names.
constexpr size_t kMaxMangledBytes = 4096;
constexpr uint8_t kPltRank = 3;

bool IsNamedCodeOrData(const Elf64_Sym& symbol) {
  const int type = ELF64_ST_TYPE(symbol.st_info);
  return symbol.st_shndx != SHN_UNDEF && symbol.st_shndx != SHN_ABS && symbol.st_value != 0 &&
         (type == STT_FUNC || type == STT_OBJECT || type == STT_GNU_IFUNC || type == STT_NOTYPE);
}

uint8_t RankOf(const Elf64_Sym& symbol) {
  const int type = ELF64_ST_TYPE(symbol.st_info);
  const int binding = ELF64_ST_BIND(symbol.st_info);
  const int binding_rank = binding == STB_GLOBAL ? 0 : binding == STB_WEAK ? 1 : 2;
  const int marker_rank = symbol.st_size == 0 ? 8 : 0;  // __bss_start and its like
  return static_cast<uint8_t>(marker_rank + (type == STT_NOTYPE ? 4 : 0) + binding_rank);
}

// The end of the section that holds the address; 0 when none does.
uint64_t SectionEnd(const ElfFile& module, uint64_t address) {
  for (const ElfSection& section : module.sections()) {
    if ((section.flags & SHF_ALLOC) != 0 && (section.flags & SHF_TLS) == 0 &&
        address >= section.address.value && address - section.address.value < section.size_bytes) {
      return section.address.value + section.size_bytes;
    }
  }
  return 0;
}

}  // namespace

std::string Demangle(const std::string& name) {
  if (name.substr(0, 2) != "_Z" || name.size() > kMaxMangledBytes) return name;
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(
      abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), free);
  return status == 0 && text != nullptr ? std::string(text.get()) : name;
}

SymbolTable SymbolTable::Read(const ElfFile& module, const ElfFile* separate) {
  SymbolTable table;
  bool has_full_table = false;
  for (const ElfFile* file : {&module, separate}) {
    if (file == nullptr) continue;
    const ElfSection* section = file->FindSection(".symtab");
    if (section == nullptr || section->type != SHT_SYMTAB) continue;
    table.AddTable(*file, *section, module);
    has_full_table = true;
  }
  // .symtab of a linked file repeats .dynsym.
  const ElfSection* dynamic = module.FindSection(".dynsym");
  if (!has_full_table) {  // of a stripped module, what its packager left beside .dynsym
    const auto mini = OpenMiniDebug(module);
    const ElfSection* const more = mini.ok() ? (*mini)->FindSection(".symtab") : nullptr;
    if (more != nullptr && more->type == SHT_SYMTAB) table.AddTable(**mini, *more, module);
  }
  if (!has_full_table && dynamic != nullptr) table.AddTable(module, *dynamic, module);
  table.AddPlt(module);
  table.Finish(module);
  return table;
}

void ForEachElfSymbol(
    const ElfFile& file, const ElfSection& table,
    const std::function<void(const Elf64_Sym& symbol, std::string_view name)>& visit) {
  if (table.link >= file.sections().size()) return;
  const auto symbols = file.ReadSection(table);
  const auto strings = file.ReadSection(file.sections()[table.link]);
  if (!symbols.ok() || !strings.ok()) return;
  for (size_t at = 0; at + sizeof(Elf64_Sym) <= symbols->size(); at += sizeof(Elf64_Sym)) {
    Elf64_Sym raw;
    memcpy(&raw, symbols->data() + at, sizeof raw);
    const std::string_view versioned = ByteReader(*strings, raw.st_name).CString();
    visit(raw, versioned.substr(0, versioned.find('@')));
  }
}

void SymbolTable::AddTable(const ElfFile& file, const ElfSection& table, const ElfFile& module) {
  ForEachElfSymbol(file, table, [&](const Elf64_Sym& raw, std::string_view name) {
    if (!IsNamedCodeOrData(raw) || name.empty()) return;
    // Sizes past the address space or the section are not believed.
    const uint64_t section_end = raw.st_size == 0 ? 0 : SectionEnd(module, raw.st_value);
    uint64_t end = raw.st_value + raw.st_size;
    if (end < raw.st_value || end > section_end) end = std::max(raw.st_value, section_end);
    symbols_.push_back({raw.st_value, end, names_.size(), RankOf(raw),
                        ELF64_ST_TYPE(raw.st_info) == STT_FUNC, false});
    names_.append(name).push_back('\0');
  });
}

void SymbolTable::AddPlt(const ElfFile& module) {
  for (const PltSymbol& slot : ReadPltSymbols(module)) {
    symbols_.push_back({slot.start.value, slot.start.value + slot.size_bytes, names_.size(),
                        kPltRank, false, false});
    names_.append(slot.name).push_back('\0');
  }
}

// With identical code folding (gold's and lld's --icf) the code that a std::function calls may be
// that of several closures: which one it was made for, its address no longer tells.
void SymbolTable::MarkFolded() {
  const auto tells_type = [this](const Symbol& symbol) {
    const std::string_view name = names_.c_str() + symbol.name;
    return name.find("_Function_handler") != std::string_view::npos ||
           name.find("10__function") != std::string_view::npos;
  };
  for (size_t i = 1; i < symbols_.size(); ++i) {
    Symbol& symbol = symbols_[i];
    Symbol& before = symbols_[i - 1];
    if (symbol.address != before.address || !tells_type(symbol) || !tells_type(before)) continue;
    const bool same = std::string_view(names_.c_str() + symbol.name) ==
                      std::string_view(names_.c_str() + before.name);
    if (!same || before.is_folded) symbol.is_folded = before.is_folded = true;
  }
  // The first of an address is kept.
  for (size_t i = symbols_.size(); i-- > 1;) {
    if (symbols_[i].is_folded && symbols_[i].address == symbols_[i - 1].address) {
      symbols_[i - 1].is_folded = true;
    }
  }
}

void SymbolTable::Finish(const ElfFile& module) {
  std::sort(symbols_.begin(), symbols_.end(), [](const Symbol& a, const Symbol& b) {
    if (a.address != b.address) return a.address < b.address;
    return a.rank != b.rank ? a.rank < b.rank : a.name < b.name;  // else as they stand in the file
  });
  MarkFolded();
  symbols_.erase(
      std::unique(symbols_.begin(), symbols_.end(),
                  [](const Symbol& a, const Symbol& b) { return a.address == b.address; }),
      symbols_.end());
  for (size_t i = 0; i < symbols_.size(); ++i) {
    if (symbols_[i].end != symbols_[i].address) continue;
    const uint64_t section_end = SectionEnd(module, symbols_[i].address);
    const uint64_t next = i + 1 < symbols_.size() ? symbols_[i + 1].address : section_end;
    symbols_[i].end = std::min(next, section_end);
  }
  symbols_.shrink_to_fit();
  names_.shrink_to_fit();
}

void SymbolTable::ForEachFunction(
    const std::function<void(LinkAddress, const std::string& demangled)>& visit) const {
  for (const Symbol& symbol : symbols_) {
    if (!symbol.is_function) continue;
    visit(LinkAddress(symbol.address), Demangle(names_.c_str() + symbol.name));
  }
}

std::optional<LinkAddress> SymbolTable::FindByName(std::string_view name) const {
  for (const Symbol& symbol : symbols_) {
    if (symbol.is_function && name == names_.c_str() + symbol.name) {
      return LinkAddress(symbol.address);
    }
  }
  return std::nullopt;
}

std::optional<LinkAddress> SymbolTable::FindObject(std::string_view name) const {
  for (const Symbol& symbol : symbols_) {
    if (!symbol.is_function && symbol.rank != kPltRank && name == names_.c_str() + symbol.name) {
      return LinkAddress(symbol.address);
    }
  }
  return std::nullopt;
}

void SymbolTable::ForEachObject(std::string_view prefix,
                                const std::function<void(const std::string& name)>& visit) const {
  for (const Symbol& symbol : symbols_) {
    const std::string_view name = names_.c_str() + symbol.name;
    if (!symbol.is_function && name.starts_with(prefix)) visit(std::string(name));
  }
}

std::string_view SymbolTable::PltName(LinkAddress address) const {
  const auto after = std::upper_bound(
      symbols_.begin(), symbols_.end(), address.value,
      [](uint64_t wanted, const Symbol& symbol) { return wanted < symbol.address; });
  if (after == symbols_.begin()) return "";
  const Symbol& symbol = *std::prev(after);
  if (symbol.rank != kPltRank || address.value >= symbol.end) return "";
  return names_.c_str() + symbol.name;
}

std::optional<SymbolMatch> SymbolTable::Find(LinkAddress address) const {
  auto it = std::upper_bound(
      symbols_.begin(), symbols_.end(), address.value,
      [](uint64_t wanted, const Symbol& symbol) { return wanted < symbol.address; });
  // Back over labels inside a larger symbol.
  constexpr int kMaxSteps = 64;
  for (int step = 0; step < kMaxSteps && it != symbols_.begin(); ++step) {
    --it;
    if (address.value < it->end) {
      if (it->is_folded) return std::nullopt;
      std::string name = Demangle(names_.c_str() + it->name);
      if (it->rank == kPltRank) name += "@plt";
      return SymbolMatch{std::move(name), address.value - it->address};
    }
  }
  return std::nullopt;
}

}  // namespace stillframe
