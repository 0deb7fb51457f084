// DWARF locations (DWARF 5 §2.5, §2.6) -> plan locations and bytecode.
//
// Threads: the one that owns the Dwarf.
#ifndef STILLFRAME_SYMBOLIZER_LOCATION_COMPILER_H_
#define STILLFRAME_SYMBOLIZER_LOCATION_COMPILER_H_

#include <elfutils/libdw.h>

#include <optional>
#include <span>
#include <vector>

#include "base/address.h"
#include "plan/plan.h"
#include "symbolizer/frame_compiler_tables.h"

namespace stillframe {
class DataImports;
}

namespace stillframe::dwarf {

// The machine frame that a location is compiled for.
struct LocationContext {
  LinkAddress pc;         // of the frame: the site, or a return address
  LinkAddress lookup_pc;  // where location lists are read
  bool innermost = true;  // frame 0: every register holds its live value
  // The concrete function, for its frame base; nullopt for globals.
  std::optional<Dwarf_Die> subprogram;
  // Which of the statements at lookup_pc it is (LineRow::view); nullopt: after all of them.
  std::optional<uint32_t> view = {};
};

// What a location must describe.
struct ValueShape {
  uint64_t size_bytes = 0;
  bool is_float = false;
};

class LocationCompiler {
 public:
  // `tables` must outlive this.
  explicit LocationCompiler(PlanTables& tables) : tables_(tables) {}

  // Of a variable or parameter: DW_AT_location, else DW_AT_const_value, else kOptimizedOut. Never
  // fails: what cannot be done is kUnavailable with its reason.
  Location Compile(Dwarf_Die variable, const LocationContext& context, const ValueShape& shape);

  // What a pointer or reference without a value of its own would point to (DWARF 5 §2.6.1.1.4,
  // DW_OP_implicit_pointer): the variable that the compiler dissolved, and an offset into it.
  struct ImplicitTarget {
    Dwarf_Die die;
    int64_t offset_bytes;
  };
  static std::optional<ImplicitTarget> FindImplicitTarget(Dwarf_Die variable,
                                                          const LocationContext& context);
  // Of its `size_bytes` bytes from the offset on.
  Location CompileImplicitTarget(const ImplicitTarget& target, const LocationContext& context,
                                 const ValueShape& shape);

 private:
  Location CompileExpression(Dwarf_Attribute& attribute, std::span<const Dwarf_Op> ops,
                             const LocationContext& context, const ValueShape& shape);
  Location CompilePieces(Dwarf_Attribute& attribute, std::span<const Dwarf_Op> ops,
                         const LocationContext& context, const ValueShape& shape);
  // One simple location (no pieces) of `size_bytes` bytes.
  Piece CompileSimple(Dwarf_Attribute& attribute, std::span<const Dwarf_Op> ops,
                      const LocationContext& context, uint64_t size_bytes);
  Piece CompileRegister(uint64_t reg, const LocationContext& context, uint64_t size_bytes);
  Piece CompileImplicitValue(Dwarf_Attribute& attribute, const Dwarf_Op& op, uint64_t size_bytes);
  // The part of a location that begins `offset_bytes` further; only where that is plain to see.
  Location Skip(const Location& location, uint64_t offset_bytes);
  Location CompileConstant(Dwarf_Attribute& attribute, const ValueShape& shape);

  // Whether libdw is to be asked for an expression: it keeps 32 bytes for each operation.
  bool MayAsk(Dwarf_Attribute& attribute);

  PlanTables& tables_;
  uint64_t long_bytes_left_ = 512u << 10;  // of long expressions
};

// A variable in a shared library whose symbol another module may define first (copy relocations,
// inline variables): its own copy is then dead, so its address must not be read. Of the module that
// runs; `variable` may be described in another file (split DWARF).
bool MayBePreempted(const Dwarf_Die& variable, DataImports* imports);
// Makes the location of such a variable, and of one that another module defines, the object that
// the loader has given to this module. `imports` may be nullptr: then they are not to be had.
void FollowLoader(const Dwarf_Die& variable, DataImports* imports, PlanTables& tables,
                  Location& location);

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_LOCATION_COMPILER_H_
