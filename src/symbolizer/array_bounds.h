// How many elements a variable-length array has, as a program for a frame.
#ifndef STILLFRAME_SYMBOLIZER_ARRAY_BOUNDS_H_
#define STILLFRAME_SYMBOLIZER_ARRAY_BOUNDS_H_

#include <elfutils/libdw.h>

#include <optional>
#include <vector>

#include "base/status.h"
#include "plan/program.h"
#include "symbolizer/location_compiler.h"

namespace stillframe::dwarf {

class TypeBuilder;

// Dimensions of one DW_TAG_array_type that are looked at.
inline constexpr size_t kMaxDimensions = 16;

// A bound of the subrange that is there but no constant (DWARF 5 §5.13): it is computed at run
// time.
bool IsComputedBound(Dwarf_Die subrange);

// An array, under whatever typedefs and qualifiers, whose size its type does not tell: a computed
// or an open bound, or elements that are such arrays.
bool IsVariableArray(const Dwarf_Die& type);

// The numbers of elements in the dimensions of `array`, a type with kFlagCountedByVariable, that
// have that flag, the outermost first. `code` is kOk, or the first reason why nobody can tell one
// of them at this place; a program that fails with its reason stands for each such.
// `has_rbp_slots`: the array itself is known to be found by a slot of a frame that rbp points to
// (GCC, of frames that are aligned at run time).
struct Extents {
  Code code = Code::kOk;
  std::vector<Program> programs;
};
Extents CompileExtents(TypeId array, const LocationContext& context, const TypeBuilder& types,
                       PlanTables& tables, bool has_rbp_slots = false);

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_ARRAY_BOUNDS_H_
