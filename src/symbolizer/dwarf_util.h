// Small readers over libdw for the variables part of the symbolizer: attributes of hostile DWARF
// come back as optionals, never as errors that a caller may forget.
//
// Threads: the one that owns the Dwarf (libdw 0.188 is not thread-safe).
#ifndef STILLFRAME_SYMBOLIZER_DWARF_UTIL_H_
#define STILLFRAME_SYMBOLIZER_DWARF_UTIL_H_

#include <dwarf.h>
#include <elfutils/libdw.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/status.h"

namespace stillframe::dwarf {

// Chains of references and of parents longer than this are taken for damage.
inline constexpr int kMaxChain = 64;
// Direct children of one DIE that are looked at; GCC's largest real scopes have a few thousand.
inline constexpr uint32_t kMaxChildren = 200'000;

// The attribute of the DIE itself, or of what it is an instance of when `integrate` (follows
// DW_AT_abstract_origin and DW_AT_specification, DWARF 5 §2.13.2, §3.3.8).
std::optional<uint64_t> Unsigned(Dwarf_Die die, unsigned attribute, bool integrate = true);
bool Flag(Dwarf_Die die, unsigned attribute, bool integrate = true);
std::optional<Dwarf_Die> Reference(Dwarf_Die die, unsigned attribute, bool integrate = true);
// DW_AT_name, integrated; "" when there is none. Lives as long as the Dwarf.
std::string_view Name(Dwarf_Die die);
// DW_AT_linkage_name (or its MIPS predecessor), integrated; "" when none.
std::string_view LinkageName(Dwarf_Die die);
// A reference to a type, followed into its type unit where there is one.
std::optional<Dwarf_Die> TypeReference(Dwarf_Die die, unsigned attribute);
// DW_AT_type; nullopt is void.
std::optional<Dwarf_Die> TypeOf(Dwarf_Die die);
// The unit DIE that contains `die`.
std::optional<Dwarf_Die> UnitOf(Dwarf_Die die);
// What the DIE is finally an instance of: abstract origins and specifications followed to the end.
Dwarf_Die Origin(Dwarf_Die die);
int Line(Dwarf_Die die);                   // DW_AT_decl_line; 0 when unknown
std::string_view DeclFile(Dwarf_Die die);  // "" when unknown
// File number `index` of the unit's line table, joined with the compilation folder; "" when none.
std::string FileName(Dwarf_Die unit, uint64_t index);
// `path` made absolute with the unit's DW_AT_comp_dir.
std::string AbsolutePath(Dwarf_Die unit, std::string_view path);

// The first instruction of a concrete function, also of one that is split into hot and cold parts;
// 0 when it has no code.
LinkAddress FunctionEntryOf(Dwarf_Die function);

// Calls `visit(start, end)` for each non-empty range of the DIE's code.
template <typename Visit>
void ForEachRange(Dwarf_Die die, Visit visit) {
  constexpr size_t kMaxRanges = 1u << 16;
  Dwarf_Addr base = 0, start = 0, end = 0;
  ptrdiff_t offset = 0;
  for (size_t i = 0; i < kMaxRanges; ++i) {
    offset = dwarf_ranges(&die, offset, &base, &start, &end);
    if (offset <= 0) return;
    if (start < end) visit(LinkAddress(start), LinkAddress(end));
  }
}

// The code of a DIE, start and end of each part.
std::vector<std::pair<LinkAddress, LinkAddress>> RangesOf(Dwarf_Die die);

int Tag(Dwarf_Die die);
// Structure, class or interface.
bool IsStructTag(int tag);
// DW_TAG_const_type, volatile, restrict, atomic.
bool IsQualifierTag(int tag);

// Calls `visit(child)` for each direct child until it returns false.
template <typename Visit>
void ForEachChild(Dwarf_Die die, Visit visit) {
  Dwarf_Die child;
  if (dwarf_child(&die, &child) != 0) return;
  for (uint32_t i = 0; i < kMaxChildren; ++i) {
    if (!visit(child)) return;
    Dwarf_Die next;
    if (dwarf_siblingof(&child, &next) != 0) return;
    if (next.addr <= child.addr) return;  // damage: siblings follow each other in the file
    child = next;
  }
}

// libdw ends the process by an assertion when one of its tables cannot be allocated: not begun
// without room. Throws std::bad_alloc, which callers expect of any allocation.
void EnsureRoom();

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_DWARF_UTIL_H_
