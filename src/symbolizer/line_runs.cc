#include "symbolizer/line_runs.h"

#include <algorithm>
#include <map>
#include <set>

#include "plan/line_part.h"
#include "symbolizer/dwarf_util.h"
#include "symbolizer/prologue.h"
#include "symbolizer/scope_reader.h"

namespace stillframe {
namespace {

bool IsRun(const LineSite& site) { return (site.part & LinePartBits::kRun) != 0; }

// The code that a site lies in, as offsets of DIEs; 0: none is known.
struct Copy {
  Dwarf_Off inlined = 0;   // the inlined call, or the function itself
  Dwarf_Off source = 0;    // what that is a copy of
  Dwarf_Off function = 0;  // what it was inlined into
};

Copy CopyAt(ModuleDebug& debug, const LineSite& site) {
  const FunctionEntry* const function = debug.units.FindFunction(site.unit, site.address);
  if (function == nullptr) return {};
  dwarf::ScopeChain chain = dwarf::ReadScopes(function->die, site.address);
  if (chain.functions.empty()) return {};
  Dwarf_Die outer = function->die;
  Dwarf_Die source = dwarf::Origin(chain.functions.front().function);
  return {dwarf_dieoffset(&chain.functions.front().function), dwarf_dieoffset(&source),
          dwarf_dieoffset(&outer)};
}

// What statements of a line mark.
class Marked {
 public:
  void Add(const Copy& copy, bool has_code) {
    bool& code = copies_.try_emplace(copy.inlined, false).first->second;
    code = code || has_code;
    sources_[copy.function].insert(copy.source);
  }
  // Whether a run of the copy stands for a statement that is not marked; `stray`, or may.
  bool Lacks(const Copy& copy, bool stray) const {
    if (const auto found = copies_.find(copy.inlined); found != copies_.end()) {
      return !found->second && stray;
    }
    // GCC may end an inlined call's range before the address of its last mark, which then lies in
    // the function around it, and the call has code behind it: [1, 3) [7, 7) [9, 11), marked at 7.
    const auto sources = sources_.find(copy.function);
    return sources == sources_.end() ||
           (sources->second.size() == 1 && sources->second.contains(copy.source));
  }

 private:
  std::map<Dwarf_Off, bool> copies_;                  // whether a statement there has code
  std::map<Dwarf_Off, std::set<Dwarf_Off>> sources_;  // by function, what its statements are of
};

}  // namespace

void DropMarkedRuns(ModuleDebug& debug, std::vector<LineSite>& sites, bool stray) {
  const auto runs = std::count_if(sites.begin(), sites.end(), IsRun);
  if (runs == 0 || runs == static_cast<ptrdiff_t>(sites.size())) return;
  // Other compilers leave out marks only where a row goes on with the line before.
  std::erase_if(sites,
                [](const LineSite& site) { return IsRun(site) && !MarksEachStatement(site.unit); });
  if (std::none_of(sites.begin(), sites.end(), IsRun)) return;
  Marked marked;
  for (const LineSite& site : sites) {
    if (!IsRun(site)) marked.Add(CopyAt(debug, site), (site.part & LinePartBits::kEmpty) == 0);
  }
  std::erase_if(sites, [&](const LineSite& site) {
    return IsRun(site) && !marked.Lacks(CopyAt(debug, site), stray);
  });
}

}  // namespace stillframe
