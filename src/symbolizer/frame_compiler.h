// The seam inside the symbolizer: module and line knowledge above (symbol_module), scopes,
// variables, locations and types below (this).
#ifndef STILLFRAME_SYMBOLIZER_FRAME_COMPILER_H_
#define STILLFRAME_SYMBOLIZER_FRAME_COMPILER_H_

#include <elfutils/libdw.h>

#include <memory>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/status.h"
#include "plan/plan.h"
#include "symbolizer/result_location.h"
#include "symbolizer/scope.h"
#include "symbolizer/symbolizer.h"

namespace stillframe {

// Source-level frames at `pc` in the unit `cu`: inlined calls innermost first, then the function.
// Every frame's line but the first's is the call line of the one before; the first one's comes from
// the line table. Never empty when a function covers pc.
std::vector<SourceFrame> InlineChain(Dwarf_Die* cu, LinkAddress pc);

// The line that a site was chosen for. Its address may also begin what is inlined there, or belong
// to the destructor calls that the compiler attributes to the line: the frame shown is that of the
// function in which the line stands.
struct RequestedLine {
  std::string_view file;  // full path; "" = whatever the line table says
  uint32_t line = 0;
  // Instead of the line's function: the function (or inlined copy) with this DIE.
  const void* function = nullptr;
  // The place is where that function is left: it shows its result and parameters.
  std::optional<Returning> returning = {};
  // Which of the statements at the address the line is; nullopt: the state after all of them.
  std::optional<uint32_t> view = {};
};

// Fills one PlanUnit; types, strings and identical locations are shared across its frames.
namespace dwarf {
class UnitCache;
}

class FrameCompiler {
 public:
  // `dwarf` must outlive this; `redaction` may be nullptr. `shared_units`, when given, keeps what
  // is learned about the file's units for the next compiler, and must outlive this too.
  static std::unique_ptr<FrameCompiler> Create(Dwarf* dwarf, const RedactionPolicy* redaction,
                                               PlanUnit& unit,
                                               dwarf::UnitCache* shared_units = nullptr);
  virtual ~FrameCompiler() = default;

  // Appends a FramePlan (virtual frames, and the variables of each) and returns its index in
  // unit.frames. Scopes and location lists are looked up at `lookup_pc` (= pc at a site, pc - 1 for
  // a return address). `innermost` = frame 0: all registers and XMM are known; otherwise a location
  // in a register that a callee does not save is kUnavailable / kNotSaved. Variables declared after
  // the frame's line in their block are left out.
  virtual Result<uint32_t> AddFrame(Dwarf_Die* cu, LinkAddress pc, LinkAddress lookup_pc,
                                    bool innermost, const RequestedLine& requested = {}) = 0;
  // Names visible at the innermost scope of pc (its function and the blocks, not the functions it
  // is inlined into), then globals of the module. Locations refer to frame 0. Valid while this is.
  virtual std::unique_ptr<Scope> OpenScope(Dwarf_Die* cu, LinkAddress pc,
                                           const RequestedLine& requested = {}) = 0;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_FRAME_COMPILER_H_
