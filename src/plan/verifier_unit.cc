// The tables of a plan: every index in range, every layout inside its parent and finite.
#include <string>
#include <vector>

#include "plan/verifier.h"
#include "plan/view_layout.h"

namespace stillframe {
namespace {

// No sane type is larger; keeps every later offset sum far from overflow.
constexpr uint32_t kMaxTypeBytes = 1u << 30;
// Ranges of members may overlap: without a bound on their sum, a small file means endless work.
constexpr uint64_t kMaxMemberUses = 1u << 22;

// Capture limits above these are a mistake or an attack; model/tracepoint.h allows less.
constexpr CaptureLimits kMaxLimits = {1024, 1024, 64, 1u << 20, 1u << 20, 1u << 24};

Status Corrupt(const std::string& what) { return Status(Code::kCorrupt, what); }

std::string At(const char* table, size_t index) {
  return std::string(table) + " " + std::to_string(index);
}

// [first, first + count) lies in a table of `size` entries.
bool InTable(uint32_t first, uint32_t count, size_t size) {
  return uint64_t{first} + count <= size;
}

class UnitVerifier {
 public:
  explicit UnitVerifier(const PlanUnit& unit) : unit_(unit) {}

  Status Run() {
    SF_RETURN_IF_ERROR(CheckFixedEntries());
    SF_RETURN_IF_ERROR(CheckEach("view", unit_.views.size(), &UnitVerifier::CheckView));
    SF_RETURN_IF_ERROR(CheckEach("member", unit_.members.size(), &UnitVerifier::CheckMember));
    SF_RETURN_IF_ERROR(
        CheckEach("enumerator", unit_.enumerators.size(), &UnitVerifier::CheckEnumerator));
    SF_RETURN_IF_ERROR(CheckEach("derived", unit_.derived.size(), &UnitVerifier::CheckDerived));
    SF_RETURN_IF_ERROR(CheckEach("type", unit_.types.size(), &UnitVerifier::CheckType));
    SF_RETURN_IF_ERROR(CheckAcyclic());
    SF_RETURN_IF_ERROR(CheckEach("piece", unit_.pieces.size(), &UnitVerifier::CheckPiece));
    SF_RETURN_IF_ERROR(CheckEach("variable", unit_.variables.size(), &UnitVerifier::CheckVariable));
    SF_RETURN_IF_ERROR(
        CheckEach("virtual frame", unit_.virtual_frames.size(), &UnitVerifier::CheckVirtualFrame));
    SF_RETURN_IF_ERROR(
        CheckEach("call parameter", unit_.call_parameters.size(), &UnitVerifier::CheckParameter));
    return CheckEach("frame", unit_.frames.size(), &UnitVerifier::CheckFrame);
  }

 private:
  Status CheckEach(const char* table, size_t size, Status (UnitVerifier::*check)(size_t)) {
    for (size_t i = 0; i < size; ++i) {
      const Status status = (this->*check)(i);
      if (!status.ok()) return status.WithContext(At(table, i));
    }
    return Status();
  }

  Status CheckFixedEntries() {
    if (unit_.strings.empty() || !unit_.strings[0].empty()) return Corrupt("string 0 is not \"\"");
    if (unit_.types.empty() || unit_.types[0].kind != TypeKind::kVoid) {
      return Corrupt("type 0 is not void");
    }
    if (unit_.views.empty() || unit_.views[0].kind != ViewKind::kNone) {
      return Corrupt("view 0 is not none");
    }
    return Status();
  }

  Status CheckString(StringId id) const {
    return id < unit_.strings.size() ? Status() : Corrupt("no such string");
  }
  Status CheckTypeId(TypeId id) const {
    return id < unit_.types.size() ? Status() : Corrupt("no such type");
  }
  Status CheckCode(const Program& program) const {
    return VerifyProgram(unit_.code, program, unit_.strings.size());
  }

