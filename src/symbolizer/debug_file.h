// Where the DWARF of a module is: in the module itself or in a separate debug file.
#ifndef STILLFRAME_SYMBOLIZER_DEBUG_FILE_H_
#define STILLFRAME_SYMBOLIZER_DEBUG_FILE_H_

#include <memory>
#include <optional>
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

// Where a package of split units (.dwp) may be: beside the module, beside `debug_file` (the file
// that holds the DWARF), and in every FOLDER as above, as .build-id/xx/yyyy.dwp, NAME.dwp or
// <module's folder>/NAME.dwp.
std::vector<std::string> PackageCandidates(const ElfFile& module, const std::string& module_path,
                                           const std::string& debug_file,
                                           const std::vector<std::string>& debug_path);

// .gnu_debugaltlink: the file that dwz has moved a part of this file's debug information to.
struct SharedLink {
  std::string name;      // absolute, or relative to this file
  std::string build_id;  // lower-case hex
};
// nullopt: there is none. Errors: kCorrupt, kIoError.
Result<std::optional<SharedLink>> ReadSharedLink(const ElfFile& file);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_DEBUG_FILE_H_
