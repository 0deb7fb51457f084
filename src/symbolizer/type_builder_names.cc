#include "symbolizer/type_builder_names.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>

#include "symbolizer/dwarf_util.h"
#include "symbolizer/type_builder_simplify.h"

namespace stillframe::dwarf {
namespace {

constexpr int kMaxDepth = 32;
constexpr size_t kMaxNameBytes = 64 * 1024;

std::string Demangle(std::string_view linkage_name) {
  if (!linkage_name.starts_with("_Z")) return "";
  struct FreeText {
    void operator()(char* text) const { std::free(text); }
  };
  int status = -1;
  const std::unique_ptr<char, FreeText> text(
      abi::__cxa_demangle(std::string(linkage_name).c_str(), nullptr, nullptr, &status));
  return status == 0 && text != nullptr ? std::string(text.get()) : std::string();
}

// What stands for a DIE that has no name of its own.
std::string PlaceholderName(int tag) {
  switch (tag) {
    case DW_TAG_namespace:
      return "(anonymous namespace)";
    case DW_TAG_union_type:
      return "union {...}";
    case DW_TAG_class_type:
      return "class {...}";
    case DW_TAG_structure_type:
      return "struct {...}";
    case DW_TAG_enumeration_type:
      return "enum {...}";
    default:
      return "";
  }
}

// Its declarator goes around the name: int (*)[3].
bool BindsToDeclarator(int tag) {
  return tag == DW_TAG_array_type || tag == DW_TAG_subroutine_type;
}

bool IsPointerLike(int tag) {
  return tag == DW_TAG_pointer_type || tag == DW_TAG_reference_type ||
         tag == DW_TAG_rvalue_reference_type || tag == DW_TAG_ptr_to_member_type;
}

const char* QualifierWord(int tag) {
  if (tag == DW_TAG_const_type) return "const";
  if (tag == DW_TAG_volatile_type) return "volatile";
  if (tag == DW_TAG_restrict_type) return "restrict";
  return "_Atomic";
}

// A member function's `this` points to const: it was declared const.
bool HasConstThis(const Dwarf_Die& function) {
  const std::optional<Dwarf_Die> self = Reference(function, DW_AT_object_pointer);
  std::optional<Dwarf_Die> type = self ? TypeOf(*self) : std::nullopt;
  if (type && Tag(*type) == DW_TAG_const_type) type = TypeOf(*type);  // T* const
  if (!type || Tag(*type) != DW_TAG_pointer_type) return false;
  const std::optional<Dwarf_Die> target = TypeOf(*type);
  return target && Tag(*target) == DW_TAG_const_type;
}

int TagOf(std::optional<Dwarf_Die> die) { return die ? dwarf_tag(&*die) : DW_TAG_invalid; }

}  // namespace

std::string TypeNamer::ClosureName(const Dwarf_Die& type) {
  std::string name;
  ForEachChild(type, [&](const Dwarf_Die& child) {
    if (Tag(child) != DW_TAG_subprogram || Name(child) != "operator()") return true;
    name = "{lambda(" + Parameters(child, true, NameStyle::kDemangler, 1) + ")}";
    return false;
  });
  return name;
}

std::string TypeNamer::TypeName(std::optional<Dwarf_Die> type, NameStyle style) {
  return Declare(type, "", style, 0);
}

std::string TypeNamer::Declare(std::optional<Dwarf_Die> type, std::string inner, NameStyle style,
                               int depth) {
  if (depth > kMaxDepth) return "...";
  const int tag = TagOf(type);
  if (!type || (tag == DW_TAG_unspecified_type && Name(*type).empty())) {
    return style == NameStyle::kGdb && !inner.empty() ? "void " + inner : "void" + inner;
  }
  if (IsQualifierTag(tag)) return DeclareQualified(*type, std::move(inner), style, depth);
  if (tag == DW_TAG_array_type) return DeclareArray(*type, std::move(inner), style, depth);
  if (tag == DW_TAG_subroutine_type) return DeclareFunction(*type, std::move(inner), style, depth);
  if (!IsPointerLike(tag)) return Named(*type, inner, style);

  const std::optional<Dwarf_Die> target = TypeOf(*type);
  std::string mark = "*";
  if (tag == DW_TAG_reference_type) mark = "&";
  if (tag == DW_TAG_rvalue_reference_type) mark = "&&";
  if (tag == DW_TAG_ptr_to_member_type) {
    const std::optional<Dwarf_Die> owner = TypeReference(*type, DW_AT_containing_type);
    mark = (owner ? SimplifyTypeName(QualifiedName(*owner)) : std::string("?")) + "::*";
  }
  inner = mark + inner;
  if (BindsToDeclarator(TagOf(target))) inner = "(" + inner + ")";
  return Declare(target, std::move(inner), style, depth + 1);
}

std::string TypeNamer::DeclareQualified(const Dwarf_Die& type, std::string inner, NameStyle style,
                                        int depth) {
  const std::optional<Dwarf_Die> target = TypeOf(type);
  const std::string word = QualifierWord(Tag(type));
  const int target_tag = TagOf(target);
  if (style == NameStyle::kGdb && !IsPointerLike(target_tag)) {
    return word + " " + Declare(target, std::move(inner), style, depth + 1);
  }
  return Declare(target, " " + word + inner, style, depth + 1);
}

std::string TypeNamer::DeclareArray(const Dwarf_Die& type, std::string inner, NameStyle style,
                                    int depth) {
  ForEachChild(type, [&](Dwarf_Die child) {
    if (dwarf_tag(&child) != DW_TAG_subrange_type) return true;
    std::optional<uint64_t> count = Unsigned(child, DW_AT_count);
    if (!count) {
      count = Unsigned(child, DW_AT_upper_bound);
      if (count) ++*count;
    }
    inner += "[" + (count ? std::to_string(*count) : std::string()) + "]";
    return true;
  });
  return Declare(TypeOf(type), std::move(inner), style, depth + 1);
}

std::string TypeNamer::DeclareFunction(const Dwarf_Die& type, std::string inner, NameStyle style,
                                       int depth) {
  inner += "(" + Parameters(type, false, style, depth) + ")";
  return Declare(TypeOf(type), std::move(inner), style, depth + 1);
}

std::string TypeNamer::Named(const Dwarf_Die& type, const std::string& inner, NameStyle style) {
  std::string name = QualifiedName(type);
  if (style == NameStyle::kGdb) {
    name = SimplifyTypeName(name);
  } else if (Tag(type) == DW_TAG_base_type) {
    name = CanonicalBaseName(name);
  }
  if (inner.empty()) return name;
  const char first = inner.front();
  const bool space = first != ' ' && (style == NameStyle::kGdb || first == '(' || first == '[');
  return name + (space ? " " : "") + inner;
}

std::string TypeNamer::Parameters(const Dwarf_Die& function, bool skip_artificial, NameStyle style,
                                  int depth) {
  std::string out;
  const auto add = [&](std::string text) { out += (out.empty() ? "" : ", ") + std::move(text); };
  const auto add_type = [&](const Dwarf_Die& parameter) {
    if (skip_artificial && Flag(parameter, DW_AT_artificial)) return;
    add(Declare(TypeOf(parameter), "", style, depth + 1));
  };
  ForEachChild(function, [&](Dwarf_Die child) {
    const int tag = dwarf_tag(&child);
    if (tag == DW_TAG_formal_parameter) add_type(child);
    if (tag == DW_TAG_unspecified_parameters) add("...");
    if (tag == DW_TAG_GNU_formal_parameter_pack) {
      ForEachChild(child, [&](Dwarf_Die item) {
        if (dwarf_tag(&item) == DW_TAG_formal_parameter) add_type(item);
        return true;
      });
    }
    return true;
  });
  if (out.empty() && style == NameStyle::kGdb) return "void";
  return out;
}

std::string TypeNamer::ValueArgument(const Dwarf_Die& parameter) {
  Dwarf_Attribute attribute;
  Dwarf_Die die = parameter;
  Dwarf_Sword value = 0;
  if (dwarf_attr(&die, DW_AT_const_value, &attribute) == nullptr ||
      dwarf_formsdata(&attribute, &value) != 0) {
    return "?";
  }
  std::optional<Dwarf_Die> type = TypeOf(parameter);
  if (type && Name(*type) == "bool") return value != 0 ? "true" : "false";
  if (TagOf(type) == DW_TAG_enumeration_type) {
    return "(" + QualifiedName(*type) + ")" + std::to_string(value);
  }
  return std::to_string(value);
}

void TypeNamer::AddTemplateArguments(const Dwarf_Die& parent, bool in_pack, std::string& out) {
  const auto add = [&out](std::string text) { out += (out.empty() ? "" : ", ") + std::move(text); };
  ForEachChild(parent, [&](Dwarf_Die child) {
    const int tag = dwarf_tag(&child);
    if (tag == DW_TAG_template_type_parameter) {
      add(Declare(TypeOf(child), "", NameStyle::kDemangler, 1));
    } else if (tag == DW_TAG_template_value_parameter) {
      add(ValueArgument(child));
    } else if (tag == DW_TAG_GNU_template_template_param) {
      Dwarf_Attribute attribute;
      const bool named = dwarf_attr(&child, DW_AT_GNU_template_name, &attribute) != nullptr;
      const char* name = named ? dwarf_formstring(&attribute) : nullptr;
      add(name == nullptr ? "?" : name);
    } else if (tag == DW_TAG_GNU_template_parameter_pack && !in_pack) {
      AddTemplateArguments(child, true, out);
    }
    return out.size() < kMaxNameBytes;
  });
}

// Clang's -gsimple-template-names leaves the arguments to whoever reads the DIE's children.
std::string TypeNamer::OwnName(const Dwarf_Die& die) {
  std::string name(Name(die));
  const int tag = Tag(die);
  if (name.empty() || name.back() == '>') return name;
  if (tag != DW_TAG_union_type && !IsStructTag(tag)) return name;
  bool instance = false;
  std::string arguments;
  ForEachChild(die, [&](Dwarf_Die child) {
    const int child_tag = dwarf_tag(&child);
    instance = child_tag == DW_TAG_template_type_parameter ||
               child_tag == DW_TAG_template_value_parameter ||
               child_tag == DW_TAG_GNU_template_parameter_pack ||
               child_tag == DW_TAG_GNU_template_template_param;
    return !instance;
  });
  if (!instance) return name;
  // Damage can make a type its own argument: inside, it goes by its plain name.
  const auto [known, is_new] = own_.emplace(die.addr, name);
  if (!is_new) return known->second;
  AddTemplateArguments(die, false, arguments);
  name += "<" + arguments + (arguments.ends_with('>') ? " >" : ">");
  own_[die.addr] = name;
  return name;
}

std::string TypeNamer::ScopeName(const Dwarf_Die& die) {
  std::string scope;
  std::optional<Dwarf_Die> parent = units_.ParentOf(Origin(die));
  for (int i = 0; parent && i < kMaxChain; ++i) {
    const int tag = TagOf(parent);
    if (tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine) {
      const std::string function = FunctionName(*parent);
      return scope.empty() ? function : function + "::" + scope;
    }
    if (tag == DW_TAG_namespace || tag == DW_TAG_union_type || IsStructTag(tag)) {
      std::string name = OwnName(*parent);
      if (name.empty()) name = ClosureName(*parent);
      if (name.empty()) name = PlaceholderName(tag);
      scope = scope.empty() ? name : name + "::" + scope;
    }
    parent = units_.ParentOf(Origin(*parent));
  }
  return scope;
}

std::string TypeNamer::QualifiedName(const Dwarf_Die& die) {
  const auto known = qualified_.find(die.addr);
  if (known != qualified_.end()) return known->second;
  std::string name = OwnName(die);
  const int tag = Tag(die);
  if (tag == DW_TAG_base_type || tag == DW_TAG_unspecified_type) return name;
  if (name.empty()) return PlaceholderName(tag);
  const std::string scope = ScopeName(die);
  if (!scope.empty()) name = scope + "::" + name;
  qualified_.emplace(die.addr, name);
  return name;
}

std::string TypeNamer::EnumeratorScope(const Dwarf_Die& enumeration, bool scoped) {
  std::string scope = scoped ? QualifiedName(enumeration) : ScopeName(enumeration);
  std::optional<Dwarf_Die> parent = units_.ParentOf(Origin(enumeration));
  for (int i = 0; parent && i < kMaxChain; ++i) {
    const int tag = TagOf(parent);
    if (tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine) {
      const std::string function = FunctionName(*parent);
      if (scope == function) return "";
      return scope.starts_with(function + "::") ? scope.substr(function.size() + 2) : scope;
    }
    parent = units_.ParentOf(Origin(*parent));
  }
  return scope;
}

std::string TypeNamer::FunctionName(const Dwarf_Die& function) {
  const auto known = functions_.find(function.addr);
  if (known != functions_.end()) return known->second;
  // Guards against a function that damage made its own parent.
  functions_.emplace(function.addr, "");
  std::string name = StripReturnType(Demangle(LinkageName(function)));
  if (name.empty()) name = BuiltFunctionName(function);
  functions_[function.addr] = name;
  return name;
}

std::string TypeNamer::BuiltFunctionName(const Dwarf_Die& function) {
  const Dwarf_Die origin = Origin(function);
  std::string name(Name(origin));
  if (name.empty()) return "";
  const std::string scope = ScopeName(origin);
  if (!scope.empty()) name = scope + "::" + name;
  name += "(" + Parameters(origin, true, NameStyle::kDemangler, 0) + ")";
  return HasConstThis(origin) ? name + " const" : name;
}

}  // namespace stillframe::dwarf
