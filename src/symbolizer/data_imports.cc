#include "symbolizer/data_imports.h"

#include <elf.h>

#include <cstring>
#include <vector>

#include "symbolizer/byte_reader.h"

namespace stillframe {
namespace {

constexpr size_t kMaxImports = 1u << 18;

using PlaceKind = DataImports::PlaceKind;

// What the loader puts where the relocation is; nullopt: not the address of data. R_X86_64_TLSDESC
// leads through a function of the loader's own. R_X86_64_DTPOFF64 is the second word of a pair.
std::optional<PlaceKind> KindOf(uint64_t relocation_type) {
  switch (relocation_type) {
    case R_X86_64_GLOB_DAT:
      return PlaceKind::kPointer;
    case R_X86_64_COPY:
      return PlaceKind::kObject;
    case R_X86_64_TPOFF64:
      return PlaceKind::kThreadOffset;
    case R_X86_64_DTPMOD64:
      return PlaceKind::kThreadIndex;
    default:
      return std::nullopt;
  }
}

}  // namespace

void DataImports::AddRelocations(const ElfSection& section) {
  const ElfSection* const table = module_.FindSection(".dynsym");
  if (table == nullptr || table->link >= module_.sections().size()) return;
  const auto symbols = module_.ReadSection(*table);
  const auto strings = module_.ReadSection(module_.sections()[table->link]);
  const auto relocations = module_.ReadSection(section);
  if (!symbols.ok() || !strings.ok() || !relocations.ok()) return;
  for (size_t at = 0; at + sizeof(Elf64_Rela) <= relocations->size(); at += sizeof(Elf64_Rela)) {
    Elf64_Rela raw;
    std::memcpy(&raw, relocations->data() + at, sizeof raw);
    const uint64_t type = ELF64_R_TYPE(raw.r_info);
    const uint64_t index = ELF64_R_SYM(raw.r_info);
    const std::optional<PlaceKind> kind = KindOf(type);
    if (!kind || index == 0) continue;
    if (index >= symbols->size() / sizeof(Elf64_Sym)) continue;
    Elf64_Sym symbol;
    std::memcpy(&symbol, symbols->data() + index * sizeof symbol, sizeof symbol);
    const std::string_view name = ByteReader(*strings, symbol.st_name).CString();
    if (!name.empty() && imports_.size() < kMaxImports) Add(raw, symbol, name, *kind);
  }
}

void DataImports::Add(const Elf64_Rela& relocation, const Elf64_Sym& symbol, std::string_view name,
                      PlaceKind kind) {
  const uint64_t index = ELF64_R_SYM(relocation.r_info);
  const Place place{LinkAddress(relocation.r_offset), kind};
  const auto [known, is_new] = imports_.try_emplace(std::string(name), Import{place, index});
  if (is_new) {
    const bool is_thread_local =
        kind == PlaceKind::kThreadOffset || kind == PlaceKind::kThreadIndex;
    Exports& exports = is_thread_local ? thread_locals_ : exports_;
    if (symbol.st_shndx != SHN_UNDEF) exports.emplace(symbol.st_value, std::string(name));
    return;
  }
  Import& import = known->second;
  import.is_ambiguous = import.is_ambiguous || import.symbol_index != index;
  // The loader resolves the word in the table to the copy.
  if (kind == PlaceKind::kObject) import.place = place;
}

void DataImports::ReadFlags() {
  const ElfSection* const section = module_.FindSection(".dynamic");
  if (section == nullptr) return;
  const auto bytes = module_.ReadSection(*section);
  if (!bytes.ok()) return;
  for (size_t at = 0; at + sizeof(Elf64_Dyn) <= bytes->size(); at += sizeof(Elf64_Dyn)) {
    Elf64_Dyn entry;
    std::memcpy(&entry, bytes->data() + at, sizeof entry);
    if (entry.d_tag == DT_NULL) return;
    const bool flagged = entry.d_tag == DT_FLAGS && (entry.d_un.d_val & DF_SYMBOLIC) != 0;
    binds_locally_ = binds_locally_ || flagged || entry.d_tag == DT_SYMBOLIC;
  }
}

void DataImports::Read() {
  if (read_) return;
  read_ = true;
  ReadFlags();
  if (const ElfSection* const section = module_.FindSection(".rela.dyn")) AddRelocations(*section);
}

std::optional<DataImports::Place> DataImports::Find(std::string_view symbol) {
  Read();
  const auto found = imports_.find(symbol);
  if (found == imports_.end() || found->second.is_ambiguous) return std::nullopt;
  return found->second.place;
}

std::vector<std::string> DataImports::NamesAt(const Exports& exports, uint64_t value) {
  std::vector<std::string> names;
  const auto [first, last] = exports.equal_range(value);
  for (auto at = first; at != last; ++at) names.push_back(at->second);
  return names;
}

std::vector<std::string> DataImports::ExportedAt(LinkAddress address) {
  Read();
  return NamesAt(exports_, address.value);
}

std::vector<std::string> DataImports::ThreadLocalsAt(uint64_t offset) {
  Read();
  return NamesAt(thread_locals_, offset);
}

bool DataImports::binds_locally() {
  Read();
  return binds_locally_;
}

}  // namespace stillframe
