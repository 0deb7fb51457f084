// Iterators of the containers of libstdc++ and libc++: where the element is that one shows.
#include <array>

#include "symbolizer/container_fields.h"
#include "symbolizer/container_rules.h"
#include "symbolizer/dwarf_util.h"
#include "symbolizer/type_builder.h"

namespace stillframe::dwarf {
namespace {

using Arguments = std::vector<Dwarf_Die>;

// What stands in a node before its value; see the containers' own rules.
constexpr uint32_t kLinkHeader = 8;
constexpr uint32_t kTwoLinksHeader = 16;
constexpr uint32_t kTreeHeader = 32;
constexpr uint32_t kLibcxxTreeHeader = 25;
constexpr uint32_t kLibcxxHashHeader = 16;

constexpr uint32_t kDequeBlockBytes = 512;
constexpr uint32_t kLibcxxDequeBlockBytes = 4096;
// reverse_iterator<move_iterator<...>>: as deep as anybody writes them.
constexpr int kMaxAdaptors = 4;

// Array elements: a pointer, under whatever name.
std::optional<View> AtPointer(TypeBuilder& types, const std::optional<Field>& pointer) {
  if (!pointer || !IsPointer(types, pointer->type)) return std::nullopt;
  View view = MakeView(ViewKind::kIterator, kAtElement);
  view.a = pointer->offset;
  view.element = PointerTarget(types, pointer->type);
  return view;
}

std::optional<View> DetectArrayIterator(TypeBuilder& types, TypeId id) {
  return AtPointer(types,
                   FindEither(types, id, {{"_M_current"}, {"__i_"}, {"__i"}, {"__current_"}}));
}

std::optional<View> DetectBitIterator(TypeBuilder& types, TypeId id) {
  const auto word = FindEither(types, id, {{"_M_p"}, {"__seg_"}});
  const auto bit = FindEither(types, id, {{"_M_offset"}, {"__ctz_"}});
  if (!word || !bit || !IsPointer(types, word->type)) return std::nullopt;
  View view = MakeView(ViewKind::kIterator, kAtBit);
  view.a = word->offset;
  view.b = bit->offset;
  return view;
}

std::optional<View> DetectDequeIterator(TypeBuilder& types, TypeId id) {
  std::optional<View> view = AtPointer(types, FindEither(types, id, {{"_M_cur"}, {"__ptr_"}}));
  const auto block = FindEither(types, id, {{"_M_node"}, {"__m_iter_"}});
  if (!view || !block || !IsPointer(types, block->type)) return std::nullopt;
  const uint32_t size = types.Node(types.Strip(view->element)).size_bytes;
  if (size == 0) return std::nullopt;
  view->layout = kInDeque;
  view->b = block->offset;
  if (FindField(types, id, {"_M_node"})) {
    view->c = size < kDequeBlockBytes ? kDequeBlockBytes / size : 1;
  } else {
    view->c = size < 256 ? kLibcxxDequeBlockBytes / size : 16;
  }
  return view;
}

// A pointer to a node in which `value` follows after `header` bytes.
std::optional<View> AtNode(TypeBuilder& types, TypeId id, ViewLayout layout,
                           const std::optional<Field>& pointer, const Dwarf_Die& value,
                           uint32_t header) {
  if (!pointer || !IsPointer(types, pointer->type)) return std::nullopt;
  View view = MakeView(ViewKind::kIterator, layout);
  view.a = pointer->offset;
  view.element = types.Complete(value, id);
  const auto offset = ValueOffset(types, view.element, header);
  if (!offset) return std::nullopt;
  view.c = *offset;
  // libc++'s maps wrap their pairs in a type of their own.
  if (const auto pair = FindEither(types, view.element, {{"__cc_"}, {"__cc"}})) {
    view.element = pair->type;
    view.c += pair->offset;
  }
  return view;
}

// Template argument `index`, or what the class's `reference` refers to: GCC describes some
// instances without their arguments.
std::optional<Dwarf_Die> ValueType(const TypeBuilder& types, TypeId id, uint32_t index) {
  const Arguments arguments = TemplateTypes(types, id);
  if (index < arguments.size()) return arguments[index];
  const Dwarf_Die* const die = types.DieOf(id);
  if (die == nullptr || !arguments.empty()) return std::nullopt;
  std::optional<Dwarf_Die> type;
  ForEachChild(*die, [&](const Dwarf_Die& child) {
    const bool wanted = Tag(child) == DW_TAG_typedef && Name(child) == "reference";
    if (wanted) type = TypeOf(child);
    return !wanted;
  });
  for (int i = 0; type && i < kMaxChain; ++i) {
    const int tag = Tag(*type);
    if (tag != DW_TAG_typedef && tag != DW_TAG_const_type && tag != DW_TAG_reference_type) break;
    type = TypeOf(*type);
    if (tag == DW_TAG_reference_type) return type;
  }
  return std::nullopt;
}

template <uint32_t kValueArgument, ViewLayout kLayout>
std::optional<View> DetectChainIterator(TypeBuilder& types, TypeId id) {
  const auto value = ValueType(types, id, kValueArgument);
  if (!value) return std::nullopt;
  return AtNode(types, id, kLayout, FindEither(types, id, {{"_M_node"}, {"_M_cur"}}), *value,
                kLinkHeader);
}

std::optional<View> DetectListIterator(TypeBuilder& types, TypeId id) {
  const auto value = ValueType(types, id, 0);
  if (!value) return std::nullopt;
  auto view = AtNode(types, id, kInList, FindEither(types, id, {{"_M_node"}, {"__ptr_"}}), *value,
                     kTwoLinksHeader);
  // libstdc++: next, previous; libc++ the other way round.
  if (view) view->left = FindField(types, id, {"_M_node"}) ? 8 : 0;
  return view;
}

std::optional<View> DetectTreeIterator(TypeBuilder& types, TypeId id) {
  const auto value = ValueType(types, id, 0);
  if (!value) return std::nullopt;
  const auto node = FindField(types, id, {"_M_node"});
  const bool libcxx = !node;
  auto view = AtNode(types, id, libcxx ? kInLibcxxTree : kInTree,
                     libcxx ? FindField(types, id, {"__ptr_"}) : node, *value,
                     libcxx ? kLibcxxTreeHeader : kTreeHeader);
  if (!view) return view;
  view->left = libcxx ? 0 : 16;
  view->right = libcxx ? 8 : 24;
  view->parent = libcxx ? 16 : 8;
  return view;
}

// libc++: the argument is a pointer to a node, whose first argument is the value.
template <uint32_t kHeader, ViewLayout kLayout>
std::optional<View> DetectNodePointerIterator(TypeBuilder& types, TypeId id) {
  const Arguments arguments = TemplateTypes(types, id);
  if (arguments.empty()) return std::nullopt;
  const TypeId node = PointerTarget(types, types.Complete(arguments[0], id));
  const Dwarf_Die* const die = types.DieOf(node);
  if (die == nullptr) return std::nullopt;
  const Arguments of_node = TemplateTypes(types, types.Complete(Dwarf_Die(*die), id));
  if (of_node.empty()) return std::nullopt;
  return AtNode(types, id, kLayout, FindEither(types, id, {{"__node_"}, {"__ptr_"}}), of_node[0],
                kHeader);
}

std::optional<View> DetectInner(TypeBuilder& types, const std::optional<Field>& inner, int depth);

// What wraps another iterator, or a pointer.
template <bool kBackwards>
std::optional<View> DetectAdaptor(TypeBuilder& types, TypeId id, int depth) {
  const auto inner =
      FindEither(types, id, {{"current"}, {"_M_current"}, {"__current_"}, {"__i_"}, {"__i"}});
  std::optional<View> view = AtPointer(types, inner);
  if (!view) view = DetectInner(types, inner, depth + 1);
  if (view && kBackwards) view->keys ^= kReversed;
  // No container has such iterators.
  const bool forward = view && (view->layout == kInChain || view->layout == kInForwardList);
  if (forward && view->keys != 0) return std::nullopt;
  return view;
}

template <bool kBackwards>
std::optional<View> DetectOuter(TypeBuilder& types, TypeId id) {
  return DetectAdaptor<kBackwards>(types, id, 0);
}

constexpr auto kRules = std::to_array<ViewRule>({
    // libstdc++
    {"__normal_iterator", DetectArrayIterator},
    {"std::_Bit_iterator", DetectBitIterator},
    {"std::_Bit_const_iterator", DetectBitIterator},
    {"std::_Deque_iterator", DetectDequeIterator},
    {"std::_List_iterator", DetectListIterator},
    {"std::_List_const_iterator", DetectListIterator},
    {"std::_Fwd_list_iterator", DetectChainIterator<0, kInForwardList>},
    {"std::_Fwd_list_const_iterator", DetectChainIterator<0, kInForwardList>},
    {"std::_Rb_tree_iterator", DetectTreeIterator},
    {"std::_Rb_tree_const_iterator", DetectTreeIterator},
    {"std::_Node_iterator", DetectChainIterator<0, kInChain>},
    {"std::_Node_const_iterator", DetectChainIterator<0, kInChain>},
    {"std::_Local_iterator", DetectChainIterator<1, kInChain>},
    {"std::_Local_const_iterator", DetectChainIterator<1, kInChain>},
    // libc++
    {"std::__wrap_iter", DetectArrayIterator},
    {"std::__bounded_iter", DetectArrayIterator},
    {"std::__bit_iterator", DetectBitIterator},
    {"std::__deque_iterator", DetectDequeIterator},
    {"std::__list_iterator", DetectListIterator},
    {"std::__list_const_iterator", DetectListIterator},
    {"std::__forward_list_iterator", DetectNodePointerIterator<kLinkHeader, kInForwardList>},
    {"std::__forward_list_const_iterator", DetectNodePointerIterator<kLinkHeader, kInForwardList>},
    {"std::__tree_iterator", DetectTreeIterator},
    {"std::__tree_const_iterator", DetectTreeIterator},
    {"std::__map_iterator", DetectOuter<false>},
    {"std::__map_const_iterator", DetectOuter<false>},
    {"std::__hash_iterator", DetectNodePointerIterator<kLibcxxHashHeader, kInChain>},
    {"std::__hash_const_iterator", DetectNodePointerIterator<kLibcxxHashHeader, kInChain>},
    {"std::__hash_local_iterator", DetectNodePointerIterator<kLibcxxHashHeader, kInChain>},
    {"std::__hash_const_local_iterator", DetectNodePointerIterator<kLibcxxHashHeader, kInChain>},
    {"std::__hash_map_iterator", DetectOuter<false>},
    {"std::__hash_map_const_iterator", DetectOuter<false>},
    // both
    {"std::reverse_iterator", DetectOuter<true>},
    {"std::move_iterator", DetectOuter<false>},
});

std::optional<View> DetectInner(TypeBuilder& types, const std::optional<Field>& inner, int depth) {
  if (!inner || depth > kMaxAdaptors) return std::nullopt;
  const std::string name = PublicName(types.RawName(inner->type));
  std::optional<View> view;
  for (const ViewRule& rule : kRules) {
    if (rule.name != name || view) continue;
    if (rule.detect == &DetectOuter<true>) {
      view = DetectAdaptor<true>(types, types.Strip(inner->type), depth);
    } else if (rule.detect == &DetectOuter<false>) {
      view = DetectAdaptor<false>(types, types.Strip(inner->type), depth);
    } else {
      view = rule.detect(types, types.Strip(inner->type));
    }
  }
  if (!view) return view;
  view->a += inner->offset;
  if (view->layout == kAtBit || view->layout == kInDeque) view->b += inner->offset;
  return view;
}

}  // namespace

std::span<const ViewRule> IteratorRules() { return kRules; }

}  // namespace stillframe::dwarf
