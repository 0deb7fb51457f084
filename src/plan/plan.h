// What the symbolizer makes and everything after it obeys: one ProbePlan per (tracepoint, module).
// Plain data without pointers; addresses are relative to the module (LinkAddress).
#ifndef STILLFRAME_PLAN_PLAN_H_
#define STILLFRAME_PLAN_PLAN_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/status.h"
#include "plan/program.h"
#include "plan/type_table.h"

namespace stillframe {

enum class LocationKind : uint8_t {
  kUnavailable = 0,  // `reason` says why
  kMemory,           // program yields the object's address
  kValue,            // program yields the value (up to 8 bytes, in the low bytes of the cell)
  kXmm,              // value in the low bytes of XMM register `reg` (up to 16); frame 0 only
  kBytes,            // constant: the bytes are strings[bytes]
  kPieces,           // `pieces` in order, lowest address first
};

// One part of a value that is split over several places. kUnavailable pieces are holes.
struct Piece {
  LocationKind kind = LocationKind::kUnavailable;  // never kPieces
  uint8_t reg = 0;
  Code reason = Code::kOptimizedOut;
  uint8_t pad = 0;
  uint32_t size_bytes = 0;
  StringId bytes = 0;
  Program program;
};

struct Location {
  LocationKind kind = LocationKind::kUnavailable;
  uint8_t reg = 0;
  Code reason = Code::kOptimizedOut;
  uint8_t pad = 0;
  StringId bytes = 0;
  Program program;
  uint32_t first_piece = 0;
  uint32_t piece_count = 0;
};

// Dimensions of an array that only a frame knows: those behind them are not looked into.
inline constexpr uint32_t kMaxExtents = 8;
// One that is larger is none: its extents are not what they were.
inline constexpr uint64_t kLargestCountedBytes = uint64_t{1} << 30;

enum VariableFlags : uint8_t {
  kVariableParameter = 1,
  kVariableArtificial = 2,  // `this`
  kVariableRedacted = 4,    // name or type on the redaction list: never captured, shown REDACTED
  kVariableBindsFirst = 8,  // the first name of a structured binding
  kVariableBinds = 16,      // one of its other names
};

// A local, a parameter or a watch expression.
struct Variable {
  StringId name = 0;  // or the expression's text
  TypeId type = kVoidType;
  Location location;
  uint8_t flags = 0;
  uint8_t pad[3] = {};
  StringId recovered = 0;  // non-empty: status RECOVERED and this is how, e.g. "entry value"
  // Of a watch: of the elements only those are shown for which it yields not 0. It finds the
  // element's address in local 0.
  Program filter{};
  // Of an array with kFlagCountedByVariable, which is in memory, or a pointer or reference to one:
  // PlanUnit::extents that yield how many elements each dimension with that flag has, the outermost
  // first. Those inside them, and the element, have sizes of their own.
  uint32_t first_extent = 0;
  uint32_t extent_count = 0;
};

// A source-level frame. One machine frame is one or more of them: the inlined calls at its pc,
// innermost first, then the function itself.
struct VirtualFrame {
  StringId function = 0;  // "shop::Checkout(shop::Order const&)"
  StringId file = 0;      // path as in the debug information, made absolute with the comp dir
  uint32_t line = 0;
  uint8_t inlined = 0;  // 1: inlined into the next one
  uint8_t pad[3] = {};
  uint32_t first_variable = 0;
  uint32_t variable_count = 0;
};

// What is known about one pc: how to show it and what to copy when a frame stands there.
struct FramePlan {
  LinkAddress pc;  // for callers: the return address (lookups use pc - 1)
  uint32_t first_virtual = 0;
  uint32_t virtual_count = 0;
  // Entry values. The machine function here: its first address, and a hash of its linkage name (0 =
  // none). Programs that want entry values may have them when the call in the frame above is known
  // to call this very function, and the function cannot have come back to its own entry by tail
  // calls, which would leave the same return address.
  LinkAddress function_entry{};
  uint64_t function_name = 0;
  uint8_t uses_entry_values = 0;  // a variable or a call parameter of this frame
  uint8_t may_tail_call_itself = 1;
  uint8_t has_lines_only = 0;  // its unit describes no variables and no types (-g1)
  uint8_t pad[5] = {};
  // Of callers: what is called here. 0, 0 and empty: not known.
  LinkAddress callee_entry{};
  uint64_t callee_name = 0;
  Program callee{};  // of an indirect call: its target's runtime address
  uint32_t first_parameter = 0;
  uint32_t parameter_count = 0;
  // Names the copy of the source code that stands here, an inlined call or a function, within the
  // module.
  uint64_t copy = 0;
};

// What a call passes in an argument register or as a parameter, in terms of the caller's frame.
struct CallParameter {
  uint8_t cell = 0;  // EntryCellOf, ParameterCellOf
  uint8_t pad[3] = {};
  Program program;  // value
};

// Whether the call in frame `caller` is one of the function of frame `callee`, by address in one
// module or by name between two. Indirect calls have to be asked by their program.
inline bool CallsFunction(const FramePlan& caller, uint64_t caller_bias, const FramePlan& callee,
                          uint64_t callee_bias) {
  if (caller.callee_entry.value != 0) {
    return caller.callee_entry.value + caller_bias == callee.function_entry.value + callee_bias;
  }
  return caller.callee_name != 0 && caller.callee_name == callee.function_name;
}

// Shared tables; every index elsewhere in the plan points into these.
struct PlanUnit {
  std::vector<std::string> strings{""};
  std::vector<Insn> code;
  std::vector<TypeNode> types{TypeNode{}};
  std::vector<Member> members;
  std::vector<Enumerator> enumerators;
  std::vector<View> views{View{}};
  std::vector<Derived> derived;
  std::vector<Piece> pieces;
  std::vector<Variable> variables;
  std::vector<Program> extents;
  std::vector<VirtualFrame> virtual_frames;
  std::vector<FramePlan> frames;
  std::vector<CallParameter> call_parameters;
};

// Variable::recovered of what HasEntryValue is true for.
inline constexpr std::string_view kByEntryValue = "entry value";

// Whether the frame's caller, or a probe at the function's entry, is needed for it.
inline bool HasEntryValue(const PlanUnit& unit, const Program& program) {
  for (uint32_t i = 0; i < program.count; ++i) {
    if (unit.code[program.first + i].op == Op::kEntryValue) return true;
  }
  return false;
}
inline bool HasEntryValue(const PlanUnit& unit, const Location& location) {
  for (uint32_t i = 0; i < location.piece_count; ++i) {
    if (HasEntryValue(unit, unit.pieces[location.first_piece + i].program)) return true;
  }
  return HasEntryValue(unit, location.program);
}
inline bool HasEntryValue(const PlanUnit& unit, const Variable& variable) {
  for (uint32_t i = 0; i < variable.extent_count; ++i) {
    if (HasEntryValue(unit, unit.extents[variable.first_extent + i])) return true;
  }
  return HasEntryValue(unit, variable.location);
}

struct SitePlan {
  LinkAddress address;
  StringId function = 0;          // innermost function at the site
  uint32_t frame = 0;             // index into PlanUnit::frames
  Program condition;              // empty = always true. Yields 0 or not 0
  uint32_t first_expression = 0;  // watch expressions in PlanUnit::variables
  uint32_t expression_count = 0;
  // Of a line's site: which part of the line begins there; 0 = not known. The same part again in
  // one copy of the code is another execution of the line.
  uint32_t part = 0;
};

// Of a text, so much is copied even when less is shown: what is cut short must not hide that it is
// a secret.
inline constexpr uint32_t kCheckedTextBytes = 256;

struct CaptureLimits {
  uint32_t frames = 32;
  uint32_t local_frames = 5;
  uint32_t depth = 3;
  uint32_t items = 100;
  uint32_t string_bytes = 255;
  uint32_t bytes = 65536;

