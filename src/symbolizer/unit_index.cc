#include "symbolizer/unit_index.h"

#include <dwarf.h>

#include <algorithm>

#include "symbolizer/dwarf_util.h"

namespace stillframe {
namespace {

constexpr size_t kMaxUnits = 1u << 20;
constexpr size_t kMaxIntervals = 1u << 22;
// A walk over one unit stops here; the largest units of real programs have a few million entries.
constexpr size_t kMaxDiesPerUnit = 1u << 22;
constexpr int kMaxDepth = 64;
constexpr size_t kGiveBackEvery = 256;  // units: each is some 64 KiB of pages around its root

void AddFunction(Dwarf_Die* die, std::vector<FunctionEntry>& functions) {
  FunctionEntry entry;
  bool found = false;
  Dwarf_Addr low = 0;
  const bool has_low = dwarf_lowpc(die, &low) == 0;
  dwarf::ForEachRange(*die, [&](LinkAddress start, LinkAddress end) {
    // A function split into hot and cold parts has its entry in the first range.
    if (found && !(has_low && start.value == low)) return;
    entry.entry = start;
    entry.entry_end = end;
    found = true;
  });
  if (!found) return;
  entry.die = *die;
  functions.push_back(entry);
}

// Functions may stand anywhere in the tree: in namespaces, classes, and (lambdas, local classes) in
// other functions. Inlined instances and variables have nothing below them that we want.
class FunctionWalk {
 public:
  explicit FunctionWalk(std::vector<FunctionEntry>& functions) : functions_(functions) {}

  void Children(Dwarf_Die* parent, int depth) {
    Dwarf_Die die;
    if (depth > kMaxDepth || dwarf_child(parent, &die) != 0) return;
    do {
      if (++visited_ > kMaxDiesPerUnit) return;
      const int tag = dwarf_tag(&die);
      if (tag == DW_TAG_subprogram) AddFunction(&die, functions_);
      if (MayHoldFunctions(tag)) Children(&die, depth + 1);
    } while (dwarf_siblingof(&die, &die) == 0);
  }

 private:
  static bool MayHoldFunctions(int tag) {
    return tag == DW_TAG_subprogram || tag == DW_TAG_namespace || tag == DW_TAG_structure_type ||
           tag == DW_TAG_class_type || tag == DW_TAG_union_type || tag == DW_TAG_lexical_block ||
           tag == DW_TAG_module;
  }

