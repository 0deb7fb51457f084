#include "symbolizer/dwarf_util.h"

#include <sys/mman.h>

#include <new>

#include "symbolizer/path_match.h"
#include "symbolizer/type_units.h"

namespace stillframe::dwarf {
namespace {

bool Find(Dwarf_Die& die, unsigned attribute, bool integrate, Dwarf_Attribute& out) {
  return (integrate ? dwarf_attr_integrate(&die, attribute, &out)
                    : dwarf_attr(&die, attribute, &out)) != nullptr;
}

}  // namespace

std::optional<uint64_t> Unsigned(Dwarf_Die die, unsigned attribute, bool integrate) {
  Dwarf_Attribute found;
  Dwarf_Word value = 0;
  if (!Find(die, attribute, integrate, found)) return std::nullopt;
  if (dwarf_formudata(&found, &value) != 0) return std::nullopt;
  return value;
}

bool Flag(Dwarf_Die die, unsigned attribute, bool integrate) {
  Dwarf_Attribute found;
  bool value = false;
  return Find(die, attribute, integrate, found) && dwarf_formflag(&found, &value) == 0 && value;
}

std::optional<Dwarf_Die> Reference(Dwarf_Die die, unsigned attribute, bool integrate) {
  Dwarf_Attribute found;
  Dwarf_Die target;
  if (!Find(die, attribute, integrate, found)) return std::nullopt;
  if (dwarf_formref_die(&found, &target) == nullptr) return FindTypeUnit(found);
  return target;
}

std::string_view Name(Dwarf_Die die) {
  const char* name = dwarf_diename(&die);
  return name == nullptr ? std::string_view() : std::string_view(name);
}

std::string_view LinkageName(Dwarf_Die die) {
  for (unsigned attribute : {unsigned{DW_AT_linkage_name}, unsigned{DW_AT_MIPS_linkage_name}}) {
    Dwarf_Attribute found;
    if (!Find(die, attribute, true, found)) continue;
    const char* name = dwarf_formstring(&found);
    if (name != nullptr) return name;
  }
  return {};
}

std::optional<Dwarf_Die> TypeOf(Dwarf_Die die) { return TypeReference(die, DW_AT_type); }

std::optional<Dwarf_Die> TypeReference(Dwarf_Die die, unsigned attribute) {
  const std::optional<Dwarf_Die> type = Reference(die, attribute);
  if (!type) return std::nullopt;
  // DWARF 5 §5.7.1: a stub that only names a type unit (GCC writes them without a name).
  const std::optional<Dwarf_Die> unit_type = Reference(*type, DW_AT_signature, false);
  return unit_type ? unit_type : type;
}

std::optional<Dwarf_Die> UnitOf(Dwarf_Die die) {
  Dwarf_Die unit;
  if (dwarf_diecu(&die, &unit, nullptr, nullptr) == nullptr) return std::nullopt;
  return unit;
}

Dwarf_Die Origin(Dwarf_Die die) {
  for (int i = 0; i < kMaxChain; ++i) {
    std::optional<Dwarf_Die> next = Reference(die, DW_AT_abstract_origin, false);
    if (!next) next = Reference(die, DW_AT_specification, false);
    if (!next) return die;
    die = *next;
  }
  return die;
}

int Line(Dwarf_Die die) {
  int line = 0;
  return dwarf_decl_line(&die, &line) == 0 ? line : 0;
}

std::string_view DeclFile(Dwarf_Die die) {
  // Not dwarf_decl_file: it aborts the process when the unit's line table cannot be read.
  for (int i = 0; i < kMaxChain; ++i) {
    Dwarf_Attribute found;
    Dwarf_Word index = 0;
    if (dwarf_attr(&die, DW_AT_decl_file, &found) != nullptr) {
      std::optional<Dwarf_Die> unit = UnitOf(die);
      Dwarf_Files* files = nullptr;
      size_t count = 0;
      if (!unit || dwarf_formudata(&found, &index) != 0 ||
          dwarf_getsrcfiles(&*unit, &files, &count) != 0 || index >= count) {
        return {};
      }
      const char* file = dwarf_filesrc(files, index, nullptr, nullptr);
      return file == nullptr ? std::string_view() : std::string_view(file);
    }
    std::optional<Dwarf_Die> next = Reference(die, DW_AT_abstract_origin, false);
    if (!next) next = Reference(die, DW_AT_specification, false);
    if (!next) return {};
    die = *next;
  }
  return {};
}

std::string FileName(Dwarf_Die unit, uint64_t index) {
  Dwarf_Files* files = nullptr;
  size_t count = 0;
  if (dwarf_getsrcfiles(&unit, &files, &count) != 0 || index >= count) return "";
  const char* path = dwarf_filesrc(files, index, nullptr, nullptr);
  return path == nullptr ? std::string() : AbsolutePath(unit, path);
}

std::string AbsolutePath(Dwarf_Die unit, std::string_view path) {
  if (path.empty() || path.front() == '/') return NormalizePath(path);
  Dwarf_Attribute found;
  const char* folder = nullptr;
  if (dwarf_attr(&unit, DW_AT_comp_dir, &found) != nullptr) folder = dwarf_formstring(&found);
  if (folder == nullptr || *folder == '\0') return NormalizePath(path);
  return NormalizePath(std::string(folder) + "/" + std::string(path));
}

std::vector<std::pair<LinkAddress, LinkAddress>> RangesOf(Dwarf_Die die) {
  std::vector<std::pair<LinkAddress, LinkAddress>> ranges;
  ForEachRange(die, [&](LinkAddress start, LinkAddress end) { ranges.emplace_back(start, end); });
  return ranges;
}

LinkAddress FunctionEntryOf(Dwarf_Die function) {
  Dwarf_Addr low = 0;
  if (dwarf_lowpc(&function, &low) == 0 && low != 0) return LinkAddress(low);
  Dwarf_Addr base = 0, start = 0, end = 0;
  // GCC writes the hot part, which has the entry, first.
  const ptrdiff_t more = dwarf_ranges(&function, 0, &base, &start, &end);
  return more > 0 ? LinkAddress(start) : LinkAddress();
}

int Tag(Dwarf_Die die) { return dwarf_tag(&die); }

bool IsStructTag(int tag) {
  return tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_interface_type;
}

bool IsQualifierTag(int tag) {
  return tag == DW_TAG_const_type || tag == DW_TAG_volatile_type || tag == DW_TAG_restrict_type ||
         tag == DW_TAG_atomic_type;
}

void EnsureRoom() {
  constexpr size_t kRoomBytes = 32 << 20;
  void* const room =
      mmap(nullptr, kRoomBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) throw std::bad_alloc();
  munmap(room, kRoomBytes);
}

}  // namespace stillframe::dwarf
