// Who calls a function, as far as the compiler wrote it down (DWARF 5 §3.4; optimized code only).
#ifndef STILLFRAME_SYMBOLIZER_CALL_SITES_H_
#define STILLFRAME_SYMBOLIZER_CALL_SITES_H_

#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/address.h"
#include "symbolizer/unit_index.h"

namespace stillframe {

// Walks each unit at most once and remembers its calls (16 to 40 bytes each): arming a tracepoint
// asks for the callers of a few dozen functions, and tracepoints come in groups.
class CallSiteIndex {
 public:
  // Return addresses of direct calls to the concrete function that holds `address`: first those of
  // its own unit, then of other units (which know it by its linkage name), at most `max`, sorted.
  // The walk over other units stops after a fixed number of entries.
  std::vector<LinkAddress> FindCallers(UnitIndex& units, LinkAddress address, uint32_t max);

 private:
  void WalkUnit(Dwarf_Die* unit, size_t max_dies);
  void Walk(Dwarf_Die* parent, bool inside_function, int depth, size_t max_dies);
  void Visit(Dwarf_Die* site);

  size_t visited_ = 0;
  std::unordered_set<const void*> walked_;  // units
  std::unordered_map<const void*, std::vector<LinkAddress>> by_callee_;
  // Names are libdw's and live as long as its handle.
  std::unordered_map<const void*, std::string_view> names_;
  std::unordered_map<std::string_view, std::vector<LinkAddress>> by_name_;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_CALL_SITES_H_
