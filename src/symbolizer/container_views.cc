#include "symbolizer/container_views.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "symbolizer/container_fields.h"
#include "symbolizer/container_rules.h"
#include "symbolizer/dwarf_util.h"
#include "symbolizer/type_builder.h"
#include "symbolizer/type_builder_simplify.h"

namespace stillframe::dwarf {
namespace {

// libstdc++ bits/stl_tree.h: colour, parent, left, right.
constexpr uint32_t kTreeNodeHeader = 32;
// bits/hashtable_policy.h: next. bits/stl_list.h: next, previous.
constexpr uint32_t kHashNodeHeader = 8;
constexpr uint32_t kListNodeHeader = 16;
constexpr uint32_t kMaxTupleElements = 64;

std::optional<View> DetectText(TypeBuilder& types, ViewKind kind, std::optional<Field> data,
                               std::optional<Field> size) {
  if (!data || !size) return std::nullopt;
  View view = MakeView(kind);
  view.a = data->offset;
  view.b = size->offset;
  view.element = PointerTarget(types, data->type);
  if (view.element == kVoidType) return std::nullopt;
  return view;
}

// Where Clang leaves _Alloc_hider to libstdc++'s own build it is only declared; its one member is
// the pointer.
std::optional<View> DetectDeclaredString(TypeBuilder& types, TypeId id) {
  const auto data = FindField(types, id, {"_M_dataplus"});
  const auto size = FindField(types, id, {"_M_string_length"});
  const std::vector<Dwarf_Die> arguments = TemplateTypes(types, id);
  if (!data || !size || size->offset != data->offset + 8 || arguments.empty()) return std::nullopt;
  if (types.Node(types.Strip(data->type)).kind != TypeKind::kIncomplete) return std::nullopt;
  View view = MakeView(ViewKind::kString);
  view.a = data->offset;
  view.b = size->offset;
  view.element = types.Complete(arguments[0], id);
  return view;
}

std::optional<View> DetectString(TypeBuilder& types, TypeId id) {
  if (const auto declared = DetectDeclaredString(types, id)) return declared;
  return DetectText(types, ViewKind::kString, FindField(types, id, {"_M_dataplus", "_M_p"}),
                    FindField(types, id, {"_M_string_length"}));
}

std::optional<View> DetectStringView(TypeBuilder& types, TypeId id) {
  return DetectText(types, ViewKind::kStringView, FindField(types, id, {"_M_str"}),
                    FindField(types, id, {"_M_len"}));
}

// vector<bool> has iterators where vector has pointers.
std::optional<View> DetectVector(TypeBuilder& types, TypeId id) {
  const auto begin = FindField(types, id, {"_M_impl", "_M_start"});
  const auto end = FindField(types, id, {"_M_impl", "_M_finish"});
  if (!begin || !end || PointerTarget(types, begin->type) == kVoidType) return std::nullopt;
  View view = MakeView(ViewKind::kSequence);
  view.a = begin->offset;
  view.b = end->offset;
  view.element = PointerTarget(types, begin->type);
  return view;
}

std::optional<View> DetectArray(TypeBuilder& types, TypeId id) {
  const auto elements = FindField(types, id, {"_M_elems"});
  if (!elements) return std::nullopt;
  View view = MakeView(ViewKind::kInlineArray);
  view.a = elements->offset;
  const TypeNode& array = types.Node(types.Strip(elements->type));
  if (array.kind == TypeKind::kArray) {  // array<T, 0> holds an empty struct instead
    view.element = array.target;
    view.count = array.count;
  }
  return view;
}

// Fills in element, its offset in a node and the key-value mark.
bool SetNodeValue(TypeBuilder& types, TypeId user, const Dwarf_Die& value, uint32_t header,
                  View& view) {
  view.element = types.Complete(value, user);
  const auto offset = ValueOffset(types, view.element, header);
  view.c = offset.value_or(0);
  return offset.has_value();
}

template <bool kKeyValue>
std::optional<View> DetectTree(TypeBuilder& types, TypeId id) {
  const auto tree = FindField(types, id, {"_M_t"});
  if (!tree) return std::nullopt;
  const auto header = FindField(types, tree->type, {"_M_impl", "_M_header"});
  const auto count = FindField(types, tree->type, {"_M_impl", "_M_node_count"});
  const std::vector<Dwarf_Die> arguments = TemplateTypes(types, tree->type);  // key, value, ...
  if (!header || !count || arguments.size() < 2) return std::nullopt;
  View view = MakeView(ViewKind::kTree);
  if (!SetNodeValue(types, id, arguments[1], kTreeNodeHeader, view)) return std::nullopt;
  view.d = tree->offset + header->offset;
  view.parent = 8;
  view.left = 16;
  view.right = 24;
  view.a = view.d + view.left;  // the header's left link is the first node
  view.b = tree->offset + count->offset;
  view.key_value = kKeyValue ? 1 : 0;
  return view;
}

template <bool kKeyValue>
std::optional<View> DetectHash(TypeBuilder& types, TypeId id) {
  const auto table = FindField(types, id, {"_M_h"});
  if (!table) return std::nullopt;
  const auto first = FindField(types, table->type, {"_M_before_begin", "_M_nxt"});
  const auto count = FindField(types, table->type, {"_M_element_count"});
  const std::vector<Dwarf_Die> arguments = TemplateTypes(types, table->type);  // key, value, ...
  if (!first || !count || arguments.size() < 2) return std::nullopt;
  View view = MakeView(ViewKind::kHash);
  if (!SetNodeValue(types, id, arguments[1], kHashNodeHeader, view)) return std::nullopt;
  view.a = table->offset + first->offset;
  view.b = table->offset + count->offset;
  view.key_value = kKeyValue ? 1 : 0;
  return view;
}

// A list is walked like a hash table's chain: first node, count, next pointer in the first word.
std::optional<View> DetectList(TypeBuilder& types, TypeId id) {
  const auto first = FindField(types, id, {"_M_impl", "_M_node", "_M_next"});
  const auto count = FindField(types, id, {"_M_impl", "_M_node", "_M_size"});
  const std::vector<Dwarf_Die> arguments = TemplateTypes(types, id);
  if (!first || !count || arguments.empty()) return std::nullopt;
  View view = MakeView(ViewKind::kHash);
  if (!SetNodeValue(types, id, arguments[0], kListNodeHeader, view)) return std::nullopt;
  view.a = first->offset;
  view.b = count->offset;
  return view;
}

std::optional<View> DetectOptional(TypeBuilder& types, TypeId id) {
  const auto engaged = FindField(types, id, {"_M_payload", "_M_engaged"});
  const auto payload = FindField(types, id, {"_M_payload", "_M_payload"});
  const std::vector<Dwarf_Die> arguments = TemplateTypes(types, id);
  if (!engaged || !payload || arguments.empty()) return std::nullopt;
  View view = MakeView(ViewKind::kOptional);
  view.a = engaged->offset;
  view.b = payload->offset;
  view.element = types.Complete(arguments[0], id);
  return view;
}

// The alternatives of a variant: its type arguments, or, where GCC left the pack empty, those of
// the nested unions (_M_first is an _Uninitialized<T>).
std::vector<Dwarf_Die> Alternatives(const TypeBuilder& types, TypeId id, TypeId storage) {
  std::vector<Dwarf_Die> out = TemplateTypes(types, id);
  if (!out.empty()) return out;
  for (uint32_t i = 0; i < kMaxTupleElements; ++i) {
    const auto first = FindField(types, storage, {"_M_first"});
    const auto rest = FindField(types, storage, {"_M_rest"});
    if (!first || !rest) break;
    const std::vector<Dwarf_Die> argument = TemplateTypes(types, first->type);
    if (argument.empty()) return {};
    out.push_back(argument[0]);
    storage = rest->type;
  }
  return out;
}

std::optional<View> DetectVariant(TypeBuilder& types, TypeId id) {
  const auto index = FindField(types, id, {"_M_index"});
  const auto storage = FindField(types, id, {"_M_u"});
  if (!index || !storage) return std::nullopt;
  const std::vector<Dwarf_Die> arguments = Alternatives(types, id, storage->type);
  if (arguments.empty()) return std::nullopt;
  View view = MakeView(ViewKind::kVariant);
  view.a = index->offset;
  view.b = storage->offset;
  view.size_bytes = static_cast<uint8_t>(types.Node(types.Strip(index->type)).size_bytes);
  std::vector<Member> alternatives;
  for (const Dwarf_Die& argument : arguments) {
    Member member;
    member.type = types.Complete(argument, id);
    member.name = types.Node(member.type).name;
    member.offset_bytes = storage->offset;
    alternatives.push_back(member);
  }
  AppendMembers(types, alternatives, view);
  return view;
}

// unique_ptr<T, D>: tuple<pointer, D> in _M_t; a stateful deleter is element 1 and of no interest.
std::optional<View> DetectUniquePtr(TypeBuilder& types, TypeId id) {
  const auto tuple = FindField(types, id, {"_M_t", "_M_t"});
  if (!tuple) return std::nullopt;
  const std::optional<Field> pointer = TupleElement(types, tuple->type, 0);
  if (!pointer || !IsPointer(types, pointer->type)) return std::nullopt;
  View view = MakeView(ViewKind::kUniquePtr);
  view.a = tuple->offset + pointer->offset;
  view.element = PointerTarget(types, pointer->type);
  return view;
}

template <ViewKind kKind>
std::optional<View> DetectCounted(TypeBuilder& types, TypeId id) {
  const auto pointer = FindField(types, id, {"_M_ptr"});
  const auto control = FindField(types, id, {"_M_refcount", "_M_pi"});
  if (!pointer || !control || !IsPointer(types, pointer->type)) return std::nullopt;
  View view = MakeView(kKind);
  view.a = pointer->offset;
  view.b = control->offset;
  view.element = types.SkipTypedefs(PointerTarget(types, pointer->type));  // element_type
  return view;
}

std::optional<View> DetectPair(TypeBuilder& types, TypeId id) {
  View view = MakeView(ViewKind::kPair);
  std::vector<Member> members;
  for (const char* name : {"first", "second"}) {
    const auto field = FindField(types, id, {name});
    if (!field) return std::nullopt;
    members.push_back(MemberOf(types, name, *field));
  }
  AppendMembers(types, members, view);
  return view;
}

std::optional<View> DetectTuple(TypeBuilder& types, TypeId id) {
  View view = MakeView(ViewKind::kTuple);
  std::vector<Member> members;
  // Counted by the bases: GCC may write the instance's argument pack without its elements.
  for (uint32_t i = 0; i < kMaxTupleElements; ++i) {
    const std::optional<Field> field = TupleElement(types, id, i);
    if (!field) break;
    members.push_back(MemberOf(types, "[" + std::to_string(i) + "]", *field));
  }
  AppendMembers(types, members, view);
  return view;
}

constexpr auto kRules = std::to_array<ViewRule>({
    {"std::basic_string", DetectString},
    {"std::basic_string_view", DetectStringView},
    {"std::vector", DetectVector},
    {"std::array", DetectArray},
    {"std::map", DetectTree<true>},
    {"std::multimap", DetectTree<true>},
    {"std::set", DetectTree<false>},
    {"std::multiset", DetectTree<false>},
    {"std::unordered_map", DetectHash<true>},
    {"std::unordered_multimap", DetectHash<true>},
    {"std::unordered_set", DetectHash<false>},
    {"std::unordered_multiset", DetectHash<false>},
    {"std::list", DetectList},
    {"std::optional", DetectOptional},
    {"std::variant", DetectVariant},
    {"std::unique_ptr", DetectUniquePtr},
    {"std::shared_ptr", DetectCounted<ViewKind::kSharedPtr>},
    {"std::weak_ptr", DetectCounted<ViewKind::kWeakPtr>},
    {"std::pair", DetectPair},
    {"std::tuple", DetectTuple},
});

// The first argument list runs to the end: "std::map<...>::node_type" is not a map.
bool IsWhole(std::string_view name) {
  const size_t open = name.find('<');
  if (open == std::string_view::npos) return true;
  int depth = 0;
  for (size_t i = open; i < name.size(); ++i) {
    depth += name[i] == '<' ? 1 : name[i] == '>' ? -1 : 0;
    if (depth == 0) return i + 1 == name.size();
  }
  return false;
}

// By which rule an associative container of that name finds a key.
void SetKeyRules(TypeBuilder& types, TypeId id, std::string_view name, View& view) {
  if (view.kind != ViewKind::kTree && view.kind != ViewKind::kHash) return;
  const bool ordered = name.ends_with("map") || name.ends_with("set");
  if (!ordered) return;  // lists
  const bool hashed = name.starts_with("std::unordered_");
  view.keys = kKeysNamed;
  if (name.find("multi") != std::string_view::npos) view.keys |= kKeysMany;
  // map<K, V, Less>, set<K, Less>, unordered_map<K, V, Hash, Equal>, unordered_set<K, Hash, Equal>
  const size_t rule = (view.key_value != 0 ? 2u : 1u) + (hashed ? 1u : 0u);
  const std::vector<Dwarf_Die> arguments = TemplateTypes(types, id);
  if (rule >= arguments.size()) return;
  const std::string what = PublicName(types.RawName(types.Complete(arguments[rule], id)));
  if (hashed && what == "std::equal_to") view.keys |= kKeysEqual;
  // std::hash of integers is the identity in libstdc++ (functional_hash.h); the two words before
  // the first node are those of its _Hashtable.
  const bool ours = hashed && view.layout == kPlain && view.a == 16 && view.b == 24;
  if (ours && PublicName(types.RawName(types.Complete(arguments[rule - 1], id))) == "std::hash") {
    view.keys |= kKeysIdentity;
  }
  if (!hashed && what == "std::less") view.keys |= kKeysLess;
  if (!hashed && what == "std::greater") view.keys |= kKeysGreater;
}

}  // namespace

std::string PublicName(std::string_view raw_name) {
  std::string out;
  std::string_view rest = raw_name.substr(0, raw_name.find('<'));
  for (size_t end = rest.find("::"); end != std::string_view::npos; end = rest.find("::")) {
    if (!rest.starts_with('_')) out += std::string(rest.substr(0, end)) + "::";
    rest.remove_prefix(end + 2);
  }
  return out + std::string(rest);
}

bool IsViewCandidate(const TypeBuilder& types, std::string_view raw_name) {
  if (FindFormatter(types, raw_name) != nullptr) return true;
  const bool library = raw_name.starts_with("std::") || raw_name.starts_with("__gnu_cxx::");
  if (!library || !IsWhole(raw_name)) return false;
  const std::string name = PublicName(raw_name);
  const auto has = [&](std::span<const ViewRule> rules) {
    return std::any_of(rules.begin(), rules.end(),
                       [&](const ViewRule& rule) { return rule.name == name; });
  };
  return has(kRules) || has(MoreViewRules()) || has(LibcxxViewRules()) || has(IteratorRules());
}

View DetectView(TypeBuilder& types, TypeId id) {
  // What the user says comes before what we know.
  if (const Formatter* formatter = FindFormatter(types, types.RawName(id))) {
    if (const std::optional<View> view = DetectCustom(types, id, *formatter)) return *view;
  }
  const std::string name = PublicName(types.RawName(id));
  for (const auto rules :
       {std::span<const ViewRule>(kRules), MoreViewRules(), LibcxxViewRules(), IteratorRules()}) {
    for (const ViewRule& rule : rules) {
      if (rule.name != name) continue;
      if (std::optional<View> view = rule.detect(types, id)) {
        SetKeyRules(types, id, name, *view);
        return *view;
      }
    }
  }
  return {};
}

// Clang leaves a class whose constructor is elsewhere to that place. std::mutex and
// std::recursive_mutex wrap one pthread_mutex_t (40 bytes) in both libraries; libc++'s others are a
// mutex, one condition_variable (48 bytes) or two, and their state (c++/v1/mutex, shared_mutex).
bool MakeMutexLayout(TypeBuilder& types, TypeId id, std::string_view raw_name) {
  struct Lock {
    std::string_view name;
    ViewLayout layout;
    uint32_t state_offset;
    uint32_t size_bytes;
    bool libcxx_alone;
  };
  constexpr Lock kLocks[] = {
      {"std::mutex", kPlain, 0, 40, false},
      {"std::recursive_mutex", kRecursive, 0, 40, false},
      {"std::timed_mutex", kLibcxxTimed, 88, 96, true},
      {"std::recursive_timed_mutex", kLibcxxRecursiveTimed, 88, 104, true},
      {"std::__shared_mutex_base", kLibcxxShared, 136, 144, true},
      {"std::shared_mutex", kLibcxxShared, 136, 144, true},
      {"std::shared_timed_mutex", kLibcxxShared, 136, 144, true},
  };
  const std::string name = PublicName(raw_name);
  for (const Lock& lock : kLocks) {
    if (lock.name != name || (lock.libcxx_alone && !raw_name.starts_with("std::__1::"))) continue;
    TypeNode& node = types.Mutable(id);
    node.kind = TypeKind::kStruct;
    node.size_bytes = lock.size_bytes;
    node.view = static_cast<uint32_t>(types.unit().views.size());
    View view = MakeView(ViewKind::kMutex, lock.layout);
    view.a = lock.state_offset;
    types.unit().views.push_back(view);
    types.SetAlignment(id, 8);
    return true;
  }
  return false;
}

// libstdc++ bits/basic_string.h: _M_dataplus (8), _M_string_length (8), a union of the local
// buffer and the capacity (16).
bool MakeStandardLayout(TypeBuilder& types, TypeId id) {
  const std::string name = types.RawName(id);
  if (MakeMutexLayout(types, id, name) || MakeExceptionLayout(types, id)) return true;
  if (!name.starts_with("std::__cxx11::basic_string<char,") || !IsWhole(name)) return false;
  TypeNode character;
  character.kind = TypeKind::kChar;
  character.name = types.tables().Intern("char");
  character.size_bytes = 1;
  View view = MakeView(ViewKind::kString);
  view.a = 0;
  view.b = 8;
  view.element = types.Synthesize(character, 1);
  const auto view_index = static_cast<uint32_t>(types.unit().views.size());
  types.unit().views.push_back(view);
  TypeNode& node = types.Mutable(id);
  node.kind = TypeKind::kStruct;
  node.size_bytes = 32;
  node.view = view_index;
  types.SetAlignment(id, 8);
  return true;
}

}  // namespace stillframe::dwarf
