// What one unit holds, read in a single pass and kept: functions by address, the parent of every
// scope-like DIE (libdw has no upward links), and the names visible outside functions. On top of
// it: the chain of blocks and inlined calls at a pc.
//
// Threads: the one that owns the Dwarf.
#ifndef STILLFRAME_SYMBOLIZER_SCOPE_READER_H_
#define STILLFRAME_SYMBOLIZER_SCOPE_READER_H_

#include <dwarf.h>
#include <elfutils/libdw.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "symbolizer/dwarf_util.h"

namespace stillframe {
class ClassIndex;
class DataImports;
class Formatters;
class SplitUnits;
class UnitChecks;
}  // namespace stillframe

namespace stillframe::dwarf {

class UnitIndex {
 public:
  // Walks the unit below `unit` (bounded by the unit itself; nesting past a limit is skipped).
  explicit UnitIndex(Dwarf_Die unit);

  // The innermost concrete function whose ranges hold pc.
  std::optional<Dwarf_Die> FunctionAt(LinkAddress pc) const;
  // The DIE that contains `die`; nullopt for the unit itself and for DIEs that open no scope and
  // are no variable or type.
  std::optional<Dwarf_Die> ParentOf(const Dwarf_Die& die) const;
  // Variables and static members outside functions, and types, by unqualified name. Types come
  // with and without a definition.
  const std::vector<Dwarf_Die>* VariablesNamed(std::string_view name) const;
  const std::vector<Dwarf_Die>* TypesNamed(std::string_view name) const;
  // Types whose name is `head`, alone or with template arguments, until visit(die) is false.
  template <typename Visit>
  void ForEachClassNamed(std::string_view head, bool is_template, Visit visit) const {
    if (const std::vector<Dwarf_Die>* dies = TypesNamed(head)) {
      for (const Dwarf_Die& die : *dies) {
        if (IsStructTag(Tag(die)) && !visit(die)) return;
      }
    }
    if (!is_template) return;
    for (const auto& [name, dies] : types_) {
      if (!name.starts_with(head) || name.size() == head.size() || name[head.size()] != '<') {
        continue;
      }
      for (const Dwarf_Die& die : dies) {
        if (IsStructTag(Tag(die)) && !visit(die)) return;
      }
    }
  }
  const std::vector<Dwarf_Die>& enums() const { return enums_; }
  // False for a unit that was compiled with -g1 or -gline-tables-only.
  bool describes_values() const { return describes_values_; }
  std::vector<std::string_view> VariableNames(size_t max) const;
  const Dwarf_Die& unit() const { return unit_; }

 private:
  using ByName = std::unordered_map<std::string_view, std::vector<Dwarf_Die>>;
  struct Function {
    uint64_t low;
    uint64_t high;
    Dwarf_Die die;
  };
  struct Node {
    const void* address;
    uint32_t parent;
  };
  void Walk(const Dwarf_Die& parent, uint32_t parent_node, int depth, bool in_function);
  void Visit(Dwarf_Die die, uint32_t parent_node, int depth, bool in_function);
  void AddFunction(Dwarf_Die die);
  void AddVariable(const Dwarf_Die& die, bool in_function);

  Dwarf_Die unit_;
  const void* last_ = nullptr;  // a sound walk meets DIEs in ascending order: no loops, linear time
  std::vector<Function> functions_;
  std::vector<Node> nodes_;           // ascending addresses: the walk is in file order
  std::vector<Dwarf_Die> node_dies_;  // of nodes that have children of interest
  std::unordered_map<uint32_t, uint32_t> die_of_node_;
  ByName variables_;
  ByName types_;
  std::vector<Dwarf_Die> enums_;
  bool describes_values_ = false;
};

// Indexes by unit, built on first use. Everything it returns lives as long as it does.
class UnitCache {
 public:
  // Of the unit that holds `die`; nullptr when the DIE has none, or it may not be read.
  const UnitIndex* For(const Dwarf_Die& die);
  // The parent of the DIE itself (not of its origin).
  std::optional<Dwarf_Die> ParentOf(const Dwarf_Die& die);
  // The classes of the same module; nullptr when nobody set it.
  ClassIndex* classes() const { return classes_; }
  void set_classes(ClassIndex* classes) { classes_ = classes; }
  // Where the module finds data of others; nullptr when nobody set it.
  DataImports* imports() const { return imports_; }
  void set_imports(DataImports* imports) { imports_ = imports; }
  // The user's formatters; nullptr when nobody set them.
  const Formatters* formatters() const { return formatters_; }
  void set_formatters(const Formatters* formatters) { formatters_ = formatters; }
  // Where the module's split units come from; nullptr when nobody set it: none are looked for.
  SplitUnits* split_units() const { return split_units_; }
  void set_split_units(SplitUnits* split_units) { split_units_ = split_units; }
  // Which units may be read; when nobody set it, all.
  void set_checks(UnitChecks* checks) { checks_ = checks; }

 private:
  std::unordered_map<const void*, std::unique_ptr<UnitIndex>> units_;
  UnitChecks* checks_ = nullptr;
  SplitUnits* split_units_ = nullptr;
  ClassIndex* classes_ = nullptr;
  DataImports* imports_ = nullptr;
  const Formatters* formatters_ = nullptr;
};

// One source-level function at a pc: a DW_TAG_inlined_subroutine or the DW_TAG_subprogram.
struct FunctionScope {
  Dwarf_Die function;
  std::vector<Dwarf_Die> blocks;  // innermost first; the function itself is not among them
  bool inlined = false;
};

bool BeginsAt(const FunctionScope& scope, LinkAddress pc);

// Innermost first; the last one is the concrete function. Empty when no function covers pc.
struct ScopeChain {
  std::vector<FunctionScope> functions;
  const Dwarf_Die& subprogram() const { return functions.back().function; }
};

// The concrete function that covers pc, found without an index (for single look-ups).
std::optional<Dwarf_Die> FindFunction(const Dwarf_Die& unit, LinkAddress pc);
// Blocks and inlined calls that cover pc inside `subprogram`.
ScopeChain ReadScopes(const Dwarf_Die& subprogram, LinkAddress pc);

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_SCOPE_READER_H_
