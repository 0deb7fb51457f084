// Which variables a source-level function shows at a place, and names outside functions.
#ifndef STILLFRAME_SYMBOLIZER_FRAME_COMPILER_SCOPE_H_
#define STILLFRAME_SYMBOLIZER_FRAME_COMPILER_SCOPE_H_

#include <elfutils/libdw.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "symbolizer/scope_reader.h"
#include "symbolizer/type_builder.h"
#include "symbolizer/type_builder_names.h"

namespace stillframe::dwarf {

struct LocalVariable {
  std::string name;
  Dwarf_Die die;
  uint8_t flags = 0;   // VariableFlags, but for what is redacted
  bool later = false;  // declared after the frame's line in its file: not in scope yet
};

// An artificial variable that the source does not speak of: "__for_range", "__vtt_parm". Not so
// `this`, and in GCC's lambdas the captures under their own names and the lambda, "__closure"; nor
// the promise and the frame of a coroutine of Clang's.
bool IsCompilersOwn(std::string_view artificial);

// Parameters and variables of the function and of its blocks that are open, innermost block first,
// in the order of their declaration; a name that is hidden by an inner one is left out.
std::vector<LocalVariable> VisibleLocals(const FunctionScope& scope, std::string_view file,
                                         uint32_t line);

// The name of the local that is the key of `local`, one of them (plan/entry_key.h); "" when there
// is none.
std::string KeyOf(const std::vector<LocalVariable>& locals, const LocalVariable& local);
// Whether it is a method of a class whose objects are never shown: neither is what it returns.
bool BelongsToSecret(const Dwarf_Die& function, UnitCache& units, const RedactionPolicy* redaction);

// Names outside functions: first in the unit of the frame, in the scopes around its function from
// the inside out, then in other units, within a budget of debug information.
class GlobalNames : public DefinitionFinder {
 public:
  GlobalNames(Dwarf* dwarf, UnitCache& units, TypeNamer& namer)
      : dwarf_(dwarf), units_(units), namer_(namer) {}

  // `enclosing` = qualified name of the scope around the function ("shop::Cart"), "" at the top.
  std::optional<Dwarf_Die> FindVariable(const Dwarf_Die& unit, std::string_view enclosing,
                                        std::string_view name);
  struct EnumHit {
    Dwarf_Die enumeration;
    std::string enumerator;
  };
  std::optional<EnumHit> FindEnumerator(const Dwarf_Die& unit, std::string_view enclosing,
                                        std::string_view name);
  // A class, enumeration or typedef, or the template's instance of that name.
  std::optional<Dwarf_Die> FindType(const Dwarf_Die& unit, std::string_view enclosing,
                                    std::string_view name);
  std::optional<Dwarf_Die> FindDefinition(const Dwarf_Die& declaration) override;
  std::optional<Dwarf_Die> FindClass(const Dwarf_Die& near, const std::string& name) override;
  ClassIndex* classes() override { return units_.classes(); }
  const Formatters* formatters() const override { return units_.formatters(); }

 private:
  // Calls visit(index) for `unit` first, then for the others until it returns true or the budget
  // is spent.
  template <typename Visit>
  bool VisitUnits(const Dwarf_Die& unit, Visit visit);
  std::optional<Dwarf_Die> VariableIn(const UnitIndex& index,
                                      const std::vector<std::string>& candidates, bool declared);
  std::optional<EnumHit> EnumeratorIn(const UnitIndex& index,
                                      const std::vector<std::string>& candidates);
  std::optional<Dwarf_Die> TypeIn(const UnitIndex& index,
                                  const std::vector<std::string>& candidates);
  const std::vector<Dwarf_Die>& AllUnits();

  Dwarf* dwarf_;
  UnitCache& units_;
  TypeNamer& namer_;
  std::optional<std::vector<Dwarf_Die>> all_units_;
  std::unordered_map<std::string, std::optional<Dwarf_Die>> definitions_;
  std::unordered_map<std::string, std::optional<Dwarf_Die>> classes_by_name_;
};

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_FRAME_COMPILER_SCOPE_H_
