// What the symbolizer makes and everything after it obeys: one ProbePlan per (tracepoint, module).
// Plain data without pointers; addresses are relative to the module (LinkAddress).
#ifndef STILLFRAME_PLAN_PLAN_H_
#define STILLFRAME_PLAN_PLAN_H_

#include <string>
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

enum VariableFlags : uint8_t {
  kVariableParameter = 1,
  kVariableArtificial = 2,  // `this`
  kVariableRedacted = 4,    // name or type on the redaction list: never captured, shown REDACTED
};

// A local, a parameter or a watch expression.
struct Variable {
  StringId name = 0;  // or the expression's text
  TypeId type = kVoidType;
  Location location;
  uint8_t flags = 0;
  uint8_t pad[3] = {};
  StringId recovered = 0;  // non-empty: status RECOVERED and this is how, e.g. "entry value"
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
};

// Shared tables; every index elsewhere in the plan points into these.
struct PlanUnit {
  std::vector<std::string> strings{""};
  std::vector<Insn> code;
  std::vector<TypeNode> types{TypeNode{}};
  std::vector<Member> members;
  std::vector<Enumerator> enumerators;
  std::vector<View> views{View{}};
  std::vector<Piece> pieces;
  std::vector<Variable> variables;
  std::vector<VirtualFrame> virtual_frames;
  std::vector<FramePlan> frames;
};

struct SitePlan {
  LinkAddress address;
  StringId function = 0;          // innermost function at the site
  uint32_t frame = 0;             // index into PlanUnit::frames
  Program condition;              // empty = always true. Yields 0 or not 0
  uint32_t first_expression = 0;  // watch expressions in PlanUnit::variables
  uint32_t expression_count = 0;
};

struct CaptureLimits {
  uint32_t frames = 32;
  uint32_t local_frames = 5;
  uint32_t depth = 3;
  uint32_t items = 100;
  uint32_t string_bytes = 255;
  uint32_t bytes = 65536;

  bool operator==(const CaptureLimits&) const = default;
};

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
};

// The plan of a caller pc, made after (or before) it is first seen.
struct CallerPlan {
  std::string build_id;
  PlanUnit unit;  // exactly one FramePlan
};

}  // namespace stillframe

#endif  // STILLFRAME_PLAN_PLAN_H_
