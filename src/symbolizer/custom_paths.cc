#include "symbolizer/custom_paths.h"

#include <algorithm>
#include <span>

#include "symbolizer/dwarf_util.h"
#include "symbolizer/formatter_text.h"
#include "symbolizer/type_builder.h"

namespace stillframe::dwarf {
namespace {

constexpr int kMaxBaseDepth = 64;

bool NamesType(int tag) {
  return tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type ||
         tag == DW_TAG_typedef || tag == DW_TAG_enumeration_type;
}

// A type of that name declared in the class or in its bases.
std::optional<Dwarf_Die> FindNested(const TypeBuilder& types, TypeId type, std::string_view name,
                                    int depth) {
  std::optional<Dwarf_Die> found;
  const Dwarf_Die* die = types.DieOf(type);
  if (die == nullptr || depth > kMaxBaseDepth) return found;
  ForEachChild(*die, [&](const Dwarf_Die& child) {
    if (NamesType(Tag(child)) && Name(child) == name) found = child;
    return !found;
  });
  if (found) return found;
  for (const Member& member : types.Members(types.Node(types.Strip(type)))) {
    if ((member.flags & kMemberBase) == 0) continue;
    if ((found = FindNested(types, member.type, name, depth + 1))) return found;
  }
  return found;
}

}  // namespace

std::optional<TypeId> FindType(TypeBuilder& types, TypeId container, std::string_view text) {
  const auto parsed = ParseTypeText(text);
  if (!parsed.ok()) return std::nullopt;
  if (!parsed->nested.empty()) {
    const auto nested = FindNested(types, container, parsed->nested, 0);
    return nested ? std::optional(types.Complete(*nested, container)) : std::nullopt;
  }
  const auto field = FindPath(types, container, parsed->path);
  if (!field) return std::nullopt;
  const Dwarf_Die* start = types.DieOf(field->type);
  if (start == nullptr) return std::nullopt;
  Dwarf_Die instance = *start;
  for (const uint32_t index : parsed->indexes) {
    const std::vector<Dwarf_Die> arguments = TemplateTypes(instance);
    if (index >= arguments.size()) return std::nullopt;
    instance = arguments[index];
    if (&index == &parsed->indexes.back()) break;
    // Of what a name stands for, and a definition: a declaration says nothing of its arguments.
    const Dwarf_Die* whole = types.DieOf(types.Complete(instance, container));
    if (whole == nullptr) return std::nullopt;
    instance = *whole;
  }
  return types.Complete(instance, container);
}

std::optional<Field> FindMember(TypeBuilder& types, TypeId container, TypeId at,
                                const MemberPath& path) {
  Field field{0, at};
  for (const std::string& part : path) {
    if (part.front() == '(') {
      const auto type =
          FindType(types, container, std::string_view(part).substr(1, part.size() - 2));
      if (!type || field.bit_size != 0) return std::nullopt;
      field.type = *type;
      continue;
    }
    const std::optional<Field> next = FindPath(types, field.type, {part});
    if (!next) return std::nullopt;
    field = {field.offset + next->offset, next->type, next->bit_offset, next->bit_size};
  }
  return field;
}

bool RedactsPath(const TypeBuilder& types, const MemberPath& path) {
  return types.redaction() != nullptr &&
         std::any_of(path.begin(), path.end(),
                     [&](const std::string& part) { return types.redaction()->RedactsName(part); });
}

}  // namespace stillframe::dwarf
