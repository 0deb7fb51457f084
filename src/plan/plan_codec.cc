#include "plan/plan_codec.h"

#include "base/archive.h"
#include "plan/verifier.h"

namespace stillframe {
namespace {

// Goes up with every change of the fields below.
constexpr uint32_t kFormat = 3;
// A table of a plan that is real has some thousands of entries; its bytes are fewer than this.
constexpr size_t kMaxPlanBytes = 64u << 20;

}  // namespace

// Every field but padding, in the order of its declaration. Found by argument-dependent lookup, so
// these are members of the types' namespace.
template <typename A>
void Fields(A& a, LinkAddress& address) {
  a(address.value);
}
template <typename A>
void Fields(A& a, Program& program) {
  a(program.first, program.count);
}
template <typename A>
void Fields(A& a, Insn& insn) {
  a(insn.op, insn.a, insn.b, insn.imm);
}
template <typename A>
void Fields(A& a, TypeNode& node) {
  a(node.kind, node.flags, node.derived_count, node.name, node.size_bytes, node.target,
    node.first_member, node.member_count, node.view, node.first_derived, node.count);
}
template <typename A>
void Fields(A& a, Member& member) {
  a(member.name, member.type, member.offset_bytes, member.bit_offset, member.bit_size,
    member.flags);
}
template <typename A>
void Fields(A& a, Enumerator& enumerator) {
  a(enumerator.name, enumerator.scope, enumerator.value);
}
template <typename A>
void Fields(A& a, View& view) {
  a(view.kind, view.size_bytes, view.key_value, view.layout, view.a, view.b, view.c, view.d,
    view.element, view.count, view.first_member, view.member_count, view.left, view.right,
    view.parent, view.keys, view.e);
}
template <typename A>
void Fields(A& a, Derived& derived) {
  a(derived.start, derived.end, derived.type, derived.base_offset);
}
template <typename A>
void Fields(A& a, Piece& piece) {
  a(piece.kind, piece.reg, piece.reason, piece.size_bytes, piece.bytes, piece.program);
}
template <typename A>
void Fields(A& a, Location& location) {
  a(location.kind, location.reg, location.reason, location.bytes, location.program,
    location.first_piece, location.piece_count);
}
template <typename A>
void Fields(A& a, Variable& variable) {
  a(variable.name, variable.type, variable.location, variable.flags, variable.recovered,
    variable.filter, variable.first_extent, variable.extent_count);
}
template <typename A>
void Fields(A& a, VirtualFrame& frame) {
  a(frame.function, frame.file, frame.line, frame.inlined, frame.first_variable,
    frame.variable_count);
}
template <typename A>
void Fields(A& a, FramePlan& frame) {
  a(frame.pc, frame.first_virtual, frame.virtual_count, frame.function_entry, frame.function_name,
    frame.uses_entry_values, frame.may_tail_call_itself, frame.has_lines_only, frame.callee_entry,
    frame.callee_name, frame.callee, frame.first_parameter, frame.parameter_count, frame.copy);
}
template <typename A>
void Fields(A& a, CallParameter& parameter) {
  a(parameter.cell, parameter.program);
}
template <typename A>
void Fields(A& a, PlanUnit& unit) {
  a(unit.strings, unit.code, unit.types, unit.members, unit.enumerators, unit.views, unit.derived,
    unit.pieces, unit.variables, unit.extents, unit.virtual_frames, unit.frames,
    unit.call_parameters);
}
template <typename A>
void Fields(A& a, SitePlan& site) {
  a(site.address, site.function, site.frame, site.condition, site.first_expression,
    site.expression_count, site.part);
}
template <typename A>
void Fields(A& a, CaptureLimits& limits) {
  a(limits.frames, limits.local_frames, limits.depth, limits.items, limits.string_bytes,
    limits.bytes);
}
template <typename A>
void Fields(A& a, ProbePlan& plan) {
  a(plan.module_path, plan.build_id, plan.unit, plan.sites, plan.limits, plan.fatal_signals,
    plan.last_words, plan.hides_site_frame);
}
template <typename A>
void Fields(A& a, CallerPlan& plan) {
  a(plan.build_id, plan.unit);
}

namespace {

template <typename T>
std::string Encode(const T& plan) {
  std::string bytes;
  ArchiveWriter writer(bytes);
  writer(kFormat, plan);
  return bytes;
}

template <typename T>
Result<T> Decode(std::string_view bytes) {
  if (bytes.size() > kMaxPlanBytes) return Status(Code::kCorrupt, "plan: too large");
  ArchiveReader reader(bytes);
  uint32_t format = 0;
  reader(format);
  if (reader.ok() && format != kFormat) {
    return Status(Code::kUnsupported,
                  "plan: format " + std::to_string(format) + ", not " + std::to_string(kFormat));
  }
  T plan;
  reader(plan);
  if (!reader.ok()) return Status(Code::kCorrupt, "plan: cut off, or a number out of its range");
  if (!reader.empty()) return Status(Code::kCorrupt, "plan: bytes follow it");
  return plan;
}

}  // namespace

std::string EncodePlan(const ProbePlan& plan) { return Encode(plan); }
std::string EncodeCallerPlan(const CallerPlan& plan) { return Encode(plan); }

Result<ProbePlan> DecodePlan(std::string_view bytes) {
  SF_ASSIGN_OR_RETURN(ProbePlan plan, Decode<ProbePlan>(bytes));
  SF_RETURN_IF_ERROR(VerifyPlan(plan));
  return plan;
}

Result<CallerPlan> DecodeCallerPlan(std::string_view bytes) {
  SF_ASSIGN_OR_RETURN(CallerPlan plan, Decode<CallerPlan>(bytes));
  SF_RETURN_IF_ERROR(VerifyUnit(plan.unit));
  if (plan.unit.frames.size() != 1) {
    return Status(Code::kCorrupt, "caller plan: it must have one frame");
  }
  return plan;
}

}  // namespace stillframe
