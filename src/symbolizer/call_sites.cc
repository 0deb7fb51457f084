#include "symbolizer/call_sites.h"

#include <dwarf.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>

namespace stillframe {
namespace {

constexpr size_t kMaxDies = 2u << 20;  // about a tenth of a second
constexpr int kMaxDepth = 64;

std::string_view LinkageName(Dwarf_Die* die) {
  for (const unsigned name : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
    Dwarf_Attribute attribute;
    if (dwarf_attr_integrate(die, name, &attribute) == nullptr) continue;
    const char* text = dwarf_formstring(&attribute);
    if (text != nullptr) return text;
  }
  return "";
}

bool Follow(Dwarf_Die* die, unsigned name, Dwarf_Die* target) {
  Dwarf_Attribute attribute;
  return dwarf_attr(die, name, &attribute) != nullptr &&
         dwarf_formref_die(&attribute, target) != nullptr;
}

// What other units know a function by: its linkage name, or its plain name for extern "C"
// functions.
// "" for functions that no other unit can call.
std::string_view ExternalName(Dwarf_Die* die) {
  Dwarf_Attribute attribute;
  bool external = false;
  if (dwarf_attr_integrate(die, DW_AT_external, &attribute) == nullptr ||
      dwarf_formflag(&attribute, &external) != 0 || !external) {
    return "";
  }
  const std::string_view linkage = LinkageName(die);
  if (!linkage.empty()) return linkage;
  const char* name = dwarf_diename(die);
  return name == nullptr ? "" : name;
}

// The function and what it is an instance or definition of: call sites may name any of them.
std::set<const void*> IdentitiesOf(Dwarf_Die die) {
  std::set<const void*> identities;
  for (int step = 0; step < 8; ++step) {
    identities.insert(die.addr);
    Dwarf_Die next;
    if (!Follow(&die, DW_AT_abstract_origin, &next) && !Follow(&die, DW_AT_specification, &next)) {
      break;
    }
    die = next;
  }
  return identities;
}

// The return address that a call site entry gives; nothing for tail calls, which leave none.
bool ReturnAddress(Dwarf_Die* site, LinkAddress& address) {
  const bool gnu = dwarf_tag(site) == DW_TAG_GNU_call_site;
  if (dwarf_hasattr(site, gnu ? DW_AT_GNU_tail_call : DW_AT_call_tail_call) != 0) return false;
  Dwarf_Attribute attribute;
  Dwarf_Addr value = 0;
  if (dwarf_attr(site, gnu ? DW_AT_low_pc : DW_AT_call_return_pc, &attribute) == nullptr ||
      dwarf_formaddr(&attribute, &value) != 0 || value == 0) {
    return false;
  }
  address = LinkAddress(value);
  return true;
}

}  // namespace

void CallSiteIndex::Walk(Dwarf_Die* parent, bool inside_function, int depth, size_t max_dies) {
  Dwarf_Die die;
  if (depth > kMaxDepth || dwarf_child(parent, &die) != 0) return;
  do {
    if (++visited_ >= max_dies) return;
    const int tag = dwarf_tag(&die);
    if (tag == DW_TAG_call_site || tag == DW_TAG_GNU_call_site) {
      Visit(&die);
    } else if (tag == DW_TAG_subprogram || tag == DW_TAG_namespace || inside_function ||
               tag == DW_TAG_structure_type || tag == DW_TAG_class_type) {
      Walk(&die, inside_function || tag == DW_TAG_subprogram, depth + 1, max_dies);
    }
  } while (dwarf_siblingof(&die, &die) == 0);
}

void CallSiteIndex::Visit(Dwarf_Die* site) {
  const bool gnu = dwarf_tag(site) == DW_TAG_GNU_call_site;
  Dwarf_Die callee;
  LinkAddress address;
  if (!Follow(site, gnu ? DW_AT_abstract_origin : DW_AT_call_origin, &callee)) return;
  if (!ReturnAddress(site, address)) return;
  by_callee_[callee.addr].push_back(address);
  const auto [name, is_new] = names_.try_emplace(callee.addr);
  if (is_new) name->second = ExternalName(&callee);
  if (!name->second.empty()) by_name_[name->second].push_back(address);
}

void CallSiteIndex::WalkUnit(Dwarf_Die* unit, size_t max_dies) {
  if (walked_.insert(unit->addr).second) Walk(unit, false, 0, max_dies);
}

std::vector<LinkAddress> CallSiteIndex::FindCallers(UnitIndex& units, LinkAddress address,
                                                    uint32_t max) {
  Dwarf_Die* own = units.FindByAddress(address);
  if (own == nullptr || max == 0) return {};
  const FunctionEntry* function = units.FindFunction(own, address);
  if (function == nullptr) return {};
  WalkUnit(own, visited_ + kMaxDies);
  Dwarf_Die die = function->die;
  const std::string_view name = ExternalName(&die);
  for (size_t i = 0; i < units.unit_count() && !name.empty() && visited_ < kMaxDies; ++i) {
    WalkUnit(units.unit(i), kMaxDies);
  }
  std::vector<LinkAddress> found;
  for (const void* identity : IdentitiesOf(function->die)) {
    const auto calls = by_callee_.find(identity);
    if (calls == by_callee_.end()) continue;
    found.insert(found.end(), calls->second.begin(), calls->second.end());
  }
  if (const auto calls = by_name_.find(name); !name.empty() && calls != by_name_.end()) {
    found.insert(found.end(), calls->second.begin(), calls->second.end());
  }
  if (found.size() > max) found.resize(max);
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

}  // namespace stillframe
