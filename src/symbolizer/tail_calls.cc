#include "symbolizer/tail_calls.h"

#include <dwarf.h>

#include <algorithm>
#include <set>

#include "symbolizer/call_site_reader.h"
#include "symbolizer/dwarf_util.h"

namespace stillframe {
namespace {

constexpr size_t kMaxFunctions = 128;

// The entries of the function that a call site names: the DIE itself, or its instances in the unit,
// or what the symbol table knows under its name.
std::vector<LinkAddress> EntriesOf(const Dwarf_Die& callee, UnitIndex& units,
                                   const SymbolTable& symbols) {
  std::vector<LinkAddress> entries;
  if (const LinkAddress own = dwarf::FunctionEntryOf(callee); own.value != 0) return {own};
  const Dwarf_Die origin = dwarf::Origin(callee);
  Dwarf_Die copy = callee;
  Dwarf_Die unit_die;
  if (dwarf_diecu(&copy, &unit_die, nullptr, nullptr) != nullptr) {
    for (const FunctionEntry& function : units.Functions(&unit_die)) {
      if (dwarf::Origin(function.die).addr == origin.addr) entries.push_back(function.entry);
    }
  }
  std::string_view name = dwarf::LinkageName(origin);
  if (name.empty()) name = dwarf::Name(origin);
  if (entries.empty() && !name.empty()) {
    if (const auto address = symbols.FindByName(name)) entries.push_back(*address);
  }
  return entries;
}

// An address in the jump; 0 when it is not told.
LinkAddress InsideOf(const dwarf::TailCall& call) {
  if (call.at.value != 0) return call.at;
  return call.after.value != 0 ? call.after - 1 : LinkAddress(0);
}

}  // namespace

const TailCallGraph::Node& TailCallGraph::Read(LinkAddress entry, UnitIndex& units,
                                               const SymbolTable& symbols) {
  const auto [known, is_new] = nodes_.try_emplace(entry);
  Node& node = known->second;
  if (!is_new) return node;
  Dwarf_Die* const unit = units.FindByAddress(entry);
  const FunctionEntry* const function = unit == nullptr ? nullptr : units.FindFunction(unit, entry);
  if (function == nullptr) return node;
  for (const dwarf::TailCall& call : dwarf::TailCalls(function->die)) {
    if (!call.callee) {
      node.has_unknown = true;
      continue;
    }
    for (const LinkAddress callee : EntriesOf(*call.callee, units, symbols)) {
      node.jumps.push_back({callee, InsideOf(call)});
    }
  }
  return node;
}

bool TailCallGraph::MayReachItself(LinkAddress entry, UnitIndex& units,
                                   const SymbolTable& symbols) {
  std::set<LinkAddress> seen;
  std::vector<LinkAddress> open{entry};
  while (!open.empty()) {
    const LinkAddress at = open.back();
    open.pop_back();
    const Node& node = Read(at, units, symbols);
    if (node.has_unknown) return true;
    for (const Jump& jump : node.jumps) {
      if (jump.callee == entry) return true;
      if (!seen.insert(jump.callee).second) continue;
      if (seen.size() > kMaxFunctions) return true;
      open.push_back(jump.callee);
    }
  }
  return false;
}

std::vector<TailCallGraph::Step> TailCallGraph::Between(LinkAddress called, LinkAddress running,
                                                        UnitIndex& units,
                                                        const SymbolTable& symbols) {
  if (called == running) return {};
  // Everything that may have run in between, and who jumps there.
  std::set<LinkAddress> seen{called};
  std::multimap<LinkAddress, LinkAddress> jumps_from;
  std::vector<LinkAddress> open{called};
  while (!open.empty()) {
    const LinkAddress at = open.back();
    open.pop_back();
    const Node& node = Read(at, units, symbols);
    if (node.has_unknown) return {};
    for (const Jump& jump : node.jumps) {
      jumps_from.emplace(jump.callee, at);
      if (jump.callee == running || !seen.insert(jump.callee).second) continue;
      if (seen.size() > kMaxFunctions) return {};
      open.push_back(jump.callee);
    }
  }
  if (jumps_from.contains(called)) return {};  // any number of rounds
  // Back from the end: one way only, if each was jumped to by one function.
  std::vector<Step> steps;
  for (LinkAddress at = running; at != called;) {
    const auto [first, last] = jumps_from.equal_range(at);
    if (first == last || steps.size() > kMaxFunctions) return {};
    const LinkAddress from = first->second;
    if (std::any_of(first, last, [&](const auto& other) { return other.second != from; })) {
      return {};
    }
    Step step{from, LinkAddress(0)};
    size_t count = 0;
    for (const Jump& jump : Read(from, units, symbols).jumps) {
      if (jump.callee == at && ++count == 1) step.inside = jump.inside;
    }
    if (count != 1) step.inside = LinkAddress(0);
    steps.push_back(step);
    at = from;
  }
  return steps;
}

}  // namespace stillframe
