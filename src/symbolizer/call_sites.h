// Who calls a function: the direct calls in the code.
//
// Not the call sites of the debug information (DWARF 5 §3.4): only optimizing compilers write them,
// and those of other units are found by a walk over all of them, which in half a gigabyte of debug
// information takes longer and more memory than everything else that arming a line needs. Code is a
// tenth of that or less, and says what really calls.
#ifndef STILLFRAME_SYMBOLIZER_CALL_SITES_H_
#define STILLFRAME_SYMBOLIZER_CALL_SITES_H_

#include <cstdint>
#include <vector>

#include "base/address.h"
#include "symbolizer/elf_file.h"
#include "symbolizer/plt_symbols.h"
#include "symbolizer/unit_index.h"

namespace stillframe {

// Reads the code at the first question and remembers every call (8 bytes each): arming a tracepoint
// asks for the callers of a few dozen functions, and tracepoints come in groups.
class CallSiteIndex {
 public:
  // `module` is what runs, and must outlive this.
  explicit CallSiteIndex(const ElfFile& module) : module_(module) {}

  // Return addresses of direct calls to the concrete function that holds `address`, also through
  // the procedure linkage table; at most `max`, sorted. Bytes that only look like such a call are
  // possible and rare. The search stops after a fixed amount of code.
  std::vector<LinkAddress> FindCallers(UnitIndex& units, LinkAddress address, uint32_t max);

 private:
  // Both relative to base_.
  struct Call {
    uint32_t target;
    uint32_t after;
  };
  void Read();
  // `piece` is working memory.
  void ReadCalls(const CodeRange& range, LinkAddress end, FileBytes& piece);
  void AddCallers(LinkAddress target, size_t max, std::vector<LinkAddress>& found) const;

  const ElfFile& module_;
  bool read_ = false;
  LinkAddress base_;
  std::vector<Call> calls_;  // sorted by target
  std::vector<PltSymbol> plt_;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_CALL_SITES_H_
