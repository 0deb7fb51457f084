#include "symbolizer/frame_compiler_scope.h"

#include <algorithm>
#include <unordered_set>

#include "plan/entry_key.h"
#include "symbolizer/dwarf_util.h"
#include "symbolizer/split_units.h"
#include "symbolizer/type_builder_simplify.h"

namespace stillframe::dwarf {
namespace {

constexpr size_t kMaxLocals = 4'096;
// Debug information read while looking for a name in other units; about a second at worst.
constexpr uint64_t kSearchBudgetBytes = 48u << 20;
constexpr uint64_t kUnknownUnitBytes = 256u << 10;
constexpr uint64_t kTypeUnitBytes = 4u << 10;  // few have more

bool IsVariableTag(int tag) { return tag == DW_TAG_variable || tag == DW_TAG_formal_parameter; }

// Collects one function's variables, innermost block first.
class LocalReader {
 public:
  LocalReader(std::string_view file, uint32_t line) : file_(file), line_(line) {}

  void ReadBlock(const Dwarf_Die& block) {
    std::unordered_set<const void*> instantiated;
    ReadChildren(block, &instantiated);
    // A concrete instance leaves out what was optimized away; the abstract one still names it.
    const Dwarf_Die origin = Origin(block);
    if (origin.addr != block.addr && !Flag(origin, DW_AT_declaration, false)) {
      instantiated_ = std::move(instantiated);
      ReadChildren(origin, nullptr);
      instantiated_.clear();
    }
    for (LocalVariable& variable : block_) Take(std::move(variable));
    block_.clear();
  }

  std::vector<LocalVariable> Finish() { return std::move(out_); }

 private:
  void ReadChildren(const Dwarf_Die& block, std::unordered_set<const void*>* instantiated) {
    open_ = 0;
    ForEachChild(block, [&](const Dwarf_Die& child) {
      const int tag = Tag(child);
      binding_ = NextBinding(child, tag);
      if (tag == DW_TAG_GNU_formal_parameter_pack) ReadPack(child, instantiated);
      if (IsVariableTag(tag)) Read(child, std::string(Name(child)), instantiated);
      return out_.size() + block_.size() < kMaxLocals;
    });
  }

  // A structured binding is a variable without a name, and behind it its names: GCC's on the line
  // where they are declared, Clang's without any.
  uint8_t NextBinding(const Dwarf_Die& child, int tag) {
    const bool is_variable = tag == DW_TAG_variable;
    if (is_variable && Name(child).empty()) {
      open_ = kVariableBindsFirst;
      return 0;
    }
    const bool ends = open_ == kVariableBinds && Line(child) != bound_line_;
    if (!is_variable || ends) open_ = 0;
    if (open_ == 0) return 0;
    if (open_ == kVariableBinds) return kVariableBinds;
    bound_line_ = Line(child);
    open_ = kVariableBinds;
    return kVariableBindsFirst;
  }

  // "args..." is shown as args#0, args#1, as GDB does.
  void ReadPack(const Dwarf_Die& pack, std::unordered_set<const void*>* instantiated) {
    size_t index = 0;
    ForEachChild(pack, [&](const Dwarf_Die& child) {
      if (Tag(child) != DW_TAG_formal_parameter) return true;
      std::string name(Name(child));
      if (name.empty()) name = std::string(Name(pack)) + "#" + std::to_string(index);
      Read(child, std::move(name), instantiated);
      ++index;
      return true;
    });
  }

  void Read(const Dwarf_Die& die, std::string name, std::unordered_set<const void*>* instantiated) {
    if (instantiated != nullptr) instantiated->insert(Origin(die).addr);
    if (instantiated == nullptr && instantiated_.contains(die.addr)) return;
    if (name.empty()) return;
    LocalVariable variable;
    variable.name = std::move(name);
    variable.die = die;
    const bool parameter = Tag(die) == DW_TAG_formal_parameter;
    const int declared = Line(die);
    variable.flags = parameter ? uint8_t{kVariableParameter} : binding_;
    if (Flag(die, DW_AT_artificial)) variable.flags |= kVariableArtificial;
    variable.later = !parameter && line_ != 0 &&
                     declared > static_cast<int>(std::min<uint32_t>(line_, INT32_MAX)) &&
                     SameFile(die);
    block_.push_back(std::move(variable));
  }

  bool SameFile(const Dwarf_Die& die) const {
    const std::optional<Dwarf_Die> unit = UnitOf(Origin(die));
    return unit && AbsolutePath(*unit, DeclFile(die)) == file_;
  }

