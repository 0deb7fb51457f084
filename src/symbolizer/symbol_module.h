// The SymbolModule over libdw.
#ifndef STILLFRAME_SYMBOLIZER_SYMBOL_MODULE_H_
#define STILLFRAME_SYMBOLIZER_SYMBOL_MODULE_H_

#include <memory>
#include <string>

#include "symbolizer/elf_file.h"
#include "symbolizer/source_names.h"
#include "symbolizer/symbolizer.h"

namespace stillframe {

// `path` is the module's name for people; `elf` the file that was opened for it. `options` and
// `names` must outlive the module.
std::unique_ptr<SymbolModule> MakeSymbolModule(std::string path, std::unique_ptr<ElfFile> elf,
                                               const SymbolizerOptions& options,
                                               SourceNamesCache& names);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_SYMBOL_MODULE_H_