  Status CheckView(size_t index) {
    const View& view = unit_.views[index];
    if (view.kind > ViewKind::kRootedTree || view.layout > kLibcxxShared) {
      return Corrupt("unknown kind");
    }
    SF_RETURN_IF_ERROR(CheckTypeId(view.element));
    SF_RETURN_IF_ERROR(CheckLinks(view));
    if (view.kind == ViewKind::kCustom) SF_RETURN_IF_ERROR(CheckCustom(view));
    if (!InTable(view.first_member, view.member_count, unit_.members.size())) {
      return Corrupt("members outside the table");
    }
    if (view.kind == ViewKind::kVariant && view.size_bytes != 1 && view.size_bytes != 2 &&
        view.size_bytes != 4 && view.size_bytes != 8) {
      return Corrupt("bad index size");
    }
    return Status();
  }

  // Offsets in a node, or where a number is in its bytes.
  static Status CheckLinks(const View& view) {
    if (view.kind == ViewKind::kShortString) return Status();  // a mask
    const bool links = !HasPartialNumber(view.kind);
    const uint8_t most = links ? 24 : 63;
    const bool bad_parent = view.kind != ViewKind::kSlots && view.parent > 24;
    return view.left > most || view.right > most || bad_parent ? Corrupt("bad link") : Status();
  }

  Status CheckCustom(const View& view) const {
    SF_RETURN_IF_ERROR(CheckString(view.a));
    if (view.b >= unit_.views.size()) return Corrupt("no such view");
    const bool legal =
        EachItemsView(unit_, view, [](const View& items) { return MayBeItems(items.kind); });
    return legal ? Status() : Corrupt("a formatter's items of a bad kind");
  }

  Status CheckDerived(size_t index) {
    const Derived& derived = unit_.derived[index];
    if (derived.start >= derived.end) return Corrupt("empty range");
    SF_RETURN_IF_ERROR(CheckTypeId(derived.type));
    // Walked on the level of what led here.
    return unit_.types[derived.type].kind == TypeKind::kReference ? Corrupt("a reference")
                                                                  : Status();
  }

  Status CheckMember(size_t index) {
    const Member& member = unit_.members[index];
    SF_RETURN_IF_ERROR(CheckString(member.name));
    SF_RETURN_IF_ERROR(CheckTypeId(member.type));
    if (member.bit_size > 64 ||
        (member.bit_size != 0 && member.bit_offset + member.bit_size > 128)) {
      return Corrupt("bad bit-field");
    }
    // Bases and anonymous members are walked on the same level as their parent; only classes may
    // be that, or a cycle through a reference would never gain depth.
    const TypeKind kind = unit_.types[member.type].kind;
    const bool same_level = (member.flags & (kMemberBase | kMemberAnonymous)) != 0;
    if (same_level && (kind == TypeKind::kReference || kind == TypeKind::kPointer)) {
      return Corrupt("base or anonymous member that is not a class");
    }
    return Status();
  }

  Status CheckEnumerator(size_t index) {
    SF_RETURN_IF_ERROR(CheckString(unit_.enumerators[index].scope));
    return CheckString(unit_.enumerators[index].name);
  }

  Status CheckType(size_t index) {
    const TypeNode& type = unit_.types[index];
    if (type.kind > TypeKind::kComplex) return Corrupt("unknown kind");
    if (!InTable(type.first_derived, type.derived_count, unit_.derived.size())) {
      return Corrupt("derived types outside the table");
    }
    SF_RETURN_IF_ERROR(CheckString(type.name));
    SF_RETURN_IF_ERROR(CheckTypeId(type.target));
    if (type.size_bytes > kMaxTypeBytes) return Corrupt("too large");
    if (type.view >= unit_.views.size()) return Corrupt("no such view");
    SF_RETURN_IF_ERROR(CheckSize(type));
    if (type.kind == TypeKind::kReference &&
        unit_.types[type.target].kind == TypeKind::kReference) {
      return Corrupt("reference to a reference");
    }
    member_uses_ += uint64_t{type.member_count} + unit_.views[type.view].member_count;
    if (member_uses_ > kMaxMemberUses) return Corrupt("too many members in all");
    SF_RETURN_IF_ERROR(CheckMembersOf(type));
    return CheckViewOf(type);
  }

