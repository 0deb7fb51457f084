// .gnu_debugdata: the symbols that Fedora and its kin leave in stripped programs, an ELF file
// packed by xz (GDB manual, "MiniDebugInfo").
#ifndef STILLFRAME_SYMBOLIZER_MINI_DEBUG_H_
#define STILLFRAME_SYMBOLIZER_MINI_DEBUG_H_

#include <memory>

#include "base/status.h"
#include "symbolizer/elf_file.h"

namespace stillframe {

// The file in it, in memory (64 MiB at most). Errors: kNotFound (the module has none), kCorrupt,
// kOverLimit, kIoError.
Result<std::unique_ptr<ElfFile>> OpenMiniDebug(const ElfFile& module);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_MINI_DEBUG_H_
