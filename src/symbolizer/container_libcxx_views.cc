// libc++'s containers, from LLVM 14's to 20's and later: what is in a compressed pair there stands
// by itself here.
#include <array>
#include <string>

#include "symbolizer/container_fields.h"
#include "symbolizer/container_rules.h"
#include "symbolizer/type_builder.h"

namespace stillframe::dwarf {
namespace {

// __tree: left, right, parent, is_black; the value takes what is left of the last word.
constexpr uint32_t kTreeNodeHeader = 25;
// __hash_table: next, hash. __list: previous, next.
constexpr uint32_t kHashNodeHeader = 16;
constexpr uint32_t kListNodeHeader = 16;
constexpr uint32_t kForwardNodeHeader = 8;
constexpr uint32_t kDequeBlockBytes = 4096;

std::optional<View> DetectString(TypeBuilder& types, TypeId id) {
  const auto rep = FindUnpaired(types, id, {{"__rep_"}, {"__r_"}});
  if (!rep) return std::nullopt;
  const auto data = FindField(types, rep->type, {"__l", "__data_"});
  const auto size = FindField(types, rep->type, {"__l", "__size_"});
  const auto flag = FindField(types, rep->type, {"__s", "__is_long_"});
  const auto brief = FindField(types, rep->type, {"__s", "__data_"});
  if (!data || !size || !flag || !brief) return std::nullopt;
  View view = MakeView(ViewKind::kShortString);
  view.a = rep->offset + data->offset;
  view.b = rep->offset + size->offset;
  view.c = rep->offset + brief->offset;
  view.d = rep->offset + flag->offset;
  view.element = PointerTarget(types, data->type);
  // _LIBCPP_ABI_ALTERNATE_STRING_LAYOUT: the flag is the last byte's highest bit.
  view.left = flag->offset < brief->offset ? 0x01 : 0x80;
  const uint32_t room = types.Node(types.Strip(brief->type)).size_bytes;
  view.size_bytes = static_cast<uint8_t>(room < 24 ? room : 0);
  if (view.element == kVoidType || view.size_bytes == 0) return std::nullopt;
  return view;
}

std::optional<View> DetectStringView(TypeBuilder& types, TypeId id) {
  const auto data = FindEither(types, id, {{"__data_"}, {"__data"}});
  const auto size = FindEither(types, id, {{"__size_"}, {"__size"}});
  if (!data || !size || !IsPointer(types, data->type)) return std::nullopt;
  View view = MakeView(ViewKind::kStringView);
  view.a = data->offset;
  view.b = size->offset;
  view.element = PointerTarget(types, data->type);
  return view;
}

std::optional<View> DetectVector(TypeBuilder& types, TypeId id) {
  const auto begin = FindField(types, id, {"__begin_"});
  const auto end = FindField(types, id, {"__end_"});
  if (!begin || !IsPointer(types, begin->type)) return std::nullopt;
  if (!end) {  // vector<bool>
    const auto size = FindField(types, id, {"__size_"});
    if (!size) return std::nullopt;
    View view = MakeView(ViewKind::kBits, kLibcxx);
    view.a = begin->offset;
    view.b = size->offset;
    return view;
  }
  View view = MakeView(ViewKind::kSequence);
  view.a = begin->offset;
  view.b = end->offset;
  view.element = PointerTarget(types, begin->type);
  return view;
}

std::optional<View> DetectArray(TypeBuilder& types, TypeId id) {
  const auto elements = FindField(types, id, {"__elems_"});
  if (!elements) return std::nullopt;
  View view = MakeView(ViewKind::kInlineArray);
  view.a = elements->offset;
  const TypeNode& array = types.Node(types.Strip(elements->type));
  // array<T, 0> holds bytes for nothing.
  if (array.kind == TypeKind::kArray && TemplateValue(types, id, 0).value_or(1) != 0) {
    view.element = array.target;
    view.count = array.count;
  }
  return view;
}

// Maps wrap their pairs in a type of their own.
bool SetNodeValue(TypeBuilder& types, TypeId user, const Dwarf_Die& value, uint32_t header,
                  View& view) {
  view.element = types.Complete(value, user);
  const auto offset = ValueOffset(types, view.element, header);
  if (!offset) return false;
  view.c = *offset;
  if (const auto pair = FindEither(types, view.element, {{"__cc_"}, {"__cc"}})) {
    view.element = pair->type;
    view.c += pair->offset;
  }
  return true;
}

template <bool kKeyValue>
std::optional<View> DetectTree(TypeBuilder& types, TypeId id) {
  const auto tree = FindField(types, id, {"__tree_"});
  if (!tree) return std::nullopt;
  const auto first = FindField(types, tree->type, {"__begin_node_"});
  const auto end = FindUnpaired(types, tree->type, {{"__end_node_"}, {"__pair1_"}});
  const auto count = FindUnpaired(types, tree->type, {{"__size_"}, {"__pair3_"}});
  const std::vector<Dwarf_Die> arguments = TemplateTypes(types, tree->type);
  if (!first || !end || !count || arguments.empty()) return std::nullopt;
  View view = MakeView(ViewKind::kTree, kLibcxx);
  if (!SetNodeValue(types, id, arguments[0], kTreeNodeHeader, view)) return std::nullopt;
  view.a = tree->offset + first->offset;
  view.b = tree->offset + count->offset;
  view.d = tree->offset + end->offset;
  view.left = 0;
  view.right = 8;
  view.parent = 16;
  view.key_value = kKeyValue ? 1 : 0;
  return view;
}

template <bool kKeyValue>
std::optional<View> DetectHash(TypeBuilder& types, TypeId id) {
  const auto table = FindField(types, id, {"__table_"});
  if (!table) return std::nullopt;
  const auto head = FindUnpaired(types, table->type, {{"__first_node_"}, {"__p1_"}});
  const auto count = FindUnpaired(types, table->type, {{"__size_"}, {"__p2_"}});
  const std::vector<Dwarf_Die> arguments = TemplateTypes(types, table->type);
  if (!head || !count || arguments.empty()) return std::nullopt;
  const auto first = FindField(types, head->type, {"__next_"});
  if (!first) return std::nullopt;
  View view = MakeView(ViewKind::kHash);
  if (!SetNodeValue(types, id, arguments[0], kHashNodeHeader, view)) return std::nullopt;
  view.a = table->offset + head->offset + first->offset;
  view.b = table->offset + count->offset;
  view.key_value = kKeyValue ? 1 : 0;
  return view;
}

std::optional<View> DetectList(TypeBuilder& types, TypeId id) {
  const auto first = FindField(types, id, {"__end_", "__next_"});
  const auto count = FindUnpaired(types, id, {{"__size_"}, {"__size_alloc_"}});
  const std::vector<Dwarf_Die> arguments = TemplateTypes(types, id);
  if (!first || !count || arguments.empty()) return std::nullopt;
  View view = MakeView(ViewKind::kHash);
  if (!SetNodeValue(types, id, arguments[0], kListNodeHeader, view)) return std::nullopt;
  view.a = first->offset;
  view.b = count->offset;
  view.left = 8;
  return view;
}

std::optional<View> DetectForwardList(TypeBuilder& types, TypeId id) {
  const auto head = FindUnpaired(types, id, {{"__before_begin_"}});
  const std::vector<Dwarf_Die> arguments = TemplateTypes(types, id);
  if (!head || arguments.empty()) return std::nullopt;
  const auto first = FindField(types, head->type, {"__next_"});
  View view = MakeView(ViewKind::kHash, kUncounted);
  if (!first || !SetNodeValue(types, id, arguments[0], kForwardNodeHeader, view)) {
    return std::nullopt;
  }
  view.a = head->offset + first->offset;
  return view;
}

std::optional<View> DetectDeque(TypeBuilder& types, TypeId id) {
  const auto map = FindField(types, id, {"__map_", "__begin_"});
  const auto start = FindField(types, id, {"__start_"});
  const auto size = FindUnpaired(types, id, {{"__size_"}});
  const std::vector<Dwarf_Die> arguments = TemplateTypes(types, id);
  if (!map || !start || !size || arguments.empty()) return std::nullopt;
  View view = MakeView(ViewKind::kDeque, kLibcxx);
  view.a = map->offset;
  view.b = size->offset;
  view.d = start->offset;
  view.element = types.Complete(arguments[0], id);
  const uint32_t bytes = types.Node(types.Strip(view.element)).size_bytes;
  if (bytes == 0) return std::nullopt;
  view.c = bytes < 256 ? kDequeBlockBytes / bytes : 16;
  return view;
}

std::optional<View> DetectOptional(TypeBuilder& types, TypeId id) {
  const auto engaged = FindField(types, id, {"__engaged_"});
  const auto payload = FindField(types, id, {"__val_"});
  if (!engaged || !payload) return std::nullopt;
  View view = MakeView(ViewKind::kOptional);
  view.a = engaged->offset;
  view.b = payload->offset;
  view.element = payload->type;
  return view;
}

std::optional<View> DetectVariant(TypeBuilder& types, TypeId id) {
  const auto index = FindEither(types, id, {{"__impl_", "__index"}, {"__impl", "__index"}});
  const auto data = FindEither(types, id, {{"__impl_", "__data"}, {"__impl", "__data"}});
  const std::vector<Dwarf_Die> arguments = TemplateTypes(types, id);
  if (!index || !data || arguments.empty()) return std::nullopt;
  View view = MakeView(ViewKind::kVariant);
  view.a = index->offset;
  view.b = data->offset;
  view.size_bytes = static_cast<uint8_t>(types.Node(types.Strip(index->type)).size_bytes);
  std::vector<Member> alternatives;
  for (const Dwarf_Die& argument : arguments) {
    Member member;
    member.type = types.Complete(argument, id);
    member.name = types.Node(member.type).name;
    alternatives.push_back(member);
  }
  AppendMembers(types, alternatives, view);
  return view;
}

std::optional<View> DetectUniquePtr(TypeBuilder& types, TypeId id) {
  const auto pointer = FindUnpaired(types, id, {{"__ptr_"}});
  if (!pointer || !IsPointer(types, pointer->type)) return std::nullopt;
  View view = MakeView(ViewKind::kUniquePtr);
  view.a = pointer->offset;
  view.element = PointerTarget(types, pointer->type);
  return view;
}

template <ViewKind kKind>
std::optional<View> DetectCounted(TypeBuilder& types, TypeId id) {
  const auto pointer = FindField(types, id, {"__ptr_"});
  const auto control = FindField(types, id, {"__cntrl_"});
  if (!pointer || !control || !IsPointer(types, pointer->type)) return std::nullopt;
  View view = MakeView(kKind, kLibcxx);
  view.a = pointer->offset;
  view.b = control->offset;
  view.element = types.SkipTypedefs(PointerTarget(types, pointer->type));
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
    {"std::forward_list", DetectForwardList},
    {"std::deque", DetectDeque},
    {"std::optional", DetectOptional},
    {"std::variant", DetectVariant},
    {"std::unique_ptr", DetectUniquePtr},
    {"std::shared_ptr", DetectCounted<ViewKind::kSharedPtr>},
    {"std::weak_ptr", DetectCounted<ViewKind::kWeakPtr>},
});

}  // namespace

std::span<const ViewRule> LibcxxViewRules() { return kRules; }

}  // namespace stillframe::dwarf
