#include "symbolizer/inlined_call_sites.h"

#include <dwarf.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "plan/line_part.h"
#include "symbolizer/dwarf_util.h"
#include "symbolizer/inline_chain_lines.h"
#include "symbolizer/prologue.h"
#include "symbolizer/scope_reader.h"

namespace stillframe {
namespace {

constexpr size_t kMaxDies = 1u << 20;
constexpr size_t kMaxUnmarkedDies = 1u << 17;
constexpr int kMaxDepth = 64;
constexpr uint32_t kRepeatBits = 8;  // as the line index numbers parts

// Calls visit(die, depth) for the inlined calls in the function's code until it has seen `budget`
// DIEs; what is inlined into a call that visit takes (true) is passed over.
template <typename Visit>
void WalkInlined(const Dwarf_Die& parent, int depth, size_t& budget, const Visit& visit) {
  if (depth > kMaxDepth) return;
  dwarf::ForEachChild(parent, [&](const Dwarf_Die& die) {
    if (budget == 0) return false;
    --budget;
    const int tag = dwarf::Tag(die);
    const bool inlined = tag == DW_TAG_inlined_subroutine;
    if (inlined && visit(die, depth)) return true;
    if (inlined || tag == DW_TAG_lexical_block) WalkInlined(die, depth + 1, budget, visit);
    return true;
  });
}

uint32_t CallLine(const Dwarf_Die& die) {
  return static_cast<uint32_t>(dwarf::Unsigned(die, DW_AT_call_line, false).value_or(0));
}

uint32_t PartOf(const Dwarf_Die& die) {
  const auto column = dwarf::Unsigned(die, DW_AT_call_column, false).value_or(0);
  return ((static_cast<uint32_t>(column) << kRepeatBits | 1) & LinePartBits::kNumber) |
         LinePartBits::kCall;
}

// Whether the function has a mark for each statement in each copy. GCC makes none in functions that
// it clones with link-time optimization: then every row counts as one.
bool MarksStatements(Dwarf_Die& unit, const Dwarf_Die& function) {
  if (!MarksEachStatement(&unit)) return false;
  bool unmarked = false;
  dwarf::ForEachRange(function, [&](LinkAddress begin, LinkAddress end) {
    using Rows = SymbolModule::Rows;
    unmarked = unmarked || !dwarf::RowsOf(unit, begin, end, 0, Rows::kUnmarked).empty();
  });
  return unmarked;
}

}  // namespace

std::optional<LinkAddress> FirstOwnAddress(Dwarf_Die die) {
  Dwarf_Addr entry = 0;
  if (dwarf_entrypc(&die, &entry) != 0 || entry == 0) return std::nullopt;
  std::optional<LinkAddress> first;
  bool holds_entry = false;
  dwarf::ForEachRange(die, [&](LinkAddress start, LinkAddress end) {
    holds_entry = holds_entry || (start.value <= entry && entry < end.value);
    if (start.value >= entry && (!first || start < *first)) first = start;
  });
  if (holds_entry) return LinkAddress(entry);
  return first;
}

void ForEachInlinedCall(ModuleDebug& debug, const SourceFile& file,
                        const std::function<bool(uint32_t)>& wanted,
                        const std::function<void(LineSite)>& visit) {
  size_t budget = kMaxDies;
  const auto visit_unit = [&](Dwarf_Die* unit) {
    for (const FunctionEntry& function : debug.units.Functions(unit)) {
      WalkInlined(function.die, 0, budget, [&](const Dwarf_Die& die, int) {
        const uint32_t line = CallLine(die);
        if (line == 0 || !wanted(line) || dwarf::CallSite(die).file != file.path) return false;
        const std::optional<LinkAddress> address = FirstOwnAddress(die);
        if (address) visit({*address, unit, file.path, line, nullptr, PartOf(die)});
        return address.has_value();
      });
    }
  };
  for (const SourceFile::Use& use : file.uses) {
    for (Dwarf_Die* const unit : debug.units.UnitsOfLineProgram(use.unit_offset)) visit_unit(unit);
  }
}

struct LineCopies::Search {
  const SourceFile& file;
  uint32_t line;
  Dwarf_Die* unit;
  const FunctionEntry* function;
  size_t budget;
  std::vector<LineSite>& sites;
};

LineCopies::LineCopies(ModuleDebug& debug, const std::vector<LineSite>& sites) : debug_(debug) {
  for (const LineSite& site : sites) {
    units_.insert(site.unit);
    parts_[site.address] = site.part;
    const FunctionEntry* const function = debug.units.FindFunction(site.unit, site.address);
    if (function == nullptr) continue;
    dwarf::ScopeChain chain = dwarf::ReadScopes(function->die, site.address);
    for (dwarf::FunctionScope& scope : chain.functions) {
      copies_.insert(dwarf_dieoffset(&scope.function));
    }
    if (chain.functions.empty()) continue;
    Dwarf_Die source = dwarf::Origin(chain.functions.front().function);
    sources_.insert(dwarf_dieoffset(&source));
  }
}

void LineCopies::AddUnmarked(const SourceFile& file, uint32_t line, std::vector<LineSite>& sites) {
  size_t budget = kMaxUnmarkedDies;
  for (Dwarf_Die* const unit : units_) {
    Search search{file, line, unit, nullptr, budget, sites};
    for (const FunctionEntry& function : debug_.units.Functions(unit)) {
      search.function = &function;
      Walk(function.die, 0, search);
    }
    budget = search.budget;
  }
}

// `copy` is a function, or what is inlined in one.
void LineCopies::Walk(const Dwarf_Die& copy, int depth, Search& search) {
  Dwarf_Die die = copy;
  const bool lacks = !copies_.contains(dwarf_dieoffset(&die)) && !BeginsAtSite(copy);
  WalkInlined(copy, depth, search.budget, [&](const Dwarf_Die& inlined, int at) {
    if (lacks && CallLine(inlined) == search.line && !BeginsAtSite(inlined) &&
        dwarf::CallSite(inlined).file == search.file.path) {
      const std::optional<LinkAddress> address = FirstOwnAddress(inlined);
      if (address) {
        search.sites.push_back(
            {*address, search.unit, search.file.path, search.line, nullptr, PartOf(inlined)});
        return true;
      }
    }
    if (auto site = InRowBefore(inlined, search)) {
      search.sites.push_back(std::move(*site));
      return true;
    }
    Walk(inlined, at + 1, search);
    return true;
  });
}

// GCC may give what is inlined no code at its entry, where the line is marked (see line_runs.cc).
bool LineCopies::BeginsAtSite(Dwarf_Die copy) const {
  Dwarf_Addr entry = 0;
  return dwarf_entrypc(&copy, &entry) == 0 && parts_.contains(LinkAddress(entry));
}

std::optional<LineSite> LineCopies::InRowBefore(const Dwarf_Die& copy, const Search& search) const {
  Dwarf_Die die = copy, source = dwarf::Origin(copy);
  if (copies_.contains(dwarf_dieoffset(&die)) || !sources_.contains(dwarf_dieoffset(&source))) {
    return std::nullopt;
  }
  const std::optional<LinkAddress> address = FirstOwnAddress(copy);
  if (!address) return std::nullopt;
  const dwarf::SourceLine row = dwarf::LineAt(*search.unit, *address);
  if (row.line != search.line || row.file != search.file.path) return std::nullopt;
  if (MarksStatements(*search.unit, search.function->die)) return std::nullopt;
  const auto after = parts_.upper_bound(*address);
  const uint32_t part = after == parts_.begin() ? 1 : std::prev(after)->second;
  return LineSite{*address,    search.unit, search.file.path,
                  search.line, nullptr,     part & (LinePartBits::kNumber | LinePartBits::kPlain)};
}

void EraseInlinedCode(const Dwarf_Die& function, uint32_t line,
                      std::vector<LinkAddress>& addresses) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  size_t budget = kMaxDies;
  WalkInlined(function, 0, budget, [&](const Dwarf_Die& die, int) {
    if (CallLine(die) != line) return false;
    dwarf::ForEachRange(die, [&](LinkAddress start, LinkAddress end) {
      ranges.emplace_back(start.value, end.value);
    });
    return true;
  });
  // They do not overlap: what is inlined into one of them was passed over.
  std::sort(ranges.begin(), ranges.end());
  std::erase_if(addresses, [&](LinkAddress at) {
    const auto after =
        std::upper_bound(ranges.begin(), ranges.end(), std::pair(at.value, UINT64_MAX));
    return after != ranges.begin() && at.value < std::prev(after)->second;
  });
}

}  // namespace stillframe
