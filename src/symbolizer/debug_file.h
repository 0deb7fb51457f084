// Where the DWARF of a module is: in the module itself or in a separate debug file.
#ifndef STILLFRAME_SYMBOLIZER_DEBUG_FILE_H_
#define STILLFRAME_SYMBOLIZER_DEBUG_FILE_H_

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "symbolizer/elf_file.h"

namespace stillframe {

struct DebugFile {
  // OK, kNoDebugInfo (message: what was looked for) or kBuildMismatch (message: the file refused).
  Status status;
  std::string path;                   // the file that holds the DWARF; "" when there is none
  std::unique_ptr<ElfFile> separate;  // nullptr when the module itself holds it
};

// Looks in the module, then by build-id (FOLDER/.build-id/xx/yyyy.debug), then by .gnu_debuglink
// (beside the module, in .debug/ there, in FOLDER, in FOLDER/<module's folder>), for every FOLDER
// of `debug_path` and then /usr/lib/debug. A separate file must have the module's build-id; a
// module without one is matched by the CRC-32 of .gnu_debuglink.
DebugFile FindDebugFile(const ElfFile& module, const std::string& module_path,
                        const std::vector<std::string>& debug_path);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_DEBUG_FILE_H_
