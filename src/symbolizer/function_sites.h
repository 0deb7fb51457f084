// From a function's name or an address to the addresses to probe.
#ifndef STILLFRAME_SYMBOLIZER_FUNCTION_SITES_H_
#define STILLFRAME_SYMBOLIZER_FUNCTION_SITES_H_

#include <string_view>
#include <vector>

#include "base/status.h"
#include "symbolizer/line_sites.h"
#include "symbolizer/symbol_table.h"

namespace stillframe {

// Every place where a function of that name begins: overloads, template instances, constructors'
// variants, clones, and the copies inlined into others. Ascending. `own_code_only`: no inlined
// copies. Errors: kFunctionNotFound (near names).
Result<std::vector<LineSite>> FindFunctionSites(ModuleDebug& debug, const ElfFile& module,
                                                const SymbolTable& symbols,
                                                std::string_view function, bool own_code_only);

// Behind the function's endbr64, if it has one: with indirect branch tracking the first instruction
// must stay where indirect calls land.
LinkAddress SkipLandingPad(const ElfFile& module, LinkAddress address);

// The one address, if it is code that the debug information covers. Errors: kNotFound,
// kNoDebugInfo.
Result<std::vector<LineSite>> FindAddressSite(ModuleDebug& debug, const ElfFile& module,
                                              LinkAddress address);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_FUNCTION_SITES_H_