  Status CheckSize(const TypeNode& type) const {
    const uint32_t size = type.size_bytes;
    bool legal = true;
    switch (type.kind) {
      case TypeKind::kBool:
      case TypeKind::kChar:
      case TypeKind::kUnicode:
      case TypeKind::kEnum:
        legal = size >= 1 && size <= 8;
        break;
      case TypeKind::kSigned:
      case TypeKind::kUnsigned:
        legal = size >= 1 && size <= 16;
        break;
      case TypeKind::kFloat:
        legal = size == 4 || size == 8 || size == 16;
        break;
      case TypeKind::kPointer:
      case TypeKind::kReference:
      case TypeKind::kNullptr:
        legal = size == 8;
        break;
      case TypeKind::kMemberPointer:
        legal = size == 8 || size == 16;
        break;
      case TypeKind::kHalf:
      case TypeKind::kBrainFloat:
        legal = size == 2;
        break;
      case TypeKind::kQuad:
        legal = size == 16;
        break;
      case TypeKind::kComplex:
        legal = size == 2 * uint64_t{unit_.types[type.target].size_bytes} && size <= 32;
        break;
      case TypeKind::kArray: {
        const uint64_t element = unit_.types[type.target].size_bytes;
        legal = type.count == 0 || element == 0 || type.count <= size / element;
        break;
      }
      default:
        break;
    }
    return legal ? Status() : Corrupt("bad size");
  }

  Status CheckMembersOf(const TypeNode& type) const {
    const bool is_enum = type.kind == TypeKind::kEnum || type.kind == TypeKind::kMemberPointer;
    const bool is_class = type.kind == TypeKind::kStruct || type.kind == TypeKind::kUnion;
    if (!is_enum && !is_class) {
      return type.member_count == 0 ? Status() : Corrupt("members of a type that has none");
    }
    const size_t table = is_enum ? unit_.enumerators.size() : unit_.members.size();
    if (!InTable(type.first_member, type.member_count, table)) {
      return Corrupt("members outside the table");
    }
    return is_enum ? Status() : CheckLayout(type.first_member, type.member_count, type.size_bytes);
  }

  // Members lie inside `parent_bytes`.
  Status CheckLayout(uint32_t first, uint32_t count, uint64_t parent_bytes) const {
    for (uint32_t i = first; i < first + count; ++i) {
      const Member& member = unit_.members[i];
      if ((member.flags & kMemberVirtualBase) != 0) continue;
      uint64_t end = uint64_t{member.offset_bytes} + unit_.types[member.type].size_bytes;
      if (member.bit_size != 0) {
        end = member.offset_bytes + (uint64_t{member.bit_offset} + member.bit_size + 7) / 8;
      }
      if (end > parent_bytes) return Corrupt(At("member", i) + " leaves its parent");
    }
    return Status();
  }

  // The fields that the view reads in the object lie inside it.
  Status CheckViewOf(const TypeNode& type) const {
    const View& view = unit_.views[type.view];
    const uint64_t size = type.size_bytes;
    bool inside = ViewFits(unit_, view, size);
    // Its items are looked for in the same object.
    if (view.kind == ViewKind::kCustom) {
      inside = inside && EachItemsView(unit_, view, [&](const View& items) {
                 return ViewFits(unit_, items, size) &&
                        CheckLayout(items.first_member, items.member_count, size).ok();
               });
    }
    if (!inside) return Corrupt("view leaves its object");
    return CheckLayout(view.first_member, view.member_count, size);
  }

