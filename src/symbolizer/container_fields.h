// Looking up the fields of library types in the type table, for container_views.cc.
#ifndef STILLFRAME_SYMBOLIZER_CONTAINER_FIELDS_H_
#define STILLFRAME_SYMBOLIZER_CONTAINER_FIELDS_H_

#include <elfutils/libdw.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plan/type_table.h"

namespace stillframe::dwarf {

class TypeBuilder;

struct Field {
  uint32_t offset = 0;  // bytes from the start of the object that was asked about
  TypeId type = kVoidType;
  uint8_t bit_offset = 0;  // as Member's
  uint8_t bit_size = 0;
};

// Follows the member names one after the other; each is searched in the type itself, then in its
// bases and anonymous members.
std::optional<Field> FindField(const TypeBuilder& types, TypeId type,
                               std::initializer_list<const char*> path);
std::optional<Field> FindPath(const TypeBuilder& types, TypeId type,
                              const std::vector<std::string>& path);
// The first of the paths that leads somewhere: what one library calls so, another calls otherwise.
std::optional<Field> FindEither(const TypeBuilder& types, TypeId type,
                                std::initializer_list<std::initializer_list<const char*>> paths);
// The same; what libc++ before 20 keeps in a compressed pair is taken out of it.
std::optional<Field> FindUnpaired(const TypeBuilder& types, TypeId type,
                                  std::initializer_list<std::initializer_list<const char*>> paths);
// Value argument `index` of the template instance.
std::optional<uint64_t> TemplateValue(const TypeBuilder& types, TypeId type, uint32_t index);
// Where a value starts behind a node's header; nullopt when its type has no known layout.
std::optional<uint32_t> ValueOffset(const TypeBuilder& types, TypeId value, uint32_t header);
View MakeView(ViewKind kind, ViewLayout layout = kPlain);
// Element `index` of a std::tuple: the member of its _Head_base<index, ...> base, or that base
// itself where an empty element is inherited.
std::optional<Field> TupleElement(const TypeBuilder& types, TypeId tuple, uint32_t index);
// Type arguments of the template instance, packs flattened, in order. Value arguments are skipped.
std::vector<Dwarf_Die> TemplateTypes(const TypeBuilder& types, TypeId type);
std::vector<Dwarf_Die> TemplateTypes(const Dwarf_Die& instance);
bool IsPointer(const TypeBuilder& types, TypeId type);
// What a pointer points to; kVoidType for anything else.
TypeId PointerTarget(const TypeBuilder& types, TypeId type);
Member MemberOf(TypeBuilder& types, std::string_view name, const Field& field);
// Adds the members to the unit and points the view at them.
void AppendMembers(TypeBuilder& types, const std::vector<Member>& members, View& view);

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_CONTAINER_FIELDS_H_
