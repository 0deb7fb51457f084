#include "symbolizer/scope_reader.h"

#include <algorithm>

#include "symbolizer/dwarf_util.h"
#include "symbolizer/unit_check.h"

namespace stillframe::dwarf {
namespace {

constexpr int kMaxDepth = 128;
constexpr uint32_t kNoNode = UINT32_MAX;

bool IsFunctionTag(int tag) {
  return tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine || tag == DW_TAG_entry_point;
}

bool IsBlockTag(int tag) {
  return tag == DW_TAG_lexical_block || tag == DW_TAG_try_block || tag == DW_TAG_catch_block;
}

// DIEs below which functions, types or variables with a name of their own may stand.
bool HoldsNames(int tag) {
  return tag == DW_TAG_namespace || tag == DW_TAG_module || tag == DW_TAG_union_type ||
         IsStructTag(tag) || IsFunctionTag(tag) || IsBlockTag(tag);
}

bool IsNamedType(int tag) {
  return IsStructTag(tag) || tag == DW_TAG_union_type || tag == DW_TAG_enumeration_type ||
         tag == DW_TAG_typedef || tag == DW_TAG_template_alias;
}

// What -g1 and -gline-tables-only leave out. Where units are imported, it may stand there.
bool TellsOfValues(int tag) {
  return tag == DW_TAG_base_type || tag == DW_TAG_pointer_type || tag == DW_TAG_formal_parameter ||
         tag == DW_TAG_variable || tag == DW_TAG_imported_unit || IsNamedType(tag);
}

bool HasPcs(Dwarf_Die die) {
  return dwarf_hasattr(&die, DW_AT_low_pc) != 0 || dwarf_hasattr(&die, DW_AT_ranges) != 0;
}

// A static member is a DW_TAG_member declaration up to DWARF 4 and a DW_TAG_variable in DWARF 5
// (§5.7.7).
bool IsStaticMember(Dwarf_Die die) {
  return Flag(die, DW_AT_declaration, false) || Flag(die, DW_AT_external, false);
}

}  // namespace

UnitIndex::UnitIndex(Dwarf_Die unit) : unit_(unit) {
  nodes_.push_back({unit.addr, kNoNode});
  die_of_node_.emplace(0, 0);
  node_dies_.push_back(unit);
  Walk(unit, 0, 0, false);
}

void UnitIndex::Walk(const Dwarf_Die& parent, uint32_t parent_node, int depth, bool in_function) {
  if (depth > kMaxDepth) return;
  ForEachChild(parent, [&](const Dwarf_Die& child) {
    Visit(child, parent_node, depth, in_function);
    return true;
  });
}

void UnitIndex::Visit(Dwarf_Die die, uint32_t parent_node, int depth, bool in_function) {
  if (die.addr <= last_) return;
  last_ = die.addr;
  const int tag = dwarf_tag(&die);
  const bool holds = HoldsNames(tag);
  const bool is_type = IsNamedType(tag);
  describes_values_ = describes_values_ || TellsOfValues(tag);
  const bool is_variable = tag == DW_TAG_variable || (tag == DW_TAG_member && IsStaticMember(die));
  if (!holds && !is_type && !is_variable) return;
  if (is_variable && in_function) return;
  const auto node = static_cast<uint32_t>(nodes_.size());
  nodes_.push_back({die.addr, parent_node});
  if (is_variable) AddVariable(die, in_function);
  if (is_type && !Name(die).empty()) types_[Name(die)].push_back(die);
  if (tag == DW_TAG_enumeration_type) enums_.push_back(die);
  if (!holds) return;
  const bool function = IsFunctionTag(tag);
  if (tag == DW_TAG_subprogram) AddFunction(die);
  die_of_node_.emplace(node, static_cast<uint32_t>(node_dies_.size()));
  node_dies_.push_back(die);
  Walk(die, node, depth + 1, in_function || function);
}

void UnitIndex::AddVariable(const Dwarf_Die& die, bool in_function) {
  if (in_function) return;
  const std::string_view name = Name(die);
  if (!name.empty()) variables_[name].push_back(die);
}

void UnitIndex::AddFunction(Dwarf_Die die) {
  if (!HasPcs(die)) return;
  ForEachRange(die, [&](LinkAddress low, LinkAddress high) {
    functions_.push_back({low.value, high.value, die});
  });
}

std::optional<Dwarf_Die> UnitIndex::FunctionAt(LinkAddress pc) const {
  const Function* best = nullptr;
  for (const Function& f : functions_) {
    if (pc.value < f.low || pc.value >= f.high) continue;
    if (best == nullptr || f.high - f.low < best->high - best->low) best = &f;
  }
  if (best == nullptr) return std::nullopt;
  return best->die;
}

std::optional<Dwarf_Die> UnitIndex::ParentOf(const Dwarf_Die& die) const {
  const auto found =
      std::lower_bound(nodes_.begin(), nodes_.end(), die.addr,
                       [](const Node& node, const void* at) { return node.address < at; });
  if (found == nodes_.end() || found->address != die.addr) return std::nullopt;
  const auto parent = die_of_node_.find(found->parent);
  if (parent == die_of_node_.end()) return std::nullopt;
  return node_dies_[parent->second];
}

const std::vector<Dwarf_Die>* UnitIndex::VariablesNamed(std::string_view name) const {
  const auto found = variables_.find(name);
  return found == variables_.end() ? nullptr : &found->second;
}

const std::vector<Dwarf_Die>* UnitIndex::TypesNamed(std::string_view name) const {
  const auto found = types_.find(name);
  return found == types_.end() ? nullptr : &found->second;
}

std::vector<std::string_view> UnitIndex::VariableNames(size_t max) const {
  std::vector<std::string_view> names;
  for (const auto& entry : variables_) {
    if (names.size() >= max) break;
    names.push_back(entry.first);
  }
  std::sort(names.begin(), names.end());
  return names;
}

const UnitIndex* UnitCache::For(const Dwarf_Die& die) {
  const std::optional<Dwarf_Die> unit = UnitOf(die);
  if (!unit) return nullptr;
  if (checks_ != nullptr && !checks_->MayRead(*unit)) return nullptr;
  std::unique_ptr<UnitIndex>& slot = units_[unit->addr];
  if (slot == nullptr) slot = std::make_unique<UnitIndex>(*unit);
  return slot.get();
}

std::optional<Dwarf_Die> UnitCache::ParentOf(const Dwarf_Die& die) {
  const UnitIndex* index = For(die);
  return index == nullptr ? std::nullopt : index->ParentOf(die);
}

namespace {

// Functions inside functions (local classes, lambdas) may stand outside the ranges of what
// contains them, so `prune` is tried first and a full walk only when it finds nothing.
void FindFunctionBelow(const Dwarf_Die& parent, LinkAddress pc, bool prune, int depth,
                       const void*& last, std::optional<Dwarf_Die>& found) {
  if (depth > kMaxDepth) return;
  ForEachChild(parent, [&](Dwarf_Die child) {
    if (child.addr <= last) return false;  // damage: see UnitIndex::last_
    last = child.addr;
    const int tag = dwarf_tag(&child);
    if (tag == DW_TAG_subprogram) {
      const bool covers = dwarf_haspc(&child, pc.value) == 1;
      if (covers) found = child;
      if (covers || !prune) FindFunctionBelow(child, pc, prune, depth + 1, last, found);
    } else if (HoldsNames(tag) && (!prune || !IsFunctionTag(tag))) {
      FindFunctionBelow(child, pc, prune, depth + 1, last, found);
    }
    return !(prune && found.has_value());
  });
}

// One step down from `scope`: opens the block or inlined call that covers pc. Blocks without pcs
// are transparent, as GDB treats them: their children belong to the scope around them. GCC may
// write a tree of blocks twice, first without pcs and locations, so such a block does not end the
// search.
class ScopeWalk {
 public:
  ScopeWalk(LinkAddress pc, ScopeChain& chain) : pc_(pc), chain_(chain) {}

