// The opened debug information of one module: what Compile and its kin share.
#ifndef STILLFRAME_SYMBOLIZER_MODULE_DEBUG_H_
#define STILLFRAME_SYMBOLIZER_MODULE_DEBUG_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "symbolizer/call_sites.h"
#include "symbolizer/class_index.h"
#include "symbolizer/data_imports.h"
#include "symbolizer/dwarf_file.h"
#include "symbolizer/elf_file.h"
#include "symbolizer/line_index.h"
#include "symbolizer/scope_reader.h"
#include "symbolizer/split_units.h"
#include "symbolizer/unit_check.h"
#include "symbolizer/unit_index.h"

namespace stillframe {

struct ModuleDebug {
  // `module` is what runs (it tells which addresses are code); `file` holds the DWARF. Both must
  // outlive the result. `packages`: where a package of its split units may be (debug_file.h);
  // `debug_path`: see DwarfFile.
  static Result<std::unique_ptr<ModuleDebug>> Open(
      const ElfFile& module, const ElfFile& file, const std::vector<std::string>& packages = {},
      const std::vector<std::string>& debug_path = {}) {
    auto split_units = std::make_unique<SplitUnits>(packages);
    SF_ASSIGN_OR_RETURN(std::unique_ptr<DwarfFile> opened,
                        DwarfFile::Open(file, debug_path, split_units->name()));
    if (split_units->TakesFiles(opened->dwarf())) {
      opened.reset();
      SF_ASSIGN_OR_RETURN(opened, DwarfFile::Open(file, debug_path, split_units->name()));
    }
    split_units->set_image(opened->image());
    return std::unique_ptr<ModuleDebug>(
        new ModuleDebug(module, file, std::move(split_units), std::move(opened)));
  }

  std::unique_ptr<SplitUnits> split_units;
  std::unique_ptr<DwarfFile> file;
  UnitChecks checks;
  UnitIndex units;
  LineIndex lines;
  CallSiteIndex calls;
  ClassIndex classes;
  DataImports imports;
  dwarf::UnitCache unit_cache;

 private:
  ModuleDebug(const ElfFile& module, const ElfFile& debug, std::unique_ptr<SplitUnits> splits,
              std::unique_ptr<DwarfFile> opened)
      : split_units(std::move(splits)),
        file(std::move(opened)),
        units(file->dwarf(), *split_units, checks, [this] { file->GiveBackPages(); }),
        lines(file->line_sections(), module,
              [this](uint64_t unit_offset) { return units.CompilationFolder(unit_offset); }),
        calls(module),
        classes(module, debug),
        imports(module) {
    unit_cache.set_classes(&classes);
    unit_cache.set_split_units(split_units.get());
    unit_cache.set_imports(&imports);
    unit_cache.set_checks(&checks);
  }
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_MODULE_DEBUG_H_
