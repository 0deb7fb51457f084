#include "symbolizer/location_views.h"

#include <dwarf.h>
#include <elf.h>
#include <gelf.h>

#include <string_view>
#include <utility>
#include <vector>

#include "symbolizer/byte_reader.h"
#include "symbolizer/dwarf_util.h"

namespace stillframe::dwarf {
namespace {

constexpr unsigned kLocviews = 0x2137;  // DW_AT_GNU_locviews
constexpr size_t kMaxEntries = 4'096;

struct Entry {
  Dwarf_Addr start;
  Dwarf_Addr end;
  std::span<const Dwarf_Op> ops;
};

bool IsList(Dwarf_Attribute& attribute) {
  const unsigned form = dwarf_whatform(&attribute);
  return form == DW_FORM_sec_offset || form == DW_FORM_loclistx || form == DW_FORM_data4 ||
         form == DW_FORM_data8;
}

// All entries, or none when the list is broken or endless.
std::vector<Entry> ReadEntries(Dwarf_Attribute& attribute) {
  std::vector<Entry> entries;
  Dwarf_Addr base = 0;
  Entry entry{};
  Dwarf_Op* ops = nullptr;
  size_t count = 0;
  ptrdiff_t at = 0;
  while ((at = dwarf_getlocations(&attribute, at, &base, &entry.start, &entry.end, &ops, &count)) >
         0) {
    if (entries.size() == kMaxEntries) return {};
    entry.ops = std::span<const Dwarf_Op>(ops, count);
    entries.push_back(entry);
  }
  return at == 0 ? entries : std::vector<Entry>();
}

// Of the file's own lists: those of split units lie in packages at offsets of their own.
std::span<const uint8_t> ListSection(Dwarf_CU* unit) {
  Dwarf_Half version = 0;
  uint8_t type = 0;
  if (dwarf_cu_info(unit, &version, &type, nullptr, nullptr, nullptr, nullptr, nullptr) != 0 ||
      type == DW_UT_split_compile) {
    return {};
  }
  Elf* const elf = dwarf_getelf(dwarf_cu_getdwarf(unit));
  size_t names = 0;
  if (elf == nullptr || elf_getshdrstrndx(elf, &names) != 0) return {};
  const std::string_view wanted = version >= 5 ? ".debug_loclists" : ".debug_loc";
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr;
       section = elf_nextscn(elf, section)) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr) return {};
    const char* const name = elf_strptr(elf, names, header.sh_name);
    if (name == nullptr || name != wanted) continue;
    const Elf_Data* const data = elf_getdata(section, nullptr);
    if ((header.sh_flags & SHF_COMPRESSED) != 0 || data == nullptr || data->d_buf == nullptr) {
      return {};
    }
    return {static_cast<const uint8_t*>(data->d_buf), data->d_size};
  }
  return {};
}

// From which to which view each of `count` entries holds; empty when nothing says so.
std::vector<std::pair<uint64_t, uint64_t>> ReadViews(Dwarf_Die variable, size_t count) {
  Dwarf_Attribute attribute;
  Dwarf_Word offset = 0;
  if (dwarf_attr(&variable, kLocviews, &attribute) == nullptr ||
      dwarf_formudata(&attribute, &offset) != 0) {
    return {};
  }
  const std::span<const uint8_t> section = ListSection(variable.cu);
  if (offset >= section.size()) return {};
  ByteReader reader(section, offset);
  std::vector<std::pair<uint64_t, uint64_t>> views;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t first = reader.Uleb();
    views.emplace_back(first, reader.Uleb());
  }
  return reader.ok() ? views : std::vector<std::pair<uint64_t, uint64_t>>();
}

}  // namespace

int FindLocation(Dwarf_Die variable, const LocationContext& context, Dwarf_Attribute& attribute,
                 std::span<const Dwarf_Op>& ops) {
  ops = {};
  if (dwarf_attr_integrate(&variable, DW_AT_location, &attribute) == nullptr) return kNoLocation;
  const Dwarf_Addr pc = context.lookup_pc.value;
  if (context.view && IsList(attribute) && dwarf_hasattr(&variable, kLocviews) != 0) {
    const std::vector<Entry> entries = ReadEntries(attribute);
    const auto views = ReadViews(variable, entries.size());
    for (size_t i = 0; i < views.size(); ++i) {
      const auto& [start, end, entry_ops] = entries[i];
      const bool begun = start < pc || (start == pc && views[i].first <= *context.view);
      const bool over = end < pc || (end == pc && views[i].second <= *context.view);
      if (!begun || over) continue;
      ops = entry_ops;
      return 1;
    }
    if (!views.empty()) return 0;
  }
  Dwarf_Op* found = nullptr;
  size_t count = 0;
  const int lists = dwarf_getlocation_addr(&attribute, pc, &found, &count, 1);
  if (lists > 0) ops = std::span<const Dwarf_Op>(found, count);
  return lists > 0 ? 1 : lists;
}

}  // namespace stillframe::dwarf
