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

// A bound of the subrange that is there but no constant (DWARF 5 §5.13): it is computed at run
// time.
bool IsComputedBound(Dwarf_Die subrange);

// The number of elements in the first dimension of a DW_TAG_array_type whose bound is computed.
// kOk with a program that yields it, or why nobody can tell at this place.
struct ElementCount {
  Code code = Code::kUnsupportedLocation;
  std::vector<Insn> program;
};
ElementCount CompileElementCount(const Dwarf_Die& array, const LocationContext& context,
                                 LocationCompiler& locations, PlanTables& tables);

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_ARRAY_BOUNDS_H_
