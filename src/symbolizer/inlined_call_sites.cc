#include "symbolizer/inlined_call_sites.h"

#include <dwarf.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "plan/line_part.h"
#include "symbolizer/dwarf_util.h"
#include "symbolizer/inline_chain_lines.h"

namespace stillframe {
namespace {

constexpr size_t kMaxDies = 1u << 20;
constexpr int kMaxDepth = 64;
constexpr uint32_t kRepeatBits = 8;  // as the line index numbers parts

// Calls visit(die) for the inlined calls in the function's code until it has seen `budget` DIEs;
// what is inlined into a call that visit takes (true) is passed over.
template <typename Visit>
void WalkInlined(const Dwarf_Die& parent, int depth, size_t& budget, const Visit& visit) {
  if (depth > kMaxDepth) return;
  dwarf::ForEachChild(parent, [&](const Dwarf_Die& die) {
    if (budget == 0) return false;
    --budget;
    const int tag = dwarf::Tag(die);
    const bool inlined = tag == DW_TAG_inlined_subroutine;
    if (inlined && visit(die)) return true;
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
      WalkInlined(function.die, 0, budget, [&](const Dwarf_Die& die) {
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

void EraseInlinedCode(const Dwarf_Die& function, uint32_t line,
                      std::vector<LinkAddress>& addresses) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  size_t budget = kMaxDies;
  WalkInlined(function, 0, budget, [&](const Dwarf_Die& die) {
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
