// Who calls a function, as far as the compiler wrote it down (DWARF 5 §3.4; optimized code only).
#ifndef STILLFRAME_SYMBOLIZER_CALL_SITES_H_
#define STILLFRAME_SYMBOLIZER_CALL_SITES_H_

#include <vector>

#include "base/address.h"
#include "symbolizer/unit_index.h"

namespace stillframe {

// Return addresses of direct calls to the concrete function that holds `address`: first those of
// its own unit, then of other units (which know it by its linkage name), at most `max`. The walk
// over other units stops after a fixed number of entries.
std::vector<LinkAddress> FindCallers(UnitIndex& units, LinkAddress address, uint32_t max);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_CALL_SITES_H_
