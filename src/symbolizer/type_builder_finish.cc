// The last look at a batch of types: layouts that break their own rules are withdrawn, and the
// walk flag is spread from pointers and views to what contains them.
#include <algorithm>
#include <vector>

#include "plan/view_layout.h"
#include "symbolizer/dwarf_util.h"
#include "symbolizer/type_builder.h"

namespace stillframe::dwarf {
namespace {

constexpr uint32_t kMaxTypeBytes = 1u << 30;
// std::variant and std::tuple nest once per alternative or element.
constexpr int kMaxNesting = 400;

bool HasMembers(TypeKind kind) { return kind == TypeKind::kStruct || kind == TypeKind::kUnion; }

bool IsOpaque(TypeKind kind) {
  return kind == TypeKind::kVoid || kind == TypeKind::kFunction || kind == TypeKind::kIncomplete ||
         kind == TypeKind::kUnsupported;
}

// Depth-first over what is laid out inline; a type inside itself is damage.
class InlineCycleFinder {
 public:
  explicit InlineCycleFinder(const PlanUnit& unit) : unit_(unit), colour_(unit.types.size(), 0) {}

  bool IsCyclic(TypeId id, int depth = 0) {
    if (depth > kMaxNesting || colour_[id] == 1) return true;
    if (colour_[id] == 2) return false;
    colour_[id] = 1;
    bool cyclic = false;
    const TypeNode& node = unit_.types[id];
    if (node.kind == TypeKind::kArray) cyclic = IsCyclic(node.target, depth + 1);
    if (node.kind == TypeKind::kComplex) cyclic = IsCyclic(node.target, depth + 1);
    const View& view = unit_.views[node.view];
    const auto check = [&](const View& part) {
      if (HoldsElement(part)) cyclic = cyclic || IsCyclic(part.element, depth + 1);
      for (uint32_t i = 0; i < part.member_count && !cyclic; ++i) {
        cyclic = IsCyclic(unit_.members[part.first_member + i].type, depth + 1);
      }
      return true;
    };
    check(view);
    if (view.kind == ViewKind::kCustom) (void)EachItemsView(unit_, view, check);
    if (HasMembers(node.kind)) {
      for (uint32_t i = 0; i < node.member_count && !cyclic; ++i) {
        cyclic = IsCyclic(unit_.members[node.first_member + i].type, depth + 1);
      }
    }
    colour_[id] = cyclic ? 0 : 2;
    return cyclic;
  }

 private:
  const PlanUnit& unit_;
  std::vector<uint8_t> colour_;
};

uint64_t EndOf(const PlanUnit& unit, const Member& member) {
  if (member.bit_size != 0) {
    return member.offset_bytes + (member.bit_offset + member.bit_size + 7u) / 8;
  }
  return uint64_t{member.offset_bytes} + unit.types[member.type].size_bytes;
}

bool MembersFit(const PlanUnit& unit, uint32_t first, uint32_t count, uint64_t size_bytes) {
  for (uint32_t i = first; i < first + count; ++i) {
    const Member& member = unit.members[i];
    const TypeKind kind = unit.types[member.type].kind;
    if ((member.flags & (kMemberBase | kMemberAnonymous)) != 0 &&
        (kind == TypeKind::kPointer || kind == TypeKind::kReference)) {
      return false;
    }
    if ((member.flags & kMemberVirtualBase) != 0) continue;
    if (EndOf(unit, member) > size_bytes) return false;
  }
  return true;
}

// The verifier asks for the same.
bool ViewFitsIn(const PlanUnit& unit, const TypeNode& node) {
  const View& view = unit.views[node.view];
  if (!MembersFit(unit, view.first_member, view.member_count, node.size_bytes)) return false;
  const auto fits = [&](const View& items) {
    return ViewFits(unit, items, node.size_bytes) &&
           MembersFit(unit, items.first_member, items.member_count, node.size_bytes);
  };
  if (view.kind == ViewKind::kCustom && !EachItemsView(unit, view, fits)) return false;
  return ViewFits(unit, view, node.size_bytes);
}

bool IsDamaged(const PlanUnit& unit, const TypeNode& node) {
  if (node.size_bytes > kMaxTypeBytes) return true;
  if (node.kind == TypeKind::kReference) {
    return unit.types[node.target].kind == TypeKind::kReference;
  }
  if (node.kind == TypeKind::kArray) {
    const uint64_t element = unit.types[node.target].size_bytes;
    return element != 0 && node.count > node.size_bytes / element;
  }
  return HasMembers(node.kind) &&
         !MembersFit(unit, node.first_member, node.member_count, node.size_bytes);
}

}  // namespace

void TypeBuilder::Finish() {
  if (!dirty_) return;
  dirty_ = false;
  InlineCycleFinder cycles(unit());
  std::vector<uint32_t> misfits;
  std::vector<TypeId> damaged;  // marked afterwards: aliases share their members
  for (const TypeId id : own_) {
    const TypeNode& node = Node(id);
    const bool nests = HasMembers(node.kind) || node.kind == TypeKind::kArray;
    if (IsDamaged(unit(), node) || (nests && cycles.IsCyclic(id))) damaged.push_back(id);
    if (!ViewFitsIn(unit(), node)) misfits.push_back(node.view);
  }
  for (const TypeId id : damaged) MarkUnsupported(id);
  for (const uint32_t view : misfits) unit().views[view] = View{};
  // Children mostly follow their parents, so going backwards settles in a few rounds.
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = own_.size(); i-- > 0;) changed |= UpdateNeedsWalk(own_[i]);
  }
}

bool TypeBuilder::UpdateNeedsWalk(TypeId id) {
  const TypeNode& node = Node(id);
  if ((node.flags & kFlagNeedsWalk) != 0) return false;
  bool walk = false;
  if (node.kind == TypeKind::kPointer || node.kind == TypeKind::kReference) {
    walk = !IsOpaque(Node(node.target).kind);
  } else if (node.kind == TypeKind::kArray) {
    walk = (Node(node.target).flags & kFlagNeedsWalk) != 0;
  } else if (HasMembers(node.kind)) {
    walk = MembersNeedWalk(node.first_member, node.member_count);
  }
  if (!walk && node.view != 0) {
    const View& view = unit().views[node.view];
    const bool inline_view = IsInlineView(view.kind);
    walk = !inline_view || (Node(view.element).flags & kFlagNeedsWalk) != 0 ||
           MembersNeedWalk(view.first_member, view.member_count);
  }
  if (walk) Mutable(id).flags |= kFlagNeedsWalk;
  return walk;
}

bool TypeBuilder::MembersNeedWalk(uint32_t first, uint32_t count) const {
  for (uint32_t i = 0; i < count; ++i) {
    const Member& member = tables_.unit().members[first + i];
    const bool hidden = (member.flags & kMemberArtificial) != 0;
    // Its place is in the vtable, which must be read too.
    if ((member.flags & kMemberVirtualBase) != 0) return true;
    if (!hidden && (Node(member.type).flags & kFlagNeedsWalk) != 0) return true;
  }
  return false;
}

void TypeBuilder::MarkUnsupported(TypeId id) {
  TypeNode& node = Mutable(id);
  if (HasMembers(node.kind)) {
    const auto first = unit().members.begin() + node.first_member;
    std::fill(first, first + node.member_count, Member{});
  }
  node.kind = TypeKind::kUnsupported;
  node.first_member = 0;
  node.member_count = 0;
  node.target = kVoidType;
  node.view = 0;
  node.count = 0;
  if (node.size_bytes > kMaxTypeBytes) node.size_bytes = 0;
}

}  // namespace stillframe::dwarf
