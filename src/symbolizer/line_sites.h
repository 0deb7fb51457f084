// From file:line to the addresses to probe.
#ifndef STILLFRAME_SYMBOLIZER_LINE_SITES_H_
#define STILLFRAME_SYMBOLIZER_LINE_SITES_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/status.h"
#include "symbolizer/module_debug.h"
#include "symbolizer/result_location.h"
#include "symbolizer/symbolizer.h"

namespace stillframe {

struct LineSite {
  LinkAddress address;
  Dwarf_Die* unit = nullptr;  // that covers the address; never nullptr; lives as long as the debug
  std::string file;           // full path of the file that was asked for; "" = no line was
  uint32_t line = 0;
  const void* function = nullptr;        // see RequestedLine
  uint32_t part = 0;                     // see Statement
  std::optional<Returning> returning{};  // of places where a function is left
  std::optional<uint32_t> view{};        // see RequestedLine
};

// Where a debugger stops that was told the function: behind its prologue in unoptimized code, else
// its first instruction.
LinkAddress SkipPrologue(ModuleDebug& debug, Dwarf_Die* unit, uint64_t line_program,
                         LinkAddress entry);

// See SymbolModule::LineRows.
std::vector<LinkAddress> LineRowsIn(ModuleDebug& debug, LinkAddress begin, LinkAddress end,
                                    uint32_t line, SymbolModule::Rows rows);

// The sites of one line of the file that `file` (a path suffix) names: every statement address in
// every unit, ascending; in unoptimized functions the entry is replaced by the address after the
// prologue, as debuggers do. Of a line that has none: where the calls on it begin that are inlined.
// Errors: kFileNotFound, kAmbiguousFile, kLineHasNoCode, kCorrupt.
Result<std::vector<LineSite>> FindLineSites(ModuleDebug& debug, std::string_view file,
                                            uint32_t line, bool name_near_files = true);

// The same for all lines first..last (0, 0 = all) of one file.
std::map<uint32_t, std::vector<LineSite>> AllLineSites(ModuleDebug& debug, const SourceFile& file,
                                                       uint32_t first, uint32_t last);
// A line and where its code is, with the functions that it belongs to.
LineInfo MakeLineInfo(const std::string& file, uint32_t line, const std::vector<LineSite>& sites);

// kFileNotFound, with the nearest names if wanted (that reads every path).
Status FileNotFound(const ModuleDebug& debug, std::string_view file, bool name_near);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_LINE_SITES_H_
