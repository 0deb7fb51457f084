// Runs call frame instructions (DWARF 5 §6.4.2) and gives one UnwindRule per row.
#ifndef STILLFRAME_SYMBOLIZER_CFA_MACHINE_H_
#define STILLFRAME_SYMBOLIZER_CFA_MACHINE_H_

#include <functional>

#include "base/address.h"
#include "plan/unwind_table.h"
#include "symbolizer/cfi_entries.h"

namespace stillframe {

// Calls emit(start, rule) for each row of the frame entry in ascending order; a row reaches up to
// the next one's start, the last one to frame.end. What UnwindRule cannot say becomes a rule of
// kind kUndefined (the unwind stops there) or a register that is kUndefined (its value is lost),
// never a wrong rule. A broken program gives one undefined row from where it breaks.
void RunFrameEntry(const CfiSection& section, const FrameEntry& frame,
                   const std::function<void(LinkAddress, const UnwindRule&)>& emit);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_CFA_MACHINE_H_