  std::vector<FunctionEntry>& functions_;
  size_t visited_ = 0;
};

}  // namespace

void UnitIndex::ReadUnits() {
  if (units_read_) return;
  units_read_ = true;
  Dwarf_CU* cu = nullptr;
  Dwarf_Die root;
  while (units_.size() < kMaxUnits &&
         dwarf_get_units(dwarf_, cu, &cu, nullptr, nullptr, &root, nullptr) == 0) {
    if (dwarf_tag(&root) != DW_TAG_compile_unit && dwarf_tag(&root) != DW_TAG_skeleton_unit) {
      continue;
    }
    Unit unit;
    unit.root = root;
    Dwarf_Attribute attribute;
    Dwarf_Word stmt_list = 0;
    if (dwarf_attr(&root, DW_AT_stmt_list, &attribute) != nullptr &&
        dwarf_formudata(&attribute, &stmt_list) == 0) {
      unit.stmt_list = stmt_list;
      unit.has_stmt_list = true;
    }
    units_.push_back(unit);
    if (units_.size() % kGiveBackEvery == 0) give_back_();
  }
  for (uint32_t i = 0; i < units_.size(); ++i) {
    if (units_[i].has_stmt_list) by_stmt_list_.emplace(units_[i].stmt_list, i);
  }
}

Dwarf_Die* UnitIndex::Body(Unit& unit) {
  if (!unit.has_body) {
    unit.body = split_units_.BodyOf(unit.root).value_or(unit.root);
    unit.may_read = checks_.MayRead(unit.body);
  }
  unit.has_body = true;
  return unit.may_read ? &unit.body : nullptr;
}

void UnitIndex::ReadIntervals() {
  if (intervals_read_) return;
  intervals_read_ = true;
  ReadUnits();
  for (uint32_t i = 0; i < units_.size(); ++i) {
    if (i % kGiveBackEvery == kGiveBackEvery - 1) give_back_();
    dwarf::ForEachRange(units_[i].root, [&](LinkAddress start, LinkAddress end) {
      // 0 is where linkers leave the ranges of code that they discarded.
      if (start.value == 0 || intervals_.size() >= kMaxIntervals) return;
      intervals_.push_back({start, end, end, i});
    });
  }
  std::sort(intervals_.begin(), intervals_.end(),
            [](const Interval& a, const Interval& b) { return a.start < b.start; });
  LinkAddress max_end;
  for (Interval& interval : intervals_) {
    max_end = std::max(max_end, interval.end);
    interval.max_end = max_end;
  }
}

size_t UnitIndex::unit_count() {
  ReadUnits();
  return units_.size();
}

Dwarf_Die* UnitIndex::FindByAddress(LinkAddress address) {
  ReadIntervals();
  auto it = std::upper_bound(
      intervals_.begin(), intervals_.end(), address,
      [](LinkAddress wanted, const Interval& interval) { return wanted < interval.start; });
  // Ranges of units do not overlap in sound files; in others the nearest start wins.
  constexpr int kMaxSteps = 1024;
  for (int step = 0; step < kMaxSteps && it != intervals_.begin(); ++step) {
    --it;
    if (address < it->end) return Body(units_[it->unit]);
    if (address >= it->max_end) return nullptr;
  }
  return nullptr;
}

Dwarf_Die* UnitIndex::FindByLineProgram(uint64_t stmt_list, LinkAddress address) {
  ReadUnits();
  const auto [first, last] = by_stmt_list_.equal_range(stmt_list);
  for (auto it = first; it != last; ++it) {
    Unit& unit = units_[it->second];
    if (dwarf_haspc(&unit.root, address.value) == 1) return Body(unit);
  }
  return FindByAddress(address);
}

std::vector<Dwarf_Die*> UnitIndex::UnitsOfLineProgram(uint64_t stmt_list) {
  ReadUnits();
  std::vector<Dwarf_Die*> found;
  const auto [first, last] = by_stmt_list_.equal_range(stmt_list);
  for (auto it = first; it != last; ++it) {
    if (Dwarf_Die* const unit = Body(units_[it->second])) found.push_back(unit);
  }
  return found;
}

std::string UnitIndex::CompilationFolder(uint64_t stmt_list) {
  ReadUnits();
  const auto [first, last] = by_stmt_list_.equal_range(stmt_list);
  for (auto it = first; it != last; ++it) {
    Dwarf_Attribute attribute;
    Dwarf_Die* root = &units_[it->second].root;
    if (dwarf_attr(root, DW_AT_comp_dir, &attribute) == nullptr) continue;
    const char* folder = dwarf_formstring(&attribute);
    if (folder != nullptr) return folder;
  }
  return "";
}

const std::vector<FunctionEntry>& UnitIndex::Functions(Dwarf_Die* unit) {
  const auto [it, added] = functions_.try_emplace(unit->addr);
  if (added) {
    FunctionWalk(it->second).Children(unit, 0);
    std::sort(it->second.begin(), it->second.end(),
              [](const FunctionEntry& a, const FunctionEntry& b) { return a.entry < b.entry; });
  }
  return it->second;
}

const FunctionEntry* UnitIndex::FindFunction(Dwarf_Die* unit, LinkAddress address) {
  const std::vector<FunctionEntry>& functions = Functions(unit);
  const auto after = std::upper_bound(
      functions.begin(), functions.end(), address,
      [](LinkAddress wanted, const FunctionEntry& entry) { return wanted < entry.entry; });
  if (after != functions.begin() && address < std::prev(after)->entry_end) {
    return &*std::prev(after);
  }
  // Perhaps in the cold part of a function.
  for (const FunctionEntry& entry : functions) {
    Dwarf_Die die = entry.die;
    if (dwarf_haspc(&die, address.value) == 1) return &entry;
  }
  return nullptr;
}

}  // namespace stillframe
