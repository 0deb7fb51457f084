// From call frame information to the compact table that the hit path unwinds with.
#ifndef STILLFRAME_SYMBOLIZER_CFI_TABLE_H_
#define STILLFRAME_SYMBOLIZER_CFI_TABLE_H_

#include "base/status.h"
#include "plan/unwind_table.h"
#include "symbolizer/cfi_entries.h"
#include "symbolizer/elf_file.h"

namespace stillframe {

// From .eh_frame of the module, else .debug_frame of it or of `separate` (may be nullptr). Rows of
// code that the module does not have are left out. kNotFound when there is neither section;
// kCorrupt when nothing in it is readable; kOverLimit when the code spans 4 GiB or more.
Result<UnwindTable> BuildModuleUnwindTable(const ElfFile& module, const ElfFile* separate);

// The same from bytes; `module` tells which addresses are code.
Result<UnwindTable> BuildUnwindTableFrom(const CfiSection& section, const ElfFile& module);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_CFI_TABLE_H_
