#include "symbolizer/inlined_call_sites.h"

#include <dwarf.h>

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
  return static_cast<uint32_t>(column) << kRepeatBits | 1;
}

}  // namespace

std::optional<LinkAddress> FirstOwnAddress(Dwarf_Die die) {
  constexpr int kMaxRanges = 1024;
  Dwarf_Addr entry = 0, base = 0, start = 0, end = 0;
  if (dwarf_entrypc(&die, &entry) != 0 || entry == 0) return std::nullopt;
  std::optional<LinkAddress> first;
  ptrdiff_t offset = 0;
  for (int i = 0; i < kMaxRanges; ++i) {
    offset = dwarf_ranges(&die, offset, &base, &start, &end);
    if (offset <= 0) break;
    if (start <= entry && entry < end) return LinkAddress(entry);
    if (start < entry || start == end) continue;
    if (!first || LinkAddress(start) < *first) first = LinkAddress(start);
  }
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
  size_t budget = kMaxDies;
  WalkInlined(function, 0, budget, [&](Dwarf_Die die) {
    if (CallLine(die) != line) return false;
    std::erase_if(addresses, [&](LinkAddress at) { return dwarf_haspc(&die, at.value) == 1; });
    return true;
  });
}

}  // namespace stillframe
