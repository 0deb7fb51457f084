#include "symbolizer/type_builder.h"

#include <algorithm>

#include "symbolizer/container_views.h"
#include "symbolizer/dwarf_util.h"
#include "symbolizer/type_builder_simplify.h"

namespace stillframe::dwarf {
namespace {

bool HasMembers(TypeKind kind) { return kind == TypeKind::kStruct || kind == TypeKind::kUnion; }

}  // namespace

TypeBuilder::TypeBuilder(PlanTables& tables, TypeNamer& namer, const RedactionPolicy* redaction,
                         DefinitionFinder* finder)
    : tables_(tables), namer_(namer), redaction_(redaction), finder_(finder) {}

TypeId TypeBuilder::Type(std::optional<Dwarf_Die> die) {
  if (!die) return kVoidType;
  const TypeId id = NodeFor(*die);
  Reach(id, 0);
  Drain();
  return id;
}

TypeId TypeBuilder::Complete(const Dwarf_Die& die, TypeId user) {
  const TypeId id = NodeFor(die);
  Reach(id, std::min(states_[user].hops + 1, kMaxPointerHops));
  ExpandQueue();
  CopyAliases();
  return id;
}

void TypeBuilder::ReachFrom(TypeId user, TypeId id) {
  Reach(id, std::min(states_[user].hops + 1, kMaxPointerHops));
}

std::span<const Member> TypeBuilder::Members(const TypeNode& node) const {
  if (!HasMembers(node.kind)) return {};
  return std::span<const Member>(tables_.unit().members)
      .subspan(node.first_member, node.member_count);
}

TypeId TypeBuilder::Synthesize(const TypeNode& node, uint32_t alignment) {
  const auto id = static_cast<TypeId>(unit().types.size());
  unit().types.push_back(node);
  own_.push_back(id);
  State& state = states_[id];
  state.expanded = true;
  state.hops = 0;
  state.alignment = alignment;
  return id;
}

TypeId TypeBuilder::NodeFor(const Dwarf_Die& die) {
  const auto known = by_die_.find(die.addr);
  if (known != by_die_.end()) return known->second;
  if (own_.size() >= kMaxTypeNodes) {
    if (limit_node_ == kVoidType) {
      TypeNode node;
      node.kind = TypeKind::kUnsupported;
      node.name = tables_.Intern("(type limit reached)");
      limit_node_ = Synthesize(node, 1);
    }
    return limit_node_;
  }
  // Until it is expanded it promises nothing.
  TypeNode node;
  node.kind = TypeKind::kUnsupported;
  const std::string name = namer_.TypeName(die, NameStyle::kGdb);
  node.name = tables_.Intern(name);
  if (redaction_ != nullptr && redaction_->RedactsType(name)) node.flags |= kFlagRedacted;
  const auto id = static_cast<TypeId>(unit().types.size());
  unit().types.push_back(node);
  own_.push_back(id);
  by_die_.emplace(die.addr, id);
  states_[id].die = die;
  return id;
}

void TypeBuilder::Reach(TypeId id, uint32_t hops) {
  if (id == kVoidType) return;
  State& state = states_[id];
  if (hops >= state.hops) return;
  state.hops = hops;
  if (hops <= kMaxPointerHops) queue_.push_back(id);
}

void TypeBuilder::ExpandQueue() {
  while (!queue_.empty()) {
    const TypeId id = queue_.front();
    queue_.pop_front();
    Expand(id);
  }
}

void TypeBuilder::Drain() {
  bool any = false;
  while (!queue_.empty() || !pending_views_.empty() || !pending_dynamic_.empty()) {
    ExpandQueue();
    CopyAliases();
    BuildViews();
    BuildDynamic();
    any = true;
  }
  // A view made last must reach the typedefs of its container too.
  if (any) CopyAliases();
}

void TypeBuilder::Expand(TypeId id) {
  State& state = states_[id];
  if (!state.expanded && state.die) {
    state.expanded = true;
    dirty_ = true;
    ExpandKind(id, *state.die);
  }
  ReachChildren(id);
}

void TypeBuilder::ReachChildren(TypeId id) {
  const State& state = states_[id];
  const uint32_t hops = state.hops;
  if (state.alias_of != kVoidType) return Reach(state.alias_of, hops);
  const TypeNode node = Node(id);
  if (node.kind == TypeKind::kArray) Reach(node.target, hops);
  if (node.kind == TypeKind::kPointer || node.kind == TypeKind::kReference) {
    Reach(node.target, hops + 1);
  }
  if (node.kind == TypeKind::kEnum) Reach(node.target, hops);
  if (node.kind == TypeKind::kMemberPointer) Reach(node.target, hops + 1);
  if (HasMembers(node.kind)) {
    for (uint32_t i = 0; i < node.member_count; ++i) {
      Reach(unit().members[node.first_member + i].type, hops);
    }
  }
  for (uint32_t i = 0; i < node.derived_count; ++i) {
    Reach(unit().derived[node.first_derived + i].type, hops + 1);
  }
  if (node.view == 0) return;
  const View view = unit().views[node.view];
  Reach(view.element, hops + 1);
  for (uint32_t i = 0; i < view.member_count; ++i) {
    Reach(unit().members[view.first_member + i].type, hops + 1);
  }
}

TypeId TypeBuilder::Strip(TypeId id) const {
  for (int i = 0; i < kMaxChain; ++i) {
    const auto state = states_.find(id);
    if (state == states_.end() || state->second.alias_of == kVoidType) return id;
    id = state->second.alias_of;
  }
  return kVoidType;
}

TypeId TypeBuilder::SkipTypedefs(TypeId id) const {
  for (int i = 0; i < kMaxChain; ++i) {
    const auto state = states_.find(id);
    if (state == states_.end() || state->second.alias_of == kVoidType || !state->second.die ||
        Tag(*state->second.die) != DW_TAG_typedef) {
      return id;
    }
    id = state->second.alias_of;
  }
  return id;
}

void TypeBuilder::CopyAliases() {
  for (const TypeId id : aliases_) {
    const TypeId base = Strip(id);
    if (base == id || base == kVoidType) continue;
    const TypeNode source = Node(base);
    TypeNode& node = Mutable(id);
    const StringId name = node.name;
    const auto redacted = static_cast<uint8_t>(node.flags & kFlagRedacted);
    node = source;
    node.name = name;
    node.flags |= redacted;
  }
}

void TypeBuilder::SetDerived(TypeId id, std::vector<Derived> derived) {
  if (derived.size() > kMaxDerived) derived.resize(kMaxDerived);
  // The hit path searches them by address.
  std::sort(derived.begin(), derived.end(),
            [](const Derived& a, const Derived& b) { return a.start < b.start; });
  TypeNode& node = Mutable(id);
  node.first_derived = static_cast<uint32_t>(unit().derived.size());
  node.derived_count = static_cast<uint8_t>(derived.size());
  unit().derived.insert(unit().derived.end(), derived.begin(), derived.end());
  dirty_ = true;
  ReachChildren(id);
}

void TypeBuilder::BuildViews() {
  std::vector<TypeId> pending;
  pending.swap(pending_views_);
  for (const TypeId id : pending) {
    const View view = DetectView(*this, id);
    if (view.kind == ViewKind::kNone) continue;
    Mutable(id).view = static_cast<uint32_t>(unit().views.size());
    unit().views.push_back(view);
    dirty_ = true;
    ReachChildren(id);
  }
}

uint32_t TypeBuilder::AlignOf(TypeId id) const {
  id = Strip(id);
  const TypeNode& node = Node(id);
  const auto state = states_.find(id);
  uint32_t alignment = state == states_.end() ? 1 : state->second.alignment;
  if (node.kind == TypeKind::kArray) return std::max(alignment, AlignOf(node.target));
  if (!HasMembers(node.kind)) return std::max(alignment, std::min(node.size_bytes, 16u));
  for (uint32_t i = 0; i < node.member_count; ++i) {
    const Member& member = tables_.unit().members[node.first_member + i];
    alignment = std::max(alignment, AlignOf(member.type));
  }
  return alignment;
}

const Dwarf_Die* TypeBuilder::DieOf(TypeId id) const {
  const auto state = states_.find(Strip(id));
  return state == states_.end() || !state->second.die ? nullptr : &*state->second.die;
}

std::optional<TypeBuilder::Dimension> TypeBuilder::DimensionOf(TypeId id) const {
  const auto state = states_.find(Strip(id));
  return state == states_.end() ? std::nullopt : state->second.dimension;
}

const std::string& TypeBuilder::RawName(TypeId id) const {
  static const std::string kEmpty;
  const auto state = states_.find(Strip(id));
  return state == states_.end() ? kEmpty : state->second.raw_name;
}

bool TypeBuilder::RedactsVariable(std::string_view name, TypeId type) const {
  if (redaction_ != nullptr && redaction_->RedactsName(name)) return true;
  for (int i = 0; i < kMaxChain; ++i) {
    const TypeNode& node = Node(type);
    if ((node.flags & kFlagRedacted) != 0) return true;
    const bool follows = node.kind == TypeKind::kPointer || node.kind == TypeKind::kReference ||
                         node.kind == TypeKind::kArray;
    if (!follows || node.target == kVoidType) return false;
    type = node.target;
  }
  return true;
}

}  // namespace stillframe::dwarf