  // Types laid out inside `id`.
  void AppendInline(TypeId id, std::vector<TypeId>& out) const {
    const TypeNode& type = unit_.types[id];
    const View& view = unit_.views[type.view];
    const auto members = [&](uint32_t first, uint32_t count) {
      for (uint32_t i = first; i < first + count; ++i) out.push_back(unit_.members[i].type);
    };
    if (type.kind == TypeKind::kArray || type.kind == TypeKind::kComplex) {
      out.push_back(type.target);
    }
    if (type.kind == TypeKind::kStruct || type.kind == TypeKind::kUnion) {
      members(type.first_member, type.member_count);
    }
    const auto inline_parts = [&](const View& part) {
      if (HoldsElement(part)) out.push_back(part.element);
      members(part.first_member, part.member_count);
      return true;
    };
    inline_parts(view);
    if (view.kind == ViewKind::kCustom) (void)EachItemsView(unit_, view, inline_parts);
  }

  // Depth-first with a stack of its own: hostile nesting must not exhaust the thread's.
  Status CheckAcyclic() const {
    enum : uint8_t { kNew, kOpen, kDone };
    std::vector<uint8_t> state(unit_.types.size(), kNew);
    std::vector<TypeId> stack;
    for (TypeId root = 0; root < unit_.types.size(); ++root) {
      if (state[root] == kNew) stack.push_back(root);
      while (!stack.empty()) {
        const TypeId id = stack.back();
        if (state[id] != kNew) {
          state[id] = kDone;
          stack.pop_back();
          continue;
        }
        state[id] = kOpen;
        const size_t below = stack.size();
        AppendInline(id, stack);
        size_t kept = below;
        for (size_t i = below; i < stack.size(); ++i) {
          if (state[stack[i]] == kOpen) return Corrupt(At("type", stack[i]) + " contains itself");
          if (state[stack[i]] == kNew) stack[kept++] = stack[i];
        }
        stack.resize(kept);
      }
    }
    return Status();
  }

  Status CheckPlace(LocationKind kind, uint8_t reg, StringId bytes, const Program& program) const {
    if (kind == LocationKind::kMemory || kind == LocationKind::kValue) return CheckCode(program);
    if (kind == LocationKind::kXmm && reg >= kVectorCount) return Corrupt("no such register");
    if (kind == LocationKind::kBytes) return CheckString(bytes);
    return Status();
  }

  Status CheckPiece(size_t index) {
    const Piece& piece = unit_.pieces[index];
    if (piece.kind >= LocationKind::kPieces) return Corrupt("bad kind");
    if (piece.size_bytes == 0 || piece.size_bytes > kMaxTypeBytes) return Corrupt("bad size");
    if (piece.kind == LocationKind::kValue && piece.size_bytes > 8) return Corrupt("bad size");
    if (piece.kind == LocationKind::kXmm && piece.size_bytes > 16) return Corrupt("bad size");
    SF_RETURN_IF_ERROR(CheckPlace(piece.kind, piece.reg, piece.bytes, piece.program));
    if (piece.kind == LocationKind::kBytes &&
        unit_.strings[piece.bytes].size() < piece.size_bytes) {
      return Corrupt("fewer bytes than its size");
    }
    return Status();
  }

  // Every dimension that has an extent is an array, and what is inside the last has a size.
  Status CheckExtents(const Variable& variable) {
    if (variable.extent_count > kMaxExtents ||
        !InTable(variable.first_extent, variable.extent_count, unit_.extents.size())) {
      return Corrupt("extents outside the table");
    }
    TypeId type = variable.type;
    const TypeKind kind = unit_.types[type].kind;
    if (kind == TypeKind::kPointer || kind == TypeKind::kReference) {
      type = unit_.types[type].target;
    } else if (variable.location.kind != LocationKind::kMemory) {
      return Corrupt("extents of what is no array in memory");
    }
    for (uint32_t i = 0; i < variable.extent_count; ++i) {
      const TypeNode& array = unit_.types[type];
      if (array.kind != TypeKind::kArray || (array.flags & kFlagCountedByVariable) == 0) {
        return Corrupt("extents of what is no array");
      }
      SF_RETURN_IF_ERROR(CheckCode(unit_.extents[variable.first_extent + i]));
      type = array.target;
    }
    return (unit_.types[type].flags & kFlagCountedByVariable) == 0 ? Status()
                                                                   : Corrupt("extents missing");
  }

