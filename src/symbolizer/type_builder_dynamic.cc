// What a pointer or reference to a polymorphic class may really lead to: the classes of the module
// that derive from it, told apart by their vtables.
#include "symbolizer/class_index.h"
#include "symbolizer/container_views.h"
#include "symbolizer/type_builder.h"
#include "symbolizer/type_builder_simplify.h"

namespace stillframe::dwarf {
namespace {

constexpr int kMaxDepth = 32;

}  // namespace

// Only a class with a vptr of its own or in a base at a fixed place has a dynamic type to find.
bool TypeBuilder::IsPolymorphic(TypeId id, int depth) const {
  if (depth > kMaxDepth) return false;
  for (const Member& member : Members(Node(id))) {
    const bool base = (member.flags & kMemberBase) != 0;
    // "_vptr.Shape" of GCC, "_vptr$Shape" of Clang. Asked of the first word only: that is what the
    // hit path reads.
    if (!base && String(member.name).starts_with("_vptr")) return member.offset_bytes == 0;
    if ((member.flags & kMemberVirtualBase) != 0) return true;
    if (base && member.offset_bytes == 0 && IsPolymorphic(Strip(member.type), depth + 1)) {
      return true;
    }
  }
  return false;
}

// Where the base is in the class; nullopt when only the object knows. `found` counts the places.
std::optional<uint32_t> TypeBuilder::OffsetOfBase(TypeId derived, const std::string& base,
                                                  int depth, int& found) const {
  if (RawName(derived) == base) {
    ++found;
    return 0;
  }
  std::optional<uint32_t> offset;
  if (depth > kMaxDepth) return offset;
  for (const Member& member : Members(Node(Strip(derived)))) {
    if ((member.flags & kMemberBase) == 0) continue;
    const auto inner = OffsetOfBase(member.type, base, depth + 1, found);
    if (inner && (member.flags & kMemberVirtualBase) == 0) offset = member.offset_bytes + *inner;
  }
  return offset;
}

void TypeBuilder::AddFamily(TypeId id) {
  const Dwarf_Die* die = DieOf(id);
  ClassIndex* classes = finder_ == nullptr ? nullptr : finder_->classes();
  if (die == nullptr || classes == nullptr) return;
  const Dwarf_Die near = *die;
  const std::string base = RawName(id);
  const std::string own = SimplifyTypeName(base);
  std::vector<Derived> derived;
  std::vector<ClassRange> family = classes->Family(own, kMaxDerived);
  // A class that derives from the library's std::runtime_error: how that derives from
  // std::exception, only the library's type information says.
  for (const std::string_view name : StandardExceptionsBelow(own)) {
    const std::vector<ClassRange> more = classes->Family(std::string(name), kMaxDerived);
    family.insert(family.end(), more.begin(), more.end());
  }
  std::unordered_set<uint64_t> seen;
  for (const ClassRange& range : family) {
    if (range.class_name == own) continue;  // it is what it says
    if (derived.size() == kMaxDerived || !seen.insert(range.start.value).second) continue;
    const std::optional<Dwarf_Die> definition = finder_->FindClass(near, range.class_name);
    if (!definition) continue;
    const TypeId type = Complete(*definition, id);
    if (Node(type).kind != TypeKind::kStruct) continue;
    int found = 0;
    const std::optional<uint32_t> offset = OffsetOfBase(type, base, 0, found);
    if (found == 0) continue;
    // Several or virtual: the vtable itself tells how far the object's start is.
    derived.push_back({range.start.value, range.end.value, type,
                       offset && found == 1 ? *offset : kOffsetInVtable});
  }
  if (!derived.empty()) SetDerived(id, std::move(derived));
}

void TypeBuilder::BuildDynamic() {
  std::vector<TypeId> pending;
  pending.swap(pending_dynamic_);
  for (const TypeId pointee : pending) {
    const TypeId id = Strip(pointee);
    const auto state = states_.find(id);
    if (state == states_.end()) continue;
    // Not looked into yet: it is asked again when it is.
    if (!state->second.expanded) {
      if (state->second.hops <= kMaxPointerHops) pending_dynamic_.push_back(pointee);
      continue;
    }
    if (Node(id).kind != TypeKind::kStruct || !dynamic_done_.insert(id).second) continue;
    if (IsPolymorphic(id, 0)) AddFamily(id);
  }
}

}  // namespace stillframe::dwarf
