// What the expression compiler asks about the place where an expression stands. Implemented over
// libdw by the variables reader, and by a plain fake in tests.
#ifndef STILLFRAME_SYMBOLIZER_SCOPE_H_
#define STILLFRAME_SYMBOLIZER_SCOPE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "plan/plan.h"

namespace stillframe {

// A name found in scope: its type and location are already in the unit.
struct ScopeVariable {
  TypeId type = kVoidType;
  Location location;  // kUnavailable: its reason becomes the expression's error
  uint8_t flags = 0;  // VariableFlags
  std::string recovered;
  std::string key;  // the variable that may tell in a hit that this one is secret; "": none
};

class Scope {
 public:
  virtual ~Scope() = default;
  // What begins with '$' are the scope's own: $return where a function is left, $exception where it
  // is thrown. Locals and parameters innermost first, then members through `this` (the
  // implementation does not do these: the compiler falls back on Find("this")), then globals and
  // statics of the module.
  virtual std::optional<ScopeVariable> Find(std::string_view name) = 0;
  // Value and type of a (possibly qualified) enumerator, e.g. "Tier::kGold" or "kGold".
  struct EnumConstant {
    TypeId type;
    int64_t value;
  };
  virtual std::optional<EnumConstant> FindEnumerator(std::string_view qualified_name) = 0;
  // A class, enumeration or typedef by its (possibly qualified) name; nullopt: no such type.
  virtual std::optional<TypeId> FindType(std::string_view /*qualified_name*/) {
    return std::nullopt;
  }
  // How many elements the dimensions of an array with kFlagCountedByVariable have here, those that
  // have that flag, the outermost first; or why nobody knows.
  virtual Result<std::vector<Program>> ExtentsOf(TypeId /*array*/) {
    return Status(Code::kUnsupportedType, "its size is not known here");
  }
  // Gives a watch whose type is such an array, or leads to one, what it needs to be shown.
  virtual Status AddExtents(Variable& /*variable*/) { return Status(); }
  // Whether what has that name, or stands under that key, is never shown.
  virtual bool RedactsName(std::string_view /*name*/) { return false; }
  // The same as a list of base/name_list.h, for names that only a hit meets.
  virtual std::string_view NameList() { return {}; }
  // Whether pointers may be computed: arithmetic, [] of pointers, casts to unrelated ones.
  virtual bool AllowsRawMemory() { return true; }
  // All names visible here, for "did you mean".
  virtual std::vector<std::string> VisibleNames() = 0;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_SCOPE_H_
