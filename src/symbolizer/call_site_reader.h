// What a function's callers know: the call at a return address, what it calls and what it passes.
#ifndef STILLFRAME_SYMBOLIZER_CALL_SITE_READER_H_
#define STILLFRAME_SYMBOLIZER_CALL_SITE_READER_H_

#include <elfutils/libdw.h>

#include <optional>
#include <vector>

#include "base/address.h"
#include "plan/plan.h"
#include "symbolizer/frame_compiler_tables.h"
#include "symbolizer/location_compiler.h"

namespace stillframe::dwarf {

// The DW_TAG_call_site (DWARF 5 §3.4) in the concrete function whose call returns to `address`;
// tail calls return nowhere and are none.
std::optional<Dwarf_Die> FindCallSite(const Dwarf_Die& function, LinkAddress address);

// Fills in the parameters, and the target of an indirect call where the debug information has it,
// in terms of the caller's frame `context`. What cannot be said there is left out.
void AddCallParameters(const Dwarf_Die& site, const LocationContext& context, PlanTables& tables,
                       FramePlan& frame);

// The entry cell (ParameterCellOf) of one of the function's parameters; both may be abstract or
// concrete. kAllEntryCells when there is none.
uint8_t CellOfParameter(const Dwarf_Die& function, const Dwarf_Die& parameter);

// A hash of the name that other modules know the function by; 0 when it has none.
uint64_t ExternalNameHash(const Dwarf_Die& function);
uint64_t NameHash(std::string_view linkage_name);

// A tail call out of a function.
struct TailCall {
  std::optional<Dwarf_Die> callee;  // nullopt: through a pointer
  // Where the jump stands: its own address or, if that is 0, the one behind it. 0, 0: not told.
  LinkAddress at;
  LinkAddress after;
};
std::vector<TailCall> TailCalls(const Dwarf_Die& function);

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_CALL_SITE_READER_H_