  bool operator==(const CaptureLimits&) const = default;
};

// How much of a text is copied.
constexpr uint32_t CheckedTextBytes(const CaptureLimits& limits) {
  return limits.string_bytes < kCheckedTextBytes ? kCheckedTextBytes : limits.string_bytes;
}

// A site of the line that is left out because the condition cannot be evaluated there.
struct RefusedSite {
  LinkAddress address;
  std::string function;
  Code code = Code::kOk;
  std::string message;
};

struct ProbePlan {
  std::string module_path;  // as loaded
  std::string build_id;     // lower-case hex; "" when the file has none
  PlanUnit unit;
  std::vector<SitePlan> sites;
  std::vector<RefusedSite> refused;  // never empty sites because of these: then Compile fails
  CaptureLimits limits;
  uint32_t fatal_signals = 0;     // not 0: there are no sites in code; bits as in agent/hit/hit.h
  bool last_words = false;        // who comes here ends the program, and waits for its record
  bool hides_site_frame = false;  // it is the runtime's; what called it is of interest
};

// A plan with one site and the name of a function, and nothing that is captured there.
inline ProbePlan PlanOfFunction(std::string function) {
  ProbePlan plan;
  plan.unit.strings.push_back(std::move(function));
  SitePlan site;
  site.function = 1;
  VirtualFrame frame;
  frame.function = site.function;
  plan.unit.virtual_frames.push_back(frame);
  FramePlan machine;
  machine.virtual_count = 1;
  plan.unit.frames.push_back(machine);
  plan.sites.push_back(site);
  return plan;
}

// The plan of a caller pc, made after (or before) it is first seen.
struct CallerPlan {
  std::string build_id;
  PlanUnit unit;  // exactly one FramePlan
};

}  // namespace stillframe

#endif  // STILLFRAME_PLAN_PLAN_H_
