// What a hostile file must not do to libdw and to our walks over it, looked at by our own reader
// first, in time linear in what is read. Damage is not looked for: libdw reports it where it is
// met.
//
// Thread-compatible.
#ifndef STILLFRAME_SYMBOLIZER_UNIT_CHECK_H_
#define STILLFRAME_SYMBOLIZER_UNIT_CHECK_H_

#include <elfutils/libdw.h>

#include <cstdint>
#include <functional>
#include <unordered_map>

#include "base/status.h"
#include "symbolizer/byte_reader.h"

namespace stillframe {

// Sections of a file before libdw reads units: empty where there is none.
struct UnitSections {
  ByteSpan info;
  ByteSpan types;  // .debug_types
  ByteSpan abbreviations;
  // Whether all tables of abbreviations are looked at, or only what libdw needs for the units'
  // roots; CheckUnit looks at the rest of a unit's.
  bool whole_tables = true;
};

// Whether finding the root of each unit stays cheap. `give_back` is called now and then: pages of a
// mapped file that were read. Errors: kCorrupt, kOverLimit.
Status CheckUnitRoots(const UnitSections& sections, const std::function<void()>& give_back);

// Whether a walk over all entries of the unit ends in time: its abbreviations, how deep entries are
// nested, where siblings lead to, how many ranges there are. `unit` is its root. Errors: kCorrupt,
// kOverLimit, naming the unit.
Status CheckUnit(const Dwarf_Die& unit);

// CheckUnit of a module's units, each once.
class UnitChecks {
 public:
  bool MayRead(const Dwarf_Die& unit);
  // The first unit that may not be read, and why; OK when there was none.
  const Status& refused() const { return refused_; }

 private:
  std::unordered_map<const void*, bool> known_;  // by address of the unit's root
  Status refused_;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_UNIT_CHECK_H_
