// Parts of a module's text that no probe may be placed in, found in its file. Agent thread only.
//
//   restartable sequences   the kernel takes a thread that it interrupts within [start, start +
//                           length) to the abort handler, but not one that is in a trampoline
//                           (rseq(2))
//   linkage tables          .plt, .plt.got, .plt.sec: the loader and debuggers know them by their
//                           bytes, and they run with registers that no convention protects
//   ifunc resolvers         run by the loader, before the program's own relocations are done
//
// What the hit path and the handlers need is not on the list because it is nothing: they call no
// function of the program or of its libraries (tests/agent/hit/gate.sh). The one exception, where
// the kernel returns from signal handlers, is refused by its bytes.
#ifndef STILLFRAME_AGENT_PROBE_FORBIDDEN_RANGES_H_
#define STILLFRAME_AGENT_PROBE_FORBIDDEN_RANGES_H_

#include <cstdint>
#include <vector>

#include "agent/probe/text_system.h"
#include "base/process_maps.h"
#include "base/status.h"

namespace stillframe::probe {

struct ForbiddenRange {
  uint64_t start = 0;  // runtime addresses
  uint64_t end = 0;
  const char* why = "";
};

// Of the module whose text `mapping` is a part of. Every byte of the file is taken for hostile.
// kNotFound: the file is gone or another one now; kCorrupt: it is no ELF file. A file without
// section headers has no ranges.
Result<std::vector<ForbiddenRange>> ReadForbiddenRanges(const Mapping& mapping, TextSystem& system);
// kUnsafeSite with the reason.
Status CheckNotForbidden(const std::vector<ForbiddenRange>& ranges, uint64_t site);

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_FORBIDDEN_RANGES_H_
