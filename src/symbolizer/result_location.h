// Where a function's result stands when it returns (System V x86-64 psABI §3.2.3; for classes the
// Itanium C++ ABI §3.1.3).
//
// Threads: the one that owns the Dwarf.
#ifndef STILLFRAME_SYMBOLIZER_RESULT_LOCATION_H_
#define STILLFRAME_SYMBOLIZER_RESULT_LOCATION_H_

#include <elfutils/libdw.h>

#include "plan/plan.h"
#include "symbolizer/type_builder.h"

namespace stillframe {

// The name of the result in snapshots and expressions.
inline constexpr std::string_view kResultName = "$return";

// What is known of one place where a function is left.
struct Returning {
  Code absent = Code::kOk;  // why there is no result: kTailCall, kOptimizedOut
  // Whether what lies in the function's frame is still there, and its callee-saved registers.
  bool frame_is_intact = false;
  // The compiler may have left the result out, as no caller wants it: then it is only believed when
  // the code that leads to the end computes into the register.
  bool needs_proof = false;
  bool sets_integer = false, sets_float = false;
};

}  // namespace stillframe

namespace stillframe::dwarf {

// Of a result of that type, which `types` has built. Never fails: what is not there, or not known,
// is kUnavailable with its reason.
Location ResultLocation(TypeId type, const Returning& returning, TypeBuilder& types);

// Whether the class is passed in registers if it is small: kOk; kUnsupportedType: by reference; or
// why it cannot be told. GDB's rules, where the compiler does not say so itself.
Code PassedByValue(const Dwarf_Die& class_die, int depth = 0);

// Whether the location is nowhere in the function's frame nor in a register that the caller wants
// back.
bool OutlivesFrame(const PlanUnit& unit, const Location& location);
// Whether it is the same wherever the thread stands: of statics.
bool IsStatic(const PlanUnit& unit, const Location& location);

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_RESULT_LOCATION_H_
