// The tables of views by type name, for container_views.cc.
#ifndef STILLFRAME_SYMBOLIZER_CONTAINER_RULES_H_
#define STILLFRAME_SYMBOLIZER_CONTAINER_RULES_H_

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "plan/type_table.h"

namespace stillframe {
struct Formatter;
}

namespace stillframe::dwarf {

class TypeBuilder;

struct ViewRule {
  std::string_view name;  // without arguments and without namespaces of reserved names
  // nullopt: its members are not the expected ones.
  std::optional<View> (*detect)(TypeBuilder& types, TypeId id);
};

// "std::filesystem::path" of "std::filesystem::__cxx11::path<...>": libraries put versions and
// details into namespaces of reserved names.
std::string PublicName(std::string_view raw_name);
// Types whose fields have similar names in libstdc++ and libc++, and those of libstdc++ alone.
std::span<const ViewRule> MoreViewRules();
// libc++'s containers.
std::span<const ViewRule> LibcxxViewRules();
// Iterators of both libraries (container_iterators.cc).
std::span<const ViewRule> IteratorRules();
// A user's formatter for the type; nullptr when there is none.
const Formatter* FindFormatter(const TypeBuilder& types, std::string_view raw_name);
// nullopt: the type lacks a member that the formatter names.
std::optional<View> DetectCustom(TypeBuilder& types, TypeId id, const Formatter& formatter);
// The types that `derived` of a std::any lists (container_any.cc).
std::optional<View> DetectAny(TypeBuilder& types, TypeId id);

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_CONTAINER_RULES_H_
