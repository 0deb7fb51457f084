// Library types by the members that are present: which fields of a libstdc++ container lead to its
// elements. Every field is looked up by name in the type table; a container whose members are not
// the expected ones gets no view and is shown raw.
#ifndef STILLFRAME_SYMBOLIZER_CONTAINER_VIEWS_H_
#define STILLFRAME_SYMBOLIZER_CONTAINER_VIEWS_H_

#include <span>
#include <string_view>

#include "plan/type_table.h"

namespace stillframe::dwarf {

class TypeBuilder;

// `raw_name` is a library type that may have a view, or one with a user's formatter.
bool IsViewCandidate(const TypeBuilder& types, std::string_view raw_name);
// The view of struct `id`, whose inline members are built already; kind kNone when there is none.
// May request further types (elements).
View DetectView(TypeBuilder& types, TypeId id);
// Fills node `id` for a declared-only type whose layout its name fixes (std::__cxx11::basic_string:
// the inline namespace names the ABI). False: no such type.
bool MakeStandardLayout(TypeBuilder& types, TypeId id);
// The same for the standard exceptions (standard_exceptions.cc).
bool MakeExceptionLayout(TypeBuilder& types, TypeId id);
// The library's exceptions that may derive from this one; empty for other classes.
std::span<const std::string_view> StandardExceptionsBelow(std::string_view name);

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_CONTAINER_VIEWS_H_
