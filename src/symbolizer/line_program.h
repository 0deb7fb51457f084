// The line number machine (DWARF 5 §6.2.2, §6.2.5), bounds-checked and linear in the program's
// length. libdw's dwarf_getsrclines keeps every row of a unit until the file is closed; this one
// keeps nothing.
#ifndef STILLFRAME_SYMBOLIZER_LINE_PROGRAM_H_
#define STILLFRAME_SYMBOLIZER_LINE_PROGRAM_H_

#include <cstdint>
#include <functional>

#include "base/address.h"
#include "base/status.h"
#include "symbolizer/line_header.h"

namespace stillframe {

struct LineRow {
  LinkAddress address;
  uint32_t file = 0;  // index into LineHeader::files
  uint32_t line = 0;
  uint32_t column = 0;  // 0: not known
  // How many rows stand before it at the same address: which of the statements there it is
  // (https://dwarfstd.org/issues/170427.1.html).
  uint32_t view = 0;
  bool is_stmt = false;
  bool prologue_end = false;
  bool end_sequence = false;  // address is the first one past the sequence
};

// Calls `emit` for every row in program order. kCorrupt at the first broken instruction; rows
// before it were emitted.
Status RunLineProgram(const LineSections& sections, const LineHeader& header,
                      const std::function<void(const LineRow&)>& emit);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_LINE_PROGRAM_H_
