// Which entry of a location list holds at a statement. Optimized code has several statements at one
// address, and a variable another value before each of them; GCC numbers the statements ("views")
// and says from which to which of them an entry holds (DW_AT_GNU_locviews,
// https://dwarfstd.org/issues/170427.1.html).
//
// Threads: the one that owns the Dwarf.
#ifndef STILLFRAME_SYMBOLIZER_LOCATION_VIEWS_H_
#define STILLFRAME_SYMBOLIZER_LOCATION_VIEWS_H_

#include <elfutils/libdw.h>

#include <span>

#include "symbolizer/location_compiler.h"

namespace stillframe::dwarf {

// Reads the variable's DW_AT_location. 1: `ops`, which belong to `attribute`, hold at
// context.lookup_pc (and are none where the value is gone); 0: nothing does; -1: it is broken;
// kNoLocation: it has none.
inline constexpr int kNoLocation = -2;
int FindLocation(Dwarf_Die variable, const LocationContext& context, Dwarf_Attribute& attribute,
                 std::span<const Dwarf_Op>& ops);

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_LOCATION_VIEWS_H_
