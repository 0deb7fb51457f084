// What one FrameCompiler and its Scopes share: readers of one module's debug information that
// append to one PlanUnit, and what they say together about a variable.
//
// Threads: the one that owns the Dwarf.
#ifndef STILLFRAME_SYMBOLIZER_FRAME_COMPILER_PARTS_H_
#define STILLFRAME_SYMBOLIZER_FRAME_COMPILER_PARTS_H_

#include <elfutils/libdw.h>

#include <optional>
#include <tuple>
#include <utility>

#include "symbolizer/frame_compiler_scope.h"
#include "symbolizer/frame_compiler_tables.h"
#include "symbolizer/location_compiler.h"
#include "symbolizer/result_location.h"
#include "symbolizer/scope_reader.h"
#include "symbolizer/type_builder.h"

namespace stillframe::dwarf {

struct FrameParts {
  FrameParts(Dwarf* dwarf, const RedactionPolicy* redaction, PlanUnit& unit, UnitCache* shared);

  UnitCache own_units;
  UnitCache& units;
  PlanTables tables;
  TypeNamer namer;
  GlobalNames globals;
  TypeBuilder types;
  LocationCompiler locations;

  // Type and location of a variable or parameter.
  std::pair<TypeId, Location> Describe(const Dwarf_Die& die, const LocationContext& context);
  // What a function returns where it is left, and whether that is secret.
  std::tuple<TypeId, Location, bool> DescribeResult(const Dwarf_Die& function,
                                                    const Returning& returning);
  // Of a variable of the function that is left: what went with the frame is not there.
  void TakeReleased(const Returning& returning, bool parameter, Location& location);
  // The location of what a pointer or reference implies, when it has no value of its own.
  std::optional<Location> DescribeImplied(const Dwarf_Die& die, TypeId type,
                                          const LocationContext& context);
  // Gives a variable whose type and location are there its extents, when it is an array of variable
  // length or leads to one: how many elements that has belongs to the frame, not to its type. An
  // array without them becomes unavailable; a pointer to one is worth something.
  void AddExtents(Variable& variable, const LocationContext& context);
  bool IsInRbpSlot(const Location& location);
};

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_FRAME_COMPILER_PARTS_H_
