// Looking up the fields of library types in the type table, for container_views.cc.
#ifndef STILLFRAME_SYMBOLIZER_CONTAINER_FIELDS_H_
#define STILLFRAME_SYMBOLIZER_CONTAINER_FIELDS_H_

#include <elfutils/libdw.h>

#include <initializer_list>
#include <optional>
#include <string_view>
#include <vector>

#include "plan/type_table.h"

namespace stillframe::dwarf {

class TypeBuilder;

struct Field {
  uint32_t offset = 0;  // bytes from the start of the object that was asked about
  TypeId type = kVoidType;
};

// Follows the member names one after the other; each is searched in the type itself, then in its
// bases and anonymous members.
std::optional<Field> FindField(const TypeBuilder& types, TypeId type,
                               std::initializer_list<const char*> path);
// Element `index` of a std::tuple: the member of its _Head_base<index, ...> base, or that base
// itself where an empty element is inherited.
std::optional<Field> TupleElement(const TypeBuilder& types, TypeId tuple, uint32_t index);
// Type arguments of the template instance, packs flattened, in order. Value arguments are skipped.
std::vector<Dwarf_Die> TemplateTypes(const TypeBuilder& types, TypeId type);
bool IsPointer(const TypeBuilder& types, TypeId type);
// What a pointer points to; kVoidType for anything else.
TypeId PointerTarget(const TypeBuilder& types, TypeId type);
Member MemberOf(TypeBuilder& types, std::string_view name, const Field& field);
// Adds the members to the unit and points the view at them.
void AppendMembers(TypeBuilder& types, const std::vector<Member>& members, View& view);

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_CONTAINER_FIELDS_H_
