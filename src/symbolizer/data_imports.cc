#include "symbolizer/data_imports.h"

#include <elf.h>

#include <algorithm>
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

void DataImports::ReadSegments(const Elf64_Ehdr& header) {
  Elf64_Phdr segment;
  for (uint64_t i = 0; i < header.e_phnum; ++i) {
    const auto raw =
        module_.ReadAt(FileOffset(header.e_phoff + i * sizeof segment), sizeof segment);
    if (!raw.ok()) return;
    std::memcpy(&segment, raw->data(), sizeof segment);
    has_interpreter_ = has_interpreter_ || segment.p_type == PT_INTERP;
    if (segment.p_type != PT_TLS) continue;
    thread_locals_start_ = segment.p_vaddr;
    thread_locals_bytes_ = segment.p_memsz;
  }
}

// A program that is not position-independent is no DT_DYN; others say so in DT_FLAGS_1, but for
// those of old linkers. The C library names an interpreter, too.
void DataImports::ReadFlags() {
  const auto header = module_.ReadAt(FileOffset(0), sizeof(Elf64_Ehdr));
  Elf64_Ehdr file{};
  if (header.ok()) std::memcpy(&file, header->data(), sizeof file);
  ReadSegments(file);
  is_program_ = file.e_type == ET_EXEC;
  const ElfSection* const section = module_.FindSection(".dynamic");
  if (section == nullptr) return;
  const auto bytes = module_.ReadSection(*section);
  if (!bytes.ok()) return;
  bool has_name = false;
  for (size_t at = 0; at + sizeof(Elf64_Dyn) <= bytes->size(); at += sizeof(Elf64_Dyn)) {
    Elf64_Dyn entry;
    std::memcpy(&entry, bytes->data() + at, sizeof entry);
    if (entry.d_tag == DT_NULL) break;
    const bool flagged = entry.d_tag == DT_FLAGS && (entry.d_un.d_val & DF_SYMBOLIC) != 0;
    binds_locally_ = binds_locally_ || flagged || entry.d_tag == DT_SYMBOLIC;
    has_name = has_name || entry.d_tag == DT_SONAME;
    if (entry.d_tag == DT_FLAGS_1 && (entry.d_un.d_val & DF_1_PIE) != 0) is_program_ = true;
  }
  if (!has_name && has_interpreter_) is_program_ = true;
}

// gABI: a global or weak symbol of default visibility takes part in the dynamic search. Version
// scripts have made the others local by link time.
void DataImports::ReadExported() {
  const ElfSection* const table = module_.FindSection(".dynsym");
  if (table == nullptr) return;
  const auto symbols = module_.ReadSection(*table);
  if (!symbols.ok()) return;
  has_symbols_ = true;
  for (size_t at = 0; at + sizeof(Elf64_Sym) <= symbols->size(); at += sizeof(Elf64_Sym)) {
    Elf64_Sym symbol;
    std::memcpy(&symbol, symbols->data() + at, sizeof symbol);
    const unsigned type = ELF64_ST_TYPE(symbol.st_info);
    if (symbol.st_shndx == SHN_UNDEF || ELF64_ST_BIND(symbol.st_info) == STB_LOCAL ||
        ELF64_ST_VISIBILITY(symbol.st_other) != STV_DEFAULT) {
      continue;
    }
    if (type == STT_TLS) {
      exported_thread_locals_.push_back(symbol.st_value);
    } else if (type == STT_OBJECT || type == STT_NOTYPE || type == STT_COMMON) {
      exported_.push_back(symbol.st_value);
    }
  }
  std::sort(exported_.begin(), exported_.end());
  std::sort(exported_thread_locals_.begin(), exported_thread_locals_.end());
}

void DataImports::Read() {
  if (read_) return;
  read_ = true;
  ReadFlags();
  if (!is_program_ && !binds_locally_) ReadExported();
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

std::optional<uint64_t> DataImports::ThreadLocalOffset(uint64_t number) {
  Read();
  const uint64_t from_start = number - thread_locals_start_;
  const bool is_offset = number < thread_locals_bytes_;
  const bool is_address = number >= thread_locals_start_ && from_start < thread_locals_bytes_;
  if (is_offset == is_address) return std::nullopt;
  return is_offset ? number : from_start;
}

bool DataImports::MayBePreempted(uint64_t address_or_offset, bool is_thread_local) {
  Read();
  if (is_program_ || binds_locally_) return false;
  if (!has_symbols_) return true;
  const std::vector<uint64_t>& exported = is_thread_local ? exported_thread_locals_ : exported_;
  return std::binary_search(exported.begin(), exported.end(), address_or_offset);
}

}  // namespace stillframe