  Status CheckVariable(size_t index) {
    const Variable& variable = unit_.variables[index];
    const Location& location = variable.location;
    SF_RETURN_IF_ERROR(CheckString(variable.name));
    SF_RETURN_IF_ERROR(CheckString(variable.recovered));
    SF_RETURN_IF_ERROR(CheckTypeId(variable.type));
    if (!variable.filter.empty()) {
      SF_RETURN_IF_ERROR(
          VerifyProgram(unit_.code, variable.filter, unit_.strings.size(), kFilterLocals));
    }
    if (variable.extent_count != 0) SF_RETURN_IF_ERROR(CheckExtents(variable));
    if (location.kind > LocationKind::kPieces) return Corrupt("bad location kind");
    if (location.kind == LocationKind::kPieces &&
        !InTable(location.first_piece, location.piece_count, unit_.pieces.size())) {
      return Corrupt("pieces outside the table");
    }
    return CheckPlace(location.kind, location.reg, location.bytes, location.program);
  }

  Status CheckVirtualFrame(size_t index) {
    const VirtualFrame& frame = unit_.virtual_frames[index];
    SF_RETURN_IF_ERROR(CheckString(frame.function));
    SF_RETURN_IF_ERROR(CheckString(frame.file));
    return InTable(frame.first_variable, frame.variable_count, unit_.variables.size())
               ? Status()
               : Corrupt("variables outside the table");
  }

  Status CheckParameter(size_t index) {
    const CallParameter& parameter = unit_.call_parameters[index];
    if (parameter.cell >= kAllEntryCells) return Corrupt("no such register");
    return CheckCode(parameter.program);
  }

  Status CheckFrame(size_t index) {
    const FramePlan& frame = unit_.frames[index];
    if (!InTable(frame.first_parameter, frame.parameter_count, unit_.call_parameters.size())) {
      return Corrupt("call parameters outside the table");
    }
    if (!frame.callee.empty()) SF_RETURN_IF_ERROR(CheckCode(frame.callee));
    return InTable(frame.first_virtual, frame.virtual_count, unit_.virtual_frames.size())
               ? Status()
               : Corrupt("virtual frames outside the table");
  }

  const PlanUnit& unit_;
  uint64_t member_uses_ = 0;
};

Status VerifySite(const PlanUnit& unit, const SitePlan& site) {
  if (site.function >= unit.strings.size()) return Corrupt("no such string");
  if (site.frame >= unit.frames.size()) return Corrupt("no such frame");
  if (!InTable(site.first_expression, site.expression_count, unit.variables.size())) {
    return Corrupt("expressions outside the table");
  }
  if (site.condition.empty()) return Status();
  return VerifyProgram(unit.code, site.condition, unit.strings.size()).WithContext("condition");
}

Status VerifyLimits(const CaptureLimits& limits) {
  const bool legal =
      limits.frames <= kMaxLimits.frames && limits.local_frames <= kMaxLimits.local_frames &&
      limits.depth <= kMaxLimits.depth && limits.items <= kMaxLimits.items &&
      limits.string_bytes <= kMaxLimits.string_bytes && limits.bytes <= kMaxLimits.bytes;
  return legal ? Status() : Corrupt("capture limits too large");
}

}  // namespace

Status VerifyUnit(const PlanUnit& unit) { return UnitVerifier(unit).Run(); }

Status VerifyPlan(const ProbePlan& plan) {
  SF_RETURN_IF_ERROR(VerifyUnit(plan.unit));
  SF_RETURN_IF_ERROR(VerifyLimits(plan.limits));
  for (size_t i = 0; i < plan.sites.size(); ++i) {
    const Status status = VerifySite(plan.unit, plan.sites[i]);
    if (!status.ok()) return status.WithContext(At("site", i));
  }
  return Status();
}

}  // namespace stillframe
