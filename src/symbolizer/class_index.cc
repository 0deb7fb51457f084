#include "symbolizer/class_index.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "symbolizer/byte_reader.h"
#include "symbolizer/symbol_table.h"
#include "symbolizer/type_builder_simplify.h"

namespace stillframe {
namespace {

constexpr size_t kMaxClasses = 200'000;
constexpr size_t kMaxManagers = 1'000;
constexpr uint64_t kMaxBases = 64;

// Itanium C++ ABI 2.9.5: vptr and name; __si_class_type_info one pointer more;
// __vmi_class_type_info flags, a count, and (pointer, offset) for each base.
constexpr uint64_t kNoBaseBytes = 16;
constexpr uint64_t kOneBaseBytes = 24;
constexpr uint64_t kManyBasesHeader = 24;
constexpr uint64_t kManyBasesEntry = 16;

std::string AfterPrefix(const std::string& demangled, std::string_view prefix) {
  if (!demangled.starts_with(prefix)) return "";
  return dwarf::SimplifyTypeName(std::string_view(demangled).substr(prefix.size()));
}

// The enclosing class of a function, arguments left out.
std::string ClassOf(const std::string& function, std::string_view method) {
  const size_t at = function.find(method);
  return at == std::string::npos ? "" : function.substr(0, at);
}

}  // namespace

void ClassIndex::AddSymbol(std::string_view name, uint64_t address, uint64_t size_bytes) {
  const auto demangled = [&] { return Demangle(std::string(name)); };
  if (name.starts_with("_ZTV")) {
    std::string class_name = AfterPrefix(demangled(), "vtable for ");
    if (class_name.empty() || vtables_.size() >= kMaxClasses || size_bytes == 0) return;
    const ClassRange range{class_name, LinkAddress(address), LinkAddress(address + size_bytes)};
    vtables_.emplace(std::move(class_name), range);
  } else if (name.starts_with("_ZTI")) {
    std::string class_name = AfterPrefix(demangled(), "typeinfo for ");
    if (class_name.empty() || infos_.size() >= kMaxClasses) return;
    infos_.push_back({std::move(class_name), address, size_bytes});
  } else if (name.starts_with("_ZNSt3any") || name.starts_with("_ZNSt3__19__any_imp")) {
    if (any_managers_.size() >= kMaxManagers || size_bytes == 0) return;
    const std::string function = demangled();
    std::string class_name = ClassOf(function, "::_S_manage(");
    if (class_name.empty()) class_name = ClassOf(function, "::__handle[");
    if (class_name.empty()) class_name = ClassOf(function, "::__handle(");
    if (class_name.empty()) return;
    any_managers_.push_back(
        {std::move(class_name), LinkAddress(address), LinkAddress(address + size_bytes)});
  }
}

void ClassIndex::ReadSymbols(const ElfFile& file, const ElfSection& table) {
  ForEachElfSymbol(file, table, [this](const Elf64_Sym& raw, std::string_view name) {
    const bool defined = raw.st_shndx != SHN_UNDEF && raw.st_value != 0;
    if (!defined || raw.st_value > UINT64_MAX - raw.st_size) return;
    if (name.starts_with("_Z")) AddSymbol(name, raw.st_value, raw.st_size);
  });
}

const ClassIndex::TypeInfo* ClassIndex::InfoAt(uint64_t address) const {
  auto at = std::upper_bound(infos_.begin(), infos_.end(), address,
                             [](uint64_t a, const TypeInfo& info) { return a < info.address; });
  if (at == infos_.begin()) return nullptr;
  --at;
  return address - at->address < std::max<uint64_t>(at->size_bytes, 1) ? &*at : nullptr;
}

// In a position-independent file the pointers are made by relocations.
void ClassIndex::ReadRelocations() {
  const ElfSection* section = module_.FindSection(".rela.dyn");
  if (section == nullptr) return;
  const auto entries = module_.ReadSection(*section);
  if (!entries.ok()) return;
  const ElfSection* symbols = module_.FindSection(".dynsym");
  const ElfSection* strings = module_.FindSection(".dynstr");
  FileBytes table, names;
  if (symbols != nullptr && strings != nullptr) {
    auto read_table = module_.ReadSection(*symbols);
    auto read_names = module_.ReadSection(*strings);
    if (read_table.ok()) table = std::move(read_table).value();
    if (read_names.ok()) names = std::move(read_names).value();
  }
  for (size_t at = 0; at + sizeof(Elf64_Rela) <= entries->size(); at += sizeof(Elf64_Rela)) {
    Elf64_Rela raw;
    memcpy(&raw, entries->data() + at, sizeof raw);
    if (InfoAt(raw.r_offset) == nullptr) continue;
    if (ELF64_R_TYPE(raw.r_info) == R_X86_64_RELATIVE) {
      relocated_[raw.r_offset] = static_cast<uint64_t>(raw.r_addend);
    }
    const uint64_t index = ELF64_R_SYM(raw.r_info) * sizeof(Elf64_Sym);
    if (ELF64_R_TYPE(raw.r_info) != R_X86_64_64 || index + sizeof(Elf64_Sym) > table.size()) {
      continue;
    }
    Elf64_Sym symbol;
    memcpy(&symbol, table.data() + index, sizeof symbol);
    const std::string_view name = ByteReader(names, symbol.st_name).CString();
    if (!name.starts_with("_ZTI")) continue;
    imported_[raw.r_offset] = AfterPrefix(Demangle(std::string(name)), "typeinfo for ");
  }
}

uint64_t ClassIndex::WordInFile(uint64_t address) const {
  for (const ElfSegment& segment : module_.load_segments()) {
    const uint64_t offset = address - segment.address.value;
    if (address < segment.address.value || offset >= segment.file_size_bytes) continue;
    const auto bytes = module_.ReadAt(FileOffset(segment.offset.value + offset), 8);
    uint64_t word = 0;
    if (bytes.ok() && bytes->size() == 8) memcpy(&word, bytes->data(), 8);
    return word;
  }
  return 0;
}

std::string ClassIndex::PointedClass(uint64_t address) const {
  const auto imported = imported_.find(address);
  if (imported != imported_.end()) return imported->second;
  const auto relocated = relocated_.find(address);
  const TypeInfo* info =
      InfoAt(relocated != relocated_.end() ? relocated->second : WordInFile(address));
  return info == nullptr ? "" : info->class_name;
}

void ClassIndex::ReadBases() {
  for (const TypeInfo& info : infos_) {
    if (info.size_bytes <= kNoBaseBytes) continue;
    const bool one = info.size_bytes == kOneBaseBytes;
    const uint64_t first = info.address + (one ? kNoBaseBytes : kManyBasesHeader);
    const uint64_t count =
        one ? 1 : std::min(kMaxBases, (info.size_bytes - kManyBasesHeader) / kManyBasesEntry);
    for (uint64_t i = 0; i < count; ++i) {
      std::string base = PointedClass(first + i * kManyBasesEntry);
      if (!base.empty()) derived_.emplace(std::move(base), info.class_name);
    }
  }
}

// See SymbolTable::MarkFolded: code that is several types' own tells none of them.
void ClassIndex::DropFoldedManagers() {
  std::unordered_map<uint64_t, std::string_view> classes;
  std::unordered_set<uint64_t> folded;
  for (const ClassRange& manager : any_managers_) {
    const auto [known, is_new] = classes.try_emplace(manager.start.value, manager.class_name);
    if (!is_new && known->second != manager.class_name) folded.insert(manager.start.value);
  }
  std::erase_if(any_managers_, [&folded](const ClassRange& manager) {
    return folded.contains(manager.start.value);
  });
}

void ClassIndex::Read() {
  if (read_) return;
  read_ = true;
  bool any = false;
  for (const ElfFile* file : {&file_, &module_}) {
    const ElfSection* table = file->FindSection(".symtab");
    if (table == nullptr || table->type != SHT_SYMTAB) continue;
    ReadSymbols(*file, *table);
    any = true;
    break;
  }
  const ElfSection* dynamic = module_.FindSection(".dynsym");
  if (!any && dynamic != nullptr) ReadSymbols(module_, *dynamic);
  std::sort(infos_.begin(), infos_.end(),
            [](const TypeInfo& a, const TypeInfo& b) { return a.address < b.address; });
  DropFoldedManagers();
  ReadRelocations();
  ReadBases();
}

std::vector<ClassRange> ClassIndex::Family(std::string_view class_name, size_t max) {
  Read();
  std::vector<ClassRange> out;
  std::vector<std::string> queue{std::string(class_name)};
  std::unordered_set<std::string> seen(queue.begin(), queue.end());
  for (size_t i = 0; i < queue.size() && out.size() < max && i < kMaxClasses; ++i) {
    const auto vtable = vtables_.find(queue[i]);
    if (vtable != vtables_.end()) out.push_back(vtable->second);
    const auto [first, last] = derived_.equal_range(queue[i]);
    for (auto at = first; at != last; ++at) {
      if (seen.insert(at->second).second) queue.push_back(at->second);
    }
  }
  return out;
}

const std::vector<ClassRange>& ClassIndex::AnyManagers() {
  Read();
  return any_managers_;
}

}  // namespace stillframe
