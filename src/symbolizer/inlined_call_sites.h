// Where calls begin that the compiler inlined.
#ifndef STILLFRAME_SYMBOLIZER_INLINED_CALL_SITES_H_
#define STILLFRAME_SYMBOLIZER_INLINED_CALL_SITES_H_

#include <elfutils/libdw.h>

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/address.h"
#include "symbolizer/line_sites.h"

namespace stillframe {

// Where an inlined copy (a DW_TAG_inlined_subroutine) begins: its entry, or, where the instruction
// there still belongs to the caller (GCC's entry views), the first of its ranges behind that.
// nullopt: it was folded into its surroundings, which keeps an entry and no code.
std::optional<LinkAddress> FirstOwnAddress(Dwarf_Die die);

// Calls visit(site) for every inlined call that stands on a line of `file` for which wanted(line)
// is true, outermost ones only, in no order; site.line is that line. A line that does nothing but
// call what is inlined has no code of its own, and no row in the line table says anything of it.
// Reads the units that know the file, up to a million DIEs.
void ForEachInlinedCall(ModuleDebug& debug, const SourceFile& file,
                        const std::function<bool(uint32_t)>& wanted,
                        const std::function<void(LineSite)>& visit);

// The copies of the code (functions and inlined calls) in which a line's sites lie, by the offset
// of their DIEs; and those in which copies of the same source are to be looked for.
class LineCopies {
 public:
  LineCopies(ModuleDebug& debug, const std::vector<LineSite>& sites);

  // Appends sites to those of the line for copies, in the same units, in which it has none: the
  // compiler left no row of it there, but it called what is inlined there, on that line; or (where
  // not each statement is marked) the copy begins in the middle of a row of the line, which goes on
  // from the copy before. Looks at up to 131,072 DIEs.
  void AddUnmarked(const SourceFile& file, uint32_t line, std::vector<LineSite>& sites);

 private:
  struct Search;
  void Walk(const Dwarf_Die& copy, int depth, Search& search);
  bool BeginsAtSite(Dwarf_Die copy) const;
  std::optional<LineSite> InRowBefore(const Dwarf_Die& copy, const Search& search) const;

  ModuleDebug& debug_;
  std::set<Dwarf_Off> copies_, sources_;
  std::set<Dwarf_Die*> units_;
  std::map<LinkAddress, uint32_t> parts_;  // by the site's address
};

// Takes the addresses out that lie in what is inlined into the function where it is called on the
// line.
void EraseInlinedCode(const Dwarf_Die& function, uint32_t line,
                      std::vector<LinkAddress>& addresses);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_INLINED_CALL_SITES_H_