  // Whether something that covers pc was opened.
  bool Descend(const Dwarf_Die& scope, int depth) {
    bool entered = false;
    if (depth > kMaxDepth) return entered;
    ForEachChild(scope, [&](Dwarf_Die child) {
      if (child.addr <= last_) return false;  // damage: see UnitIndex::last_
      last_ = child.addr;
      const int tag = dwarf_tag(&child);
      if (!IsBlockTag(tag) && tag != DW_TAG_inlined_subroutine) return true;
      if (!HasPcs(child)) {
        if (!IsBlockTag(tag)) return true;
        Enter(child, false);  // its variables are visible in the scope around it
        entered = Descend(child, depth + 1);
      } else if (dwarf_haspc(&child, pc_.value) == 1) {
        Enter(child, tag == DW_TAG_inlined_subroutine);
        Descend(child, depth + 1);
        entered = true;
      }
      return !entered;
    });
    return entered;
  }

 private:
  void Enter(const Dwarf_Die& die, bool inlined) {
    if (inlined) {
      chain_.functions.insert(chain_.functions.begin(), FunctionScope{die, {}, true});
    } else {
      auto& blocks = chain_.functions.front().blocks;
      blocks.insert(blocks.begin(), die);
    }
  }

  LinkAddress pc_;
  ScopeChain& chain_;
  const void* last_ = nullptr;
};

}  // namespace

bool BeginsAt(const FunctionScope& scope, LinkAddress pc) {
  Dwarf_Die function = scope.function;
  Dwarf_Addr entry = 0;
  return dwarf_entrypc(&function, &entry) == 0 && entry == pc.value;
}

std::optional<Dwarf_Die> FindFunction(const Dwarf_Die& unit, LinkAddress pc) {
  std::optional<Dwarf_Die> found;
  const void* last = nullptr;
  FindFunctionBelow(unit, pc, true, 0, last, found);
  last = nullptr;
  if (!found) FindFunctionBelow(unit, pc, false, 0, last, found);
  return found;
}

ScopeChain ReadScopes(const Dwarf_Die& subprogram, LinkAddress pc) {
  ScopeChain chain;
  chain.functions.push_back(FunctionScope{subprogram, {}, false});
  ScopeWalk(pc, chain).Descend(subprogram, 0);
  return chain;
}

}  // namespace stillframe::dwarf
