// From the places where a function is left, as its code tells, to sites with what is known of its
// result there.
#ifndef STILLFRAME_SYMBOLIZER_RETURN_SITES_H_
#define STILLFRAME_SYMBOLIZER_RETURN_SITES_H_

#include <vector>

#include "base/status.h"
#include "symbolizer/line_sites.h"
#include "symbolizer/symbolizer.h"

namespace stillframe {

// `symbols`: the file with the symbol table. Errors: kNotFound, when an address is in no function
// of the debug information.
Result<std::vector<LineSite>> FindReturnSites(ModuleDebug& debug, const ElfFile& symbols,
                                              const std::vector<ReturnSite>& returns);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_RETURN_SITES_H_