  // Within one block a later declaration of the same name (a macro's, a pack's) adds nothing.
  void Take(LocalVariable variable) {
    if (!variable.later && !names_.insert(variable.name).second) return;
    out_.push_back(std::move(variable));
  }

  std::string_view file_;
  uint32_t line_;
  uint8_t binding_ = 0;  // of the child that is read: one of the flags
  uint8_t open_ = 0;     // what the next name is
  int bound_line_ = 0;
  std::vector<LocalVariable> block_;
  std::vector<LocalVariable> out_;
  std::unordered_set<std::string> names_;
  std::unordered_set<const void*> instantiated_;
};

// "shop::Cart" + "kMax" -> shop::Cart::kMax, shop::kMax, kMax. A leading "::" means the last only.
std::vector<std::string> Candidates(std::string_view enclosing, std::string_view name) {
  if (name.starts_with("::")) return {std::string(name.substr(2))};
  std::vector<std::string> out;
  while (!enclosing.empty()) {
    out.push_back(std::string(enclosing) + "::" + std::string(name));
    int depth = 0;
    size_t cut = std::string_view::npos;
    for (size_t i = enclosing.size(); i-- > 1;) {
      const char c = enclosing[i];
      if (c == '>' || c == ')') ++depth;
      if (c == '<' || c == '(') --depth;
      if (depth == 0 && c == ':' && enclosing[i - 1] == ':') {
        cut = i - 1;
        break;
      }
    }
    enclosing = cut == std::string_view::npos ? std::string_view() : enclosing.substr(0, cut);
  }
  out.emplace_back(name);
  return out;
}

std::string_view LastComponent(std::string_view name) {
  const size_t at = name.rfind("::");
  return at == std::string_view::npos ? name : name.substr(at + 2);
}

// Anonymous and inline namespaces may be left out of a written name.
std::string WithoutTransparentNamespaces(std::string name) {
  for (const std::string_view part : {"(anonymous namespace)::", "__cxx11::"}) {
    for (size_t at = name.find(part); at != std::string::npos; at = name.find(part)) {
      name.erase(at, part.size());
    }
  }
  return name;
}

bool HasPlace(Dwarf_Die die) {
  return dwarf_hasattr_integrate(&die, DW_AT_location) != 0 ||
         dwarf_hasattr_integrate(&die, DW_AT_const_value) != 0;
}

}  // namespace

bool IsCompilersOwn(std::string_view artificial) {
  for (const std::string_view shown : {"__closure", "__promise", "__coro_frame"}) {
    if (artificial == shown) return false;
  }
  // Clang's, where a variable-length array is; GCC's of coroutines: awaiters and its own state.
  if (artificial == "saved_stack" || artificial == "Is" || artificial == "Fs") return true;
  const auto numbered = [artificial](std::string_view head) {
    return artificial.starts_with(head) && artificial.size() > head.size() &&
           artificial.find_first_not_of("0123456789", head.size()) == std::string_view::npos;
  };
  return artificial.starts_with("__") || artificial.starts_with("_Coro_") || numbered("Yd") ||
         numbered("Aw") || artificial.find('.') != std::string_view::npos;
}

std::vector<LocalVariable> VisibleLocals(const FunctionScope& scope, std::string_view file,
                                         uint32_t line) {
  LocalReader reader(file, line);
  for (const Dwarf_Die& block : scope.blocks) reader.ReadBlock(block);
  reader.ReadBlock(scope.function);
  return reader.Finish();
}

std::string KeyOf(const std::vector<LocalVariable>& locals, const LocalVariable& local) {
  if ((local.flags & kVariableBinds) != 0) {
    for (auto i = static_cast<size_t>(&local - locals.data()); i-- != 0;) {
      if ((locals[i].flags & kVariableBindsFirst) != 0) return locals[i].name;
    }
  }
  for (const EntryNames& names : kEntryNames) {
    if (local.name != names.value) continue;
    for (const LocalVariable& one : locals) {
      if (!one.later && one.name == names.key) return one.name;
    }
  }
  return "";
}

bool BelongsToSecret(const Dwarf_Die& function, UnitCache& units,
                     const RedactionPolicy* redaction) {
  if (redaction == nullptr) return false;
  const std::optional<Dwarf_Die> parent = units.ParentOf(Origin(function));
  return parent && IsStructTag(Tag(*parent)) && redaction->RedactsType(Name(*parent));
}

const std::vector<Dwarf_Die>& GlobalNames::AllUnits() {
  if (all_units_) return *all_units_;
  all_units_.emplace();
  Dwarf_CU* unit = nullptr;
  Dwarf_Die die;
  uint8_t type = 0;
  while (dwarf_get_units(dwarf_, unit, &unit, nullptr, &type, &die, nullptr) == 0) {
    const bool readable = type == DW_UT_compile || type == DW_UT_partial || type == DW_UT_type ||
                          (type == DW_UT_skeleton && units_.split_units() != nullptr);
    if (readable) all_units_->push_back(die);
  }
  return *all_units_;
}

template <typename Visit>
bool GlobalNames::VisitUnits(const Dwarf_Die& unit, Visit visit) {
  const UnitIndex* own = units_.For(unit);
  if (own != nullptr && visit(*own)) return true;
  const std::vector<Dwarf_Die>& all = AllUnits();
  uint64_t spent = 0;
  for (size_t i = 0; i < all.size() && spent < kSearchBudgetBytes; ++i) {
    Dwarf_Die die = all[i];
    const auto body = units_.split_units() != nullptr ? units_.split_units()->BodyOf(die)
                                                      : std::optional<Dwarf_Die>();
    Dwarf_Die next = i + 1 < all.size() ? all[i + 1] : die;
    const Dwarf_Off start = dwarf_dieoffset(&die);
    const Dwarf_Off end = dwarf_dieoffset(&next);
    spent += end > start && !body ? end - start : kUnknownUnitBytes;
    if (body) die = *body;
    if (die.addr != unit.addr) {
      const UnitIndex* index = units_.For(die);
      if (index != nullptr && visit(*index)) return true;
    }
    if (!body) continue;
    // Of the main file's own they are in `all`.
    for (const Dwarf_Die& type : units_.split_units()->TypeUnitsBeside(*body)) {
      if (spent >= kSearchBudgetBytes) break;
      spent += kTypeUnitBytes;
      const UnitIndex* index = type.addr != unit.addr ? units_.For(type) : nullptr;
      if (index != nullptr && visit(*index)) return true;
    }
  }
  return false;
}

std::optional<Dwarf_Die> GlobalNames::VariableIn(const UnitIndex& index,
                                                 const std::vector<std::string>& candidates,
                                                 bool declared) {
  const std::vector<Dwarf_Die>* dies = index.VariablesNamed(LastComponent(candidates.back()));
  if (dies == nullptr) return std::nullopt;
  for (const std::string& candidate : candidates) {
    for (const Dwarf_Die& die : *dies) {
      const bool fits =
          declared ? Flag(die, DW_AT_declaration) && Flag(die, DW_AT_external) : HasPlace(die);
      if (!fits) continue;
      const std::string name = namer_.QualifiedName(die);
      if (name == candidate || WithoutTransparentNamespaces(name) == candidate) return die;
    }
  }
  return std::nullopt;
}

std::optional<Dwarf_Die> GlobalNames::FindVariable(const Dwarf_Die& unit,
                                                   std::string_view enclosing,
                                                   std::string_view name) {
  const std::vector<std::string> candidates = Candidates(enclosing, name);
  std::optional<Dwarf_Die> found;
  VisitUnits(unit, [&](const UnitIndex& index) {
    found = VariableIn(index, candidates, false);
    return found.has_value();
  });
  if (found || units_.imports() == nullptr) return found;
  // Not defined in this module: the declaration tells its type.
  const UnitIndex* const own = units_.For(unit);
  return own == nullptr ? std::nullopt : VariableIn(*own, candidates, true);
}

std::optional<GlobalNames::EnumHit> GlobalNames::EnumeratorIn(
    const UnitIndex& index, const std::vector<std::string>& candidates) {
  const std::string last(LastComponent(candidates.back()));
  std::optional<EnumHit> best;
  size_t best_rank = candidates.size();
  for (const Dwarf_Die& die : index.enums()) {
    bool has = false;
    ForEachChild(die, [&](const Dwarf_Die& child) {
      has = Tag(child) == DW_TAG_enumerator && Name(child) == last;
      return !has;
    });
    if (!has) continue;
    const std::string own = namer_.QualifiedName(die);
    const std::string scope = namer_.ScopeName(die);
    // A scoped enumerator needs its enum's name; an unscoped one is known around it as well.
    std::vector<std::string> names;
    if (!Name(die).empty()) names.push_back(own + "::" + last);
    if (!Flag(die, DW_AT_enum_class, false)) {
      names.push_back(scope.empty() ? last : scope + "::" + last);
    }
    for (size_t rank = 0; rank < best_rank; ++rank) {
      const auto matches = [&](const std::string& name) {
        return name == candidates[rank] || WithoutTransparentNamespaces(name) == candidates[rank];
      };
      if (!std::any_of(names.begin(), names.end(), matches)) continue;
      best = EnumHit{die, last};
      best_rank = rank;
    }
  }
  return best;
}

std::optional<GlobalNames::EnumHit> GlobalNames::FindEnumerator(const Dwarf_Die& unit,
                                                                std::string_view enclosing,
                                                                std::string_view name) {
  const std::vector<std::string> candidates = Candidates(enclosing, name);
  std::optional<EnumHit> found;
  VisitUnits(unit, [&](const UnitIndex& index) {
    found = EnumeratorIn(index, candidates);
    return found.has_value();
  });
  return found;
}

// Definitions before declarations.
std::optional<Dwarf_Die> GlobalNames::TypeIn(const UnitIndex& index,
                                             const std::vector<std::string>& candidates) {
  const std::vector<Dwarf_Die>* dies = index.TypesNamed(LastComponent(candidates.back()));
  if (dies == nullptr) return std::nullopt;
  for (const std::string& candidate : candidates) {
    for (const Dwarf_Die& die : *dies) {
      if (Flag(die, DW_AT_declaration, false)) continue;
      const std::string name = namer_.QualifiedName(die);
      if (name == candidate || WithoutTransparentNamespaces(name) == candidate) return die;
    }
  }
  return std::nullopt;
}

std::optional<Dwarf_Die> GlobalNames::FindType(const Dwarf_Die& unit, std::string_view enclosing,
                                               std::string_view name) {
  if (name.find('<') != std::string_view::npos) return FindClass(unit, std::string(name));
  const std::vector<std::string> candidates = Candidates(enclosing, name);
  std::optional<Dwarf_Die> found;
  VisitUnits(unit, [&](const UnitIndex& index) {
    found = TypeIn(index, candidates);
    return found.has_value();
  });
  return found;
}

std::optional<Dwarf_Die> GlobalNames::FindDefinition(const Dwarf_Die& declaration) {
  const std::string wanted = namer_.QualifiedName(declaration);
  const std::string_view last = Name(declaration);
  const std::optional<Dwarf_Die> unit = UnitOf(declaration);
  if (last.empty() || !unit) return std::nullopt;
  const auto known = definitions_.find(wanted);
  if (known != definitions_.end()) return known->second;
  std::optional<Dwarf_Die> found;
  VisitUnits(*unit, [&](const UnitIndex& index) {
    const std::vector<Dwarf_Die>* dies = index.TypesNamed(last);
    if (dies == nullptr) return false;
    for (const Dwarf_Die& die : *dies) {
      const bool same_kind = Tag(die) != DW_TAG_typedef && Tag(die) != DW_TAG_template_alias;
      if (!same_kind || Flag(die, DW_AT_declaration, false)) continue;
      if (namer_.QualifiedName(die) != wanted) continue;
      found = die;
      return true;
    }
    return false;
  });
  definitions_.emplace(wanted, found);
  return found;
}

// Template arguments are spelled in many ways: candidates are found by the name before them and
// told apart by the simplified whole.
std::optional<Dwarf_Die> GlobalNames::FindClass(const Dwarf_Die& near, const std::string& name) {
  const auto known = classes_by_name_.find(name);
  if (known != classes_by_name_.end()) return known->second;
  const std::optional<Dwarf_Die> unit = UnitOf(near);
  if (!unit) return std::nullopt;
  const std::string wanted = ComparableTypeName(name);
  const std::string_view head = std::string_view(name).substr(0, name.find('<'));
  std::optional<Dwarf_Die> found;
  VisitUnits(*unit, [&](const UnitIndex& index) {
    index.ForEachClassNamed(LastComponent(head), head.size() != name.size(),
                            [&](const Dwarf_Die& die) {
                              if (Flag(die, DW_AT_declaration, false)) return true;
                              if (ComparableTypeName(namer_.QualifiedName(die)) != wanted) {
                                return true;
                              }
                              found = die;
                              return false;
                            });
    return found.has_value();
  });
  classes_by_name_.emplace(name, found);
  return found;
}

}  // namespace stillframe::dwarf
