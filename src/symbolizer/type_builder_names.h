// Names of types and functions from DIEs.
#ifndef STILLFRAME_SYMBOLIZER_TYPE_BUILDER_NAMES_H_
#define STILLFRAME_SYMBOLIZER_TYPE_BUILDER_NAMES_H_

#include <elfutils/libdw.h>

#include <optional>
#include <string>
#include <unordered_map>

#include "symbolizer/scope_reader.h"

namespace stillframe::dwarf {

// GDB: "const shop::Order &", "char *". Demangler: "shop::Order const&", "char*".
enum class NameStyle { kGdb, kDemangler };

class TypeNamer {
 public:
  // `units` must outlive this.
  explicit TypeNamer(UnitCache& units) : units_(units) {}

  // The type's printed name; nullopt type is "void".
  std::string TypeName(std::optional<Dwarf_Die> type, NameStyle style);
  // Namespaces and classes around the DIE joined with "::", then its own name, as in the debug
  // information (not simplified). "" for DIEs without a name.
  std::string QualifiedName(const Dwarf_Die& die);
  // The scope part alone: "shop" of shop::Order; "" at the top.
  std::string ScopeName(const Dwarf_Die& die);
  // What the names of an enumeration's values are qualified with: as GDB, without the function that
  // it is local to.
  std::string EnumeratorScope(const Dwarf_Die& enumeration, bool scoped);
  // "shop::Checkout(shop::Order const&)": the demangled linkage name, or built from the DIEs when
  // the compiler wrote none (internal linkage with GCC, extern "C").
  std::string FunctionName(const Dwarf_Die& function);

 private:
  std::string Declare(std::optional<Dwarf_Die> type, std::string inner, NameStyle style, int depth);
  std::string DeclareQualified(const Dwarf_Die& type, std::string inner, NameStyle style,
                               int depth);
  std::string DeclareArray(const Dwarf_Die& type, std::string inner, NameStyle style, int depth);
  std::string DeclareFunction(const Dwarf_Die& type, std::string inner, NameStyle style, int depth);
  std::string Named(const Dwarf_Die& type, const std::string& inner, NameStyle style);
  std::string Parameters(const Dwarf_Die& function, bool skip_artificial, NameStyle style,
                         int depth);
  // "{lambda(int)}" of a closure class without a name; "" for other types.
  std::string ClosureName(const Dwarf_Die& type);
  std::string BuiltFunctionName(const Dwarf_Die& function);
  // The DIE's own name with its template arguments; "" for one without.
  std::string OwnName(const Dwarf_Die& die);
  void AddTemplateArguments(const Dwarf_Die& parent, bool in_pack, std::string& out);
  std::string ValueArgument(const Dwarf_Die& parameter);

  UnitCache& units_;
  std::unordered_map<const void*, std::string> qualified_;
  std::unordered_map<const void*, std::string> own_;
  std::unordered_map<const void*, std::string> functions_;
};

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_TYPE_BUILDER_NAMES_H_
