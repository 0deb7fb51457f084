#include "symbolizer/container_fields.h"

#include <span>
#include <string>

#include "symbolizer/dwarf_util.h"
#include "symbolizer/type_builder.h"
#include "symbolizer/type_builder_simplify.h"

namespace stillframe::dwarf {
namespace {

// Library types nest their bases a handful deep; std::tuple one per element.
constexpr int kMaxBaseDepth = 64;

std::optional<Field> FindMember(const TypeBuilder& types, TypeId type, std::string_view name,
                                int depth) {
  if (depth > kMaxBaseDepth) return std::nullopt;
  const std::span<const Member> members = types.Members(types.Node(types.Strip(type)));
  for (const Member& member : members) {
    if (types.String(member.name) == name && (member.flags & kMemberBase) == 0) {
      return Field{member.offset_bytes, member.type, member.bit_offset, member.bit_size};
    }
  }
  for (const Member& member : members) {
    if ((member.flags & (kMemberBase | kMemberAnonymous)) == 0) continue;
    if ((member.flags & kMemberVirtualBase) != 0) continue;
    if (auto found = FindMember(types, member.type, name, depth + 1)) {
      found->offset += member.offset_bytes;
      return found;
    }
  }
  return std::nullopt;
}

// libstdc++ before 10: an empty element is a base class of its _Head_base.
std::optional<Field> EmptyHead(const TypeBuilder& types, TypeId head) {
  for (const Member& member : types.Members(types.Node(types.Strip(head)))) {
    if ((member.flags & kMemberBase) != 0) return Field{member.offset_bytes, member.type};
  }
  return std::nullopt;
}

// "std::_Head_base<0, int, false>"; Clang writes the index as 0UL, and libc++ has
// "std::__1::__tuple_leaf<0UL, int, false>".
bool IsHead(std::string_view name, const std::string& head) {
  if (!name.starts_with(head)) return false;
  const std::string_view rest = name.substr(head.size());
  return rest.starts_with(",") || rest.starts_with("UL,");
}

std::optional<Field> FindHead(const TypeBuilder& types, TypeId type, const std::string& index,
                              int depth) {
  if (depth > kMaxBaseDepth) return std::nullopt;
  for (const Member& member : types.Members(types.Node(types.Strip(type)))) {
    if ((member.flags & kMemberBase) == 0) continue;
    std::optional<Field> found;
    const std::string& name = types.RawName(member.type);
    if (IsHead(name, "std::_Head_base<" + index) ||
        IsHead(name, "std::__1::__tuple_leaf<" + index)) {
      found = FindMember(types, member.type, "_M_head_impl", 0);
      if (!found) found = FindMember(types, member.type, "__value_", 0);
      if (!found) found = EmptyHead(types, member.type);
    } else {
      found = FindHead(types, member.type, index, depth + 1);
    }
    if (!found) continue;
    found->offset += member.offset_bytes;
    return found;
  }
  return std::nullopt;
}

void CollectTypes(const Dwarf_Die& parent, int depth, std::vector<Dwarf_Die>& out) {
  ForEachChild(parent, [&](const Dwarf_Die& child) {
    const int tag = Tag(child);
    if (tag == DW_TAG_GNU_template_parameter_pack && depth == 0) CollectTypes(child, 1, out);
    if (tag != DW_TAG_template_type_parameter) return true;
    if (const std::optional<Dwarf_Die> type = TypeOf(child)) out.push_back(*type);
    return out.size() < 256;
  });
}

}  // namespace

std::optional<Field> FindField(const TypeBuilder& types, TypeId type,
                               std::initializer_list<const char*> path) {
  Field at{0, type};
  for (const char* name : path) {
    const std::optional<Field> next = FindMember(types, at.type, name, 0);
    if (!next) return std::nullopt;
    at = {at.offset + next->offset, next->type, next->bit_offset, next->bit_size};
  }
  return at;
}

std::optional<Field> FindPath(const TypeBuilder& types, TypeId type,
                              const std::vector<std::string>& path) {
  Field at{0, type};
  for (const std::string& name : path) {
    const std::optional<Field> next = FindMember(types, at.type, name, 0);
    if (!next) return std::nullopt;
    at = {at.offset + next->offset, next->type, next->bit_offset, next->bit_size};
  }
  return at;
}

std::optional<Field> FindEither(const TypeBuilder& types, TypeId type,
                                std::initializer_list<std::initializer_list<const char*>> paths) {
  for (const auto& path : paths) {
    if (const std::optional<Field> found = FindField(types, type, path)) return found;
  }
  return std::nullopt;
}

std::optional<Field> FindUnpaired(const TypeBuilder& types, TypeId type,
                                  std::initializer_list<std::initializer_list<const char*>> paths) {
  std::optional<Field> found = FindEither(types, type, paths);
  if (!found || TemplateBaseName(types.RawName(found->type)) != "std::__compressed_pair") {
    return found;
  }
  const std::optional<Field> value = FindField(types, found->type, {"__value_"});
  if (!value) return std::nullopt;
  return Field{found->offset + value->offset, value->type};
}

std::optional<uint64_t> TemplateValue(const TypeBuilder& types, TypeId type, uint32_t index) {
  const Dwarf_Die* die = types.DieOf(type);
  std::optional<uint64_t> value;
  if (die == nullptr) return value;
  ForEachChild(*die, [&](const Dwarf_Die& child) {
    if (Tag(child) != DW_TAG_template_value_parameter || index-- != 0) return true;
    value = Unsigned(child, DW_AT_const_value);
    return false;
  });
  return value;
}

std::optional<uint32_t> ValueOffset(const TypeBuilder& types, TypeId value, uint32_t header) {
  const TypeKind kind = types.Node(types.Strip(value)).kind;
  if (kind == TypeKind::kIncomplete || kind == TypeKind::kUnsupported || kind == TypeKind::kVoid) {
    return std::nullopt;
  }
  const uint32_t alignment = types.AlignOf(value);
  return (header + alignment - 1) / alignment * alignment;
}

View MakeView(ViewKind kind, ViewLayout layout) {
  View view;
  view.kind = kind;
  view.layout = layout;
  return view;
}

std::optional<Field> TupleElement(const TypeBuilder& types, TypeId tuple, uint32_t index) {
  const std::string text = std::to_string(index);
  if (const auto found = FindHead(types, tuple, text, 0)) return found;
  const auto base = FindField(types, tuple, {"__base_"});
  if (!base) return std::nullopt;
  auto found = FindHead(types, base->type, text, 0);
  if (found) found->offset += base->offset;
  return found;
}

std::vector<Dwarf_Die> TemplateTypes(const TypeBuilder& types, TypeId type) {
  std::vector<Dwarf_Die> out;
  if (const Dwarf_Die* die = types.DieOf(type)) CollectTypes(*die, 0, out);
  return out;
}

std::vector<Dwarf_Die> TemplateTypes(const Dwarf_Die& instance) {
  std::vector<Dwarf_Die> out;
  CollectTypes(instance, 0, out);
  return out;
}

bool IsPointer(const TypeBuilder& types, TypeId type) {
  return types.Node(types.Strip(type)).kind == TypeKind::kPointer;
}

TypeId PointerTarget(const TypeBuilder& types, TypeId type) {
  const TypeNode& node = types.Node(types.Strip(type));
  return node.kind == TypeKind::kPointer ? node.target : kVoidType;
}

Member MemberOf(TypeBuilder& types, std::string_view name, const Field& field) {
  Member member;
  member.name = types.tables().Intern(name);
  member.type = field.type;
  member.offset_bytes = field.offset;
  member.bit_offset = field.bit_offset;
  member.bit_size = field.bit_size;
  return member;
}

void AppendMembers(TypeBuilder& types, const std::vector<Member>& members, View& view) {
  std::vector<Member>& all = types.unit().members;
  view.first_member = static_cast<uint32_t>(all.size());
  view.member_count = static_cast<uint32_t>(members.size());
  all.insert(all.end(), members.begin(), members.end());
}

}  // namespace stillframe::dwarf
