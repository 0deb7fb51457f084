#include "agent/light_plan.h"

#include <algorithm>

namespace stillframe::agent {
namespace {

constexpr uint32_t kHead = sizeof(LightHeader) + sizeof(TraceContextRecord);

bool IsScalar(const TypeNode& type) {
  switch (type.kind) {
    case TypeKind::kBool:
    case TypeKind::kSigned:
    case TypeKind::kUnsigned:
    case TypeKind::kChar:
    case TypeKind::kUnicode:
    case TypeKind::kEnum:
      return type.size_bytes == 1 || type.size_bytes == 2 || type.size_bytes == 4 ||
             type.size_bytes == 8;
    case TypeKind::kFloat:
      return type.size_bytes == 4 || type.size_bytes == 8;
    default:
      return false;
  }
}

bool IsText(const PlanUnit& unit, const TypeNode& type, const View*& view) {
  if (type.kind != TypeKind::kStruct || type.view == 0) return false;
  view = &unit.views[type.view];
  if (view->kind != ViewKind::kString && view->kind != ViewKind::kStringView) return false;
  return unit.types[view->element].size_bytes == 1;
}

bool IsCText(const PlanUnit& unit, const TypeNode& type) {
  if (type.kind != TypeKind::kPointer) return false;
  const TypeNode& character = unit.types[type.target];
  const bool is_text = character.kind == TypeKind::kChar || character.kind == TypeKind::kUnicode;
  return is_text && character.size_bytes == 1 && (character.flags & kFlagRedacted) == 0;
}

// $trace is an array in pieces, one for eight of its digits.
bool IsTrace(const PlanUnit& unit, const Location& location) {
  if (location.kind != LocationKind::kPieces || location.piece_count != 4) return false;
  for (uint32_t i = 0; i < 4; ++i) {
    const Piece& piece = unit.pieces[location.first_piece + i];
    if (piece.kind != LocationKind::kValue || piece.program.count == 0) return false;
    const Insn& insn = unit.code[piece.program.first];
    if (insn.op != Op::kFact || insn.a != static_cast<uint8_t>(Fact::kTrace0) + i) return false;
  }
  return true;
}

// False: it takes an ordinary record.
bool MakeField(const PlanUnit& unit, const Variable& variable, LightField& field) {
  const TypeNode& declared = unit.types[variable.type];
  const bool is_reference = declared.kind == TypeKind::kReference;
  const TypeNode& type = is_reference ? unit.types[declared.target] : declared;
  Location location = variable.location;
  if ((declared.flags & kFlagRedacted) != 0) return false;
  if (is_reference) {
    // What a reference in a register holds is the object's address.
    if (location.kind != LocationKind::kMemory && location.kind != LocationKind::kValue)
      return false;
    field.is_reference = location.kind == LocationKind::kMemory ? 1 : 0;
    location.kind = LocationKind::kMemory;
  }
  if ((variable.flags & kVariableRedacted) != 0 || (type.flags & kFlagRedacted) != 0) return false;
  if (variable.recovered != 0) return false;  // its label is the decoder's to find out
  field.program = location.program;
  if (IsTrace(unit, location)) {
    field.kind = LightKind::kTrace;
    return true;
  }
  const bool has_place =
      location.kind == LocationKind::kMemory || location.kind == LocationKind::kValue;
  if (has_place && IsCText(unit, type)) {
    field.kind = LightKind::kCText;
    field.load_bytes = location.kind == LocationKind::kMemory ? 8 : 0;
    return true;
  }
  const View* view = nullptr;
  if (IsText(unit, type, view) && location.kind == LocationKind::kMemory) {
    field.kind = LightKind::kText;
    field.pointer_offset = view->a;
    field.size_offset = view->b;
    return true;
  }
  if (!IsScalar(type)) return false;
  const auto size = static_cast<uint8_t>(type.size_bytes);
  switch (location.kind) {
    case LocationKind::kMemory:
      field.load_bytes = size;
      return true;
    case LocationKind::kValue:
      return true;
    case LocationKind::kXmm:
      field.kind = LightKind::kXmm;
      field.reg = location.reg;
      field.load_bytes = size;
      return size == 4 || size == 8;
    default:
      return false;
  }
}

bool HoldsText(const LightField& field) {
  return field.kind == LightKind::kText || field.kind == LightKind::kCText;
}

}  // namespace

bool LightPlan::Make(const ProbePlan& plan) {
  if (plan.hides_site_frame) return false;  // the frame to be named is found by unwinding
  sites_.clear();
  fields_.clear();
  size_t total = 0;
  for (const SitePlan& site : plan.sites) total += site.expression_count;
  fields_.reserve(total);  // sites point into it
  for (const SitePlan& site : plan.sites) {
    if (site.expression_count > kMaxLightFields) return false;
    const size_t first = fields_.size();
    uint32_t texts = 0;
    for (uint32_t i = 0; i < site.expression_count; ++i) {
      LightField field;
      if (!MakeField(plan.unit, plan.unit.variables[site.first_expression + i], field))
        return false;
      texts += HoldsText(field) ? 1 : 0;
      fields_.push_back(field);
    }
    const uint32_t fixed =
        kHead + static_cast<uint32_t>(sizeof(LightValue)) * site.expression_count;
    const uint32_t share = texts == 0 ? 0 : ((kMaxLightBytes - fixed) / texts) & ~7u;
    // With its end, which tells that a text is whole.
    const uint32_t capacity = std::min((CheckedTextBytes(plan.limits) + 8) & ~7u, share);
    uint32_t at = kHead;
    for (size_t i = first; i < fields_.size(); ++i) {
      fields_[i].offset = at;
      at += sizeof(LightValue);
      if (HoldsText(fields_[i])) fields_[i].text_capacity = capacity;
    }
    sites_.push_back(
        {fields_.data() + first, site.expression_count, fixed, fixed + texts * capacity, 0});
  }
  return true;
}

bool LightPlan::MakeSpan(const ProbePlan& plan) {
  sites_.clear();
  fields_.clear();
  for (const SitePlan& site : plan.sites) {
    if (site.expression_count != 0) return false;
    const uint32_t bytes = kHead + static_cast<uint32_t>(sizeof(LightValue));
    sites_.push_back({nullptr, 0, bytes, bytes, kHead});
  }
  return true;
}

}  // namespace stillframe::agent
