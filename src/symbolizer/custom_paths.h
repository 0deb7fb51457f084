// The members and types that users' formatters name, looked up in the type table.
#ifndef STILLFRAME_SYMBOLIZER_CUSTOM_PATHS_H_
#define STILLFRAME_SYMBOLIZER_CUSTOM_PATHS_H_

#include <optional>
#include <string_view>

#include "symbolizer/container_fields.h"
#include "symbolizer/formatters.h"

namespace stillframe::dwarf {

// The type that the text (FormatterItems::node) means for a container of type `container`, laid
// out; nullopt when there is none.
std::optional<TypeId> FindType(TypeBuilder& types, TypeId container, std::string_view text);
// The member at the path in an object of type `at`; types in the path are the container's.
std::optional<Field> FindMember(TypeBuilder& types, TypeId container, TypeId at,
                                const MemberPath& path);
// A part of the path is on the redaction list.
bool RedactsPath(const TypeBuilder& types, const MemberPath& path);

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_CUSTOM_PATHS_H_
