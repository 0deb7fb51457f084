// Compile units by line program and by address. GCC's .debug_aranges is not used: Clang writes
// none.
#ifndef STILLFRAME_SYMBOLIZER_UNIT_INDEX_H_
#define STILLFRAME_SYMBOLIZER_UNIT_INDEX_H_

#include <elfutils/libdw.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "symbolizer/split_units.h"
#include "symbolizer/unit_check.h"

namespace stillframe {

// The concrete functions of a unit: subprograms with code.
struct FunctionEntry {
  LinkAddress entry;      // DW_AT_low_pc or the first range's start
  LinkAddress entry_end;  // end of the range that holds `entry`
  Dwarf_Die die;
};

class UnitIndex {
 public:
  // `dwarf`, `split_units` and `checks` must outlive this. Everything is read on first use.
  // `give_back` is called now and then during walks over all units.
  UnitIndex(Dwarf* dwarf, SplitUnits& split_units, UnitChecks& checks,
            std::function<void()> give_back)
      : dwarf_(dwarf),
        split_units_(split_units),
        checks_(checks),
        give_back_(std::move(give_back)) {}

  // The unit whose ranges contain the address; nullptr when none does, or when it may not be read
  // (UnitChecks). Pointers stay valid.
  Dwarf_Die* FindByAddress(LinkAddress address);
  // The unit of the line program at `stmt_list` that contains the address, or FindByAddress.
  Dwarf_Die* FindByLineProgram(uint64_t stmt_list, LinkAddress address);
  // All units of that line program but those that are refused.
  std::vector<Dwarf_Die*> UnitsOfLineProgram(uint64_t stmt_list);
  // DW_AT_comp_dir of the first unit of that line program; "" when unknown.
  std::string CompilationFolder(uint64_t stmt_list);

  // Sorted by entry; empty when the unit is not from this index.
  const std::vector<FunctionEntry>& Functions(Dwarf_Die* unit);
  // The concrete function with the address in one of its ranges; nullptr when none has.
  const FunctionEntry* FindFunction(Dwarf_Die* unit, LinkAddress address);
  // Number of units, and the unit at an index (nullptr: it may not be read): to walk them all.
  size_t unit_count();
  Dwarf_Die* unit(size_t index) { return Body(units_[index]); }

 private:
  struct Unit {
    Dwarf_Die root;  // has the ranges and the line program: a skeleton when the DWARF is split
    Dwarf_Die body;  // has the functions; see Body()
    bool has_body = false;
    bool may_read = false;
    uint64_t stmt_list = 0;
    bool has_stmt_list = false;
  };
  struct Interval {
    LinkAddress start;
    LinkAddress end;
    LinkAddress max_end;  // of this and every interval before it: bounds the search back
    uint32_t unit;
  };
  void ReadUnits();
  // Split units are opened when they are asked for: all of a package would be all of it in memory.
  Dwarf_Die* Body(Unit& unit);
  void ReadIntervals();

  Dwarf* dwarf_;
  SplitUnits& split_units_;
  UnitChecks& checks_;
  std::function<void()> give_back_;
  bool units_read_ = false;
  bool intervals_read_ = false;
  std::vector<Unit> units_;
  std::multimap<uint64_t, uint32_t> by_stmt_list_;
  std::vector<Interval> intervals_;
  std::map<const void*, std::vector<FunctionEntry>> functions_;  // by address of the unit's DIE
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_UNIT_INDEX_H_
