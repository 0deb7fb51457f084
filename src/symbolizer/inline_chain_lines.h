// File, line and function of every source-level frame at a pc.
#ifndef STILLFRAME_SYMBOLIZER_INLINE_CHAIN_LINES_H_
#define STILLFRAME_SYMBOLIZER_INLINE_CHAIN_LINES_H_

#include <elfutils/libdw.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "symbolizer/scope_reader.h"
#include "symbolizer/symbolizer.h"
#include "symbolizer/type_builder_names.h"

namespace stillframe::dwarf {

struct SourceLine {
  std::string file;  // absolute; "" when unknown
  uint32_t line = 0;
};

// The line table's row for pc: the last one at or before it; among rows of one address the last
// statement, as GDB chooses.
SourceLine LineAt(const Dwarf_Die& unit, LinkAddress pc);

// Where the inlined copy is called.
SourceLine CallSite(const Dwarf_Die& inlined);

// See SymbolModule::LineRows; kOutside is as kOtherStatements here.
std::vector<LinkAddress> RowsOf(const Dwarf_Die& unit, LinkAddress begin, LinkAddress end,
                                uint32_t line, SymbolModule::Rows rows);

// One frame per entry of `chain`, in its order. `lookup_pc` is inside the instruction that runs.
std::vector<SourceFrame> DescribeChain(const Dwarf_Die& unit, const ScopeChain& chain,
                                       LinkAddress lookup_pc, TypeNamer& namer);

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_INLINE_CHAIN_LINES_H_
