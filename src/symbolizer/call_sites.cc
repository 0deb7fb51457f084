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

class CallerSearch {
 public:
  CallerSearch(Dwarf_Die function, uint32_t max)
      : identities_(IdentitiesOf(function)), external_name_(ExternalName(&function)), max_(max) {}

  bool Done() const { return found_.size() >= max_ || visited_ >= kMaxDies; }
  bool HasExternalName() const { return !external_name_.empty(); }

  void Walk(Dwarf_Die* parent, bool inside_function, int depth) {
    Dwarf_Die die;
    if (depth > kMaxDepth || dwarf_child(parent, &die) != 0) return;
    do {
      ++visited_;
      if (Done()) return;
      const int tag = dwarf_tag(&die);
      if (tag == DW_TAG_call_site || tag == DW_TAG_GNU_call_site) {
        Visit(&die);
      } else if (tag == DW_TAG_subprogram || tag == DW_TAG_namespace || inside_function ||
                 tag == DW_TAG_structure_type || tag == DW_TAG_class_type) {
        Walk(&die, inside_function || tag == DW_TAG_subprogram, depth + 1);
      }
    } while (dwarf_siblingof(&die, &die) == 0);
  }

  std::vector<LinkAddress> Take() {
    std::sort(found_.begin(), found_.end());
    found_.erase(std::unique(found_.begin(), found_.end()), found_.end());
    return std::move(found_);
  }

 private:
  void Visit(Dwarf_Die* site) {
    const bool gnu = dwarf_tag(site) == DW_TAG_GNU_call_site;
    Dwarf_Die callee;
    LinkAddress address;
    if (!Follow(site, gnu ? DW_AT_abstract_origin : DW_AT_call_origin, &callee)) return;
    if (!IsTarget(callee) || !ReturnAddress(site, address)) return;
    found_.push_back(address);
  }

  bool IsTarget(Dwarf_Die callee) const {
    if (identities_.count(callee.addr) != 0) return true;
    return HasExternalName() && ExternalName(&callee) == external_name_;
  }

  std::set<const void*> identities_;
  std::string external_name_;
  uint32_t max_;
  size_t visited_ = 0;
  std::vector<LinkAddress> found_;
};

}  // namespace

std::vector<LinkAddress> FindCallers(UnitIndex& units, LinkAddress address, uint32_t max) {
  Dwarf_Die* own = units.FindByAddress(address);
  if (own == nullptr || max == 0) return {};
  const FunctionEntry* function = units.FindFunction(own, address);
  if (function == nullptr) return {};
  CallerSearch search(function->die, max);
  search.Walk(own, false, 0);
  for (size_t i = 0; i < units.unit_count() && search.HasExternalName() && !search.Done(); ++i) {
    if (units.unit(i) != own) search.Walk(units.unit(i), false, 0);
  }
  return search.Take();
}

}  // namespace stillframe
