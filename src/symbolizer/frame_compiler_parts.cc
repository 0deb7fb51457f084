#include "symbolizer/frame_compiler_parts.h"

#include "symbolizer/array_bounds.h"
#include "symbolizer/dwarf_util.h"

namespace stillframe::dwarf {
namespace {

constexpr uint64_t kLargestObject = 1u << 30;
constexpr uint32_t kLargestImplied = 1u << 16;

bool IsFloating(TypeKind kind) {
  return kind == TypeKind::kFloat || kind == TypeKind::kHalf || kind == TypeKind::kBrainFloat ||
         kind == TypeKind::kQuad;
}

}  // namespace

FrameParts::FrameParts(Dwarf* dwarf, const RedactionPolicy* redaction, PlanUnit& unit,
                       UnitCache* shared)
    : units(shared != nullptr ? *shared : own_units),
      tables(unit),
      namer(units),
      globals(dwarf, units, namer),
      types(tables, namer, redaction, &globals),
      locations(tables) {}

std::pair<TypeId, Location> FrameParts::Describe(const Dwarf_Die& die,
                                                 const LocationContext& context) {
  const TypeId type = types.Type(TypeOf(die));
  const TypeNode& node = types.Node(type);
  Location location;
  const bool is_unknown = node.kind == TypeKind::kUnsupported || node.kind == TypeKind::kIncomplete;
  // Its size decides how registers and constants are read; without it only memory is sure.
  const uint64_t size_bytes = is_unknown ? kLargestObject : node.size_bytes;
  location = locations.Compile(die, context, {size_bytes, IsFloating(node.kind)});
  FollowLoader(die, units.imports(), tables, location);
  return {type, location};
}

std::tuple<TypeId, Location, bool> FrameParts::DescribeResult(const Dwarf_Die& function,
                                                              const Returning& returning) {
  const TypeId type = types.Type(TypeOf(function));
  types.Finish();  // classes are looked into
  const Location location = ResultLocation(type, returning, types);
  return {type, location,
          types.RedactsVariable(Name(function), type) ||
              BelongsToSecret(function, units, types.redaction())};
}

void FrameParts::TakeReleased(const Returning& returning, bool parameter, Location& location) {
  const PlanUnit& unit = tables.unit();
  const bool is_there = parameter ? returning.frame_is_intact || OutlivesFrame(unit, location)
                                  : IsStatic(unit, location);
  if (is_there || location.kind == LocationKind::kUnavailable) return;
  location = Location{};
  location.reason = parameter ? Code::kFrameReleased : Code::kNotInScope;
}

std::optional<Location> FrameParts::DescribeImplied(const Dwarf_Die& die, TypeId type,
                                                    const LocationContext& context) {
  const TypeNode pointer = types.Node(type);
  if (pointer.kind != TypeKind::kPointer && pointer.kind != TypeKind::kReference) {
    return std::nullopt;
  }
  const auto target = LocationCompiler::FindImplicitTarget(die, context);
  const TypeNode& node = types.Node(pointer.target);
  if (!target || node.size_bytes == 0 || node.size_bytes > kLargestImplied ||
      node.kind == TypeKind::kUnsupported || node.kind == TypeKind::kIncomplete) {
    return std::nullopt;
  }
  Location location =
      locations.CompileImplicitTarget(*target, context, {node.size_bytes, IsFloating(node.kind)});
  if (location.kind == LocationKind::kMemory && MayBePreempted(target->die, units.imports()))
    return std::nullopt;
  return location;
}

// "[rbp - 80]": the address of a variable-length array in a frame that is aligned at run time.
bool FrameParts::IsInRbpSlot(const Location& location) {
  if (location.kind != LocationKind::kMemory || location.program.count != 4) return false;
  const Insn* const code = tables.unit().code.data() + location.program.first;
  constexpr uint8_t kRbp = 6;  // by DWARF's number
  return code[0].op == Op::kRegister && code[0].a == kRbp && code[1].op == Op::kAddImm &&
         code[1].imm < 0 && code[2].op == Op::kLoad && code[3].op == Op::kReturn;
}

void FrameParts::AddExtents(Variable& variable, const LocationContext& context) {
  if (variable.location.kind == LocationKind::kUnavailable) return;
  const TypeNode& node = types.Node(variable.type);
  const bool leads = node.kind == TypeKind::kPointer || node.kind == TypeKind::kReference;
  const TypeId array = leads ? node.target : variable.type;
  if ((types.Node(array).flags & kFlagCountedByVariable) == 0) return;
  Extents extents =
      CompileExtents(array, context, types, tables, !leads && IsInRbpSlot(variable.location));
  if (!leads && variable.location.kind != LocationKind::kMemory) {
    extents.code = Code::kUnsupportedLocation;
  }
  if (!leads && extents.code != Code::kOk) {
    variable.location = Location{};
    variable.location.reason = extents.code;
    return;
  }
  std::vector<Program>& table = tables.unit().extents;
  variable.first_extent = static_cast<uint32_t>(table.size());
  variable.extent_count = static_cast<uint32_t>(extents.programs.size());
  table.insert(table.end(), extents.programs.begin(), extents.programs.end());
}

}  // namespace stillframe::dwarf
