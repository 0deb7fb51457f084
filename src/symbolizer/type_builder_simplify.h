// Names as people write them: default template arguments of the standard library dropped, base
// types in their canonical spelling. Pure text; nothing here reads DWARF.
#ifndef STILLFRAME_SYMBOLIZER_TYPE_BUILDER_SIMPLIFY_H_
#define STILLFRAME_SYMBOLIZER_TYPE_BUILDER_SIMPLIFY_H_

#include <string>
#include <string_view>
#include <vector>

namespace stillframe::dwarf {

// "std::vector<shop::Item, std::allocator<shop::Item> >" -> "std::vector<shop::Item>",
// "std::__cxx11::basic_string<char, ...>" -> "std::string", "long unsigned int" -> "unsigned long".
// Text that is not well-formed comes back unchanged.
std::string SimplifyTypeName(std::string_view name);
// The same for one who compares: GCC's "char const*" and Clang's "const char *" become one.
std::string ComparableTypeName(std::string_view name);
// "long unsigned int" -> "unsigned long"; other names unchanged. GCC writes the former in
// DW_AT_name; GDB prints the latter.
std::string CanonicalBaseName(std::string_view name);
// Without the return type that the demangler puts before a template function's name.
std::string StripReturnType(std::string_view demangled);
// "std::__cxx11::basic_string<...>" -> {"std::basic_string"}: the part before the first template
// argument list, without inline namespaces that start with "__".
std::string TemplateBaseName(std::string_view name);

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_TYPE_BUILDER_SIMPLIFY_H_
