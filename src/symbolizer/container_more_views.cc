// The less common library types. Where both libraries keep the same things, one rule serves both.
#include <array>
#include <charconv>
#include <string>

#include "symbolizer/container_fields.h"
#include "symbolizer/container_rules.h"
#include "symbolizer/type_builder.h"

namespace stillframe::dwarf {
namespace {

// bits/forward_list.h: next.
constexpr uint32_t kForwardNodeHeader = 8;
// bits/stl_deque.h: __deque_buf_size.
constexpr uint32_t kDequeBlockBytes = 512;

uint32_t SizeOf(const TypeBuilder& types, TypeId type) {
  return types.Node(types.Strip(type)).size_bytes;
}

std::optional<View> DetectBits(TypeBuilder& types, TypeId id) {
  const auto begin = FindField(types, id, {"_M_impl", "_M_start", "_M_p"});
  const auto end = FindField(types, id, {"_M_impl", "_M_finish", "_M_p"});
  const auto used = FindField(types, id, {"_M_impl", "_M_finish", "_M_offset"});
  if (!begin || !end || !used) return std::nullopt;
  View view = MakeView(ViewKind::kBits);
  view.a = begin->offset;
  view.b = end->offset;
  view.c = used->offset;
  return view;
}

std::optional<View> DetectDeque(TypeBuilder& types, TypeId id) {
  const auto start = FindField(types, id, {"_M_impl", "_M_start"});
  const auto finish = FindField(types, id, {"_M_impl", "_M_finish"});
  if (!start || !finish) return std::nullopt;
  const auto current = FindField(types, start->type, {"_M_cur"});
  const auto block = FindField(types, start->type, {"_M_node"});
  if (!current || !block || current->offset != 0 || block->offset != 24) return std::nullopt;
  View view = MakeView(ViewKind::kDeque);
  view.a = start->offset;
  view.b = finish->offset;
  view.element = PointerTarget(types, current->type);
  const uint32_t size = SizeOf(types, view.element);
  if (size == 0) return std::nullopt;
  view.c = size < kDequeBlockBytes ? kDequeBlockBytes / size : 1;
  return view;
}

std::optional<View> DetectForwardList(TypeBuilder& types, TypeId id) {
  const auto first = FindField(types, id, {"_M_impl", "_M_head", "_M_next"});
  const std::vector<Dwarf_Die> arguments = TemplateTypes(types, id);
  if (!first || arguments.empty()) return std::nullopt;
  View view = MakeView(ViewKind::kHash, kUncounted);
  view.a = first->offset;
  view.element = types.Complete(arguments[0], id);
  const auto offset = ValueOffset(types, view.element, kForwardNodeHeader);
  if (!offset) return std::nullopt;
  view.c = *offset;
  return view;
}

std::optional<View> DetectBitset(TypeBuilder& types, TypeId id) {
  const auto words = FindEither(types, id, {{"_M_w"}, {"__first_"}});
  const auto count = TemplateValue(types, id, 0);
  if (!count || (!words && *count != 0)) return std::nullopt;
  View view = MakeView(ViewKind::kBitset);
  view.a = words ? words->offset : 0;
  view.count = *count;
  return view;
}

std::optional<View> Counted(TypeBuilder& types, const std::optional<Field>& data,
                            const std::optional<Field>& size) {
  if (!data || !size || !IsPointer(types, data->type)) return std::nullopt;
  View view = MakeView(ViewKind::kCounted);
  view.a = data->offset;
  view.b = size->offset;
  view.element = PointerTarget(types, data->type);
  return view;
}

std::optional<View> DetectSpan(TypeBuilder& types, TypeId id) {
  const auto data = FindEither(types, id, {{"_M_ptr"}, {"__data_"}});
  const auto size = FindEither(types, id, {{"_M_extent", "_M_extent_value"}, {"__size_"}});
  if (size) return Counted(types, data, size);
  const auto extent = TemplateValue(types, id, 0);
  if (!data || !extent || !IsPointer(types, data->type)) return std::nullopt;
  View view = MakeView(ViewKind::kCounted, kFixedCount);
  view.a = data->offset;
  view.count = *extent;
  view.element = PointerTarget(types, data->type);
  return view;
}

std::optional<View> DetectInitializerList(TypeBuilder& types, TypeId id) {
  return Counted(types, FindEither(types, id, {{"_M_array"}, {"__begin_"}}),
                 FindEither(types, id, {{"_M_len"}, {"__size_"}}));
}

std::optional<View> DetectValarray(TypeBuilder& types, TypeId id) {
  return Counted(types, FindField(types, id, {"_M_data"}), FindField(types, id, {"_M_size"}));
}

std::optional<View> Wrapper(const std::optional<Field>& inner) {
  if (!inner) return std::nullopt;
  View view = MakeView(ViewKind::kWrapper);
  view.a = inner->offset;
  view.element = inner->type;
  return view;
}

std::optional<View> DetectAtomic(TypeBuilder& types, TypeId id) {
  return Wrapper(FindEither(types, id,
                            {{"_M_i"},
                             {"_M_base", "_M_i"},
                             {"_M_b", "_M_p"},
                             {"_M_fp"},
                             {"__a_", "__a_value"},
                             {"__a_"}}));
}
std::optional<View> DetectPath(TypeBuilder& types, TypeId id) {
  return Wrapper(FindEither(types, id, {{"_M_pathname"}, {"__pn_"}}));
}
std::optional<View> DetectAdaptor(TypeBuilder& types, TypeId id) {
  return Wrapper(FindField(types, id, {"c"}));
}
std::optional<View> DetectReferenceWrapper(TypeBuilder& types, TypeId id) {
  return Wrapper(FindEither(types, id, {{"_M_data"}, {"__f_"}, {"_M_ptr"}, {"__ptr_"}}));
}
std::optional<View> DetectThreadId(TypeBuilder& types, TypeId id) {
  return Wrapper(FindEither(types, id, {{"_M_thread"}, {"__id_"}}));
}

std::optional<View> DetectComplex(TypeBuilder& types, TypeId id) {
  if (const auto value = FindField(types, id, {"_M_value"})) return Wrapper(value);
  const auto real = FindField(types, id, {"__re_"});
  const auto imaginary = FindField(types, id, {"__im_"});
  if (!real || !imaginary || imaginary->offset != real->offset + SizeOf(types, real->type)) {
    return std::nullopt;
  }
  TypeNode node;
  node.kind = TypeKind::kComplex;
  node.name = types.Node(id).name;
  node.target = real->type;
  node.size_bytes = 2 * SizeOf(types, real->type);
  if (types.Node(types.Strip(real->type)).kind != TypeKind::kFloat) return std::nullopt;
  return Wrapper(Field{real->offset, types.Synthesize(node, 1)});
}

// "std::ratio<1, 1000>", "std::__1::ratio<1l, 1000l>".
bool ParseRatio(const std::string& name, uint64_t& numerator, uint64_t& denominator) {
  const size_t open = name.rfind("ratio<");
  const size_t comma = name.find(',', open == std::string::npos ? 0 : open);
  if (open == std::string::npos || comma == std::string::npos) return false;
  const char* const end = name.data() + name.size();
  const size_t second = name.find_first_not_of(' ', comma + 1);
  if (second == std::string::npos) return false;
  return std::from_chars(name.data() + open + 6, end, numerator).ec == std::errc() &&
         std::from_chars(name.data() + second, end, denominator).ec == std::errc() &&
         numerator != 0 && denominator != 0;
}

std::optional<View> DetectDuration(TypeBuilder& types, TypeId id) {
  const auto count = FindEither(types, id, {{"__r"}, {"__rep_"}});
  const std::vector<Dwarf_Die> arguments = TemplateTypes(types, id);  // representation, period
  if (!count) return std::nullopt;
  uint64_t numerator = 1;
  uint64_t denominator = 1;
  if (arguments.size() > 1 &&
      !ParseRatio(types.RawName(types.Complete(arguments[1], id)), numerator, denominator)) {
    return std::nullopt;
  }
  View view = MakeView(ViewKind::kDuration);
  view.a = count->offset;
  view.element = count->type;
  view.count = numerator;
  view.c = static_cast<uint32_t>(denominator);
  view.d = static_cast<uint32_t>(denominator >> 32);
  return view;
}

std::optional<View> DetectTimePoint(TypeBuilder& types, TypeId id) {
  const auto inner = FindEither(types, id, {{"__d"}, {"__d_"}});
  const std::vector<Dwarf_Die> arguments = TemplateTypes(types, id);  // clock, duration
  if (!inner || arguments.empty()) return std::nullopt;
  std::optional<View> view = DetectDuration(types, inner->type);
  if (!view) return std::nullopt;
  view->a += inner->offset;
  const std::string clock = types.RawName(types.Complete(arguments[0], id));
  view->layout = clock.ends_with("::system_clock") ? kSystemTime : kOtherTime;
  return view;
}

template <ViewLayout kLayout>
std::optional<View> DetectMutex(TypeBuilder& types, TypeId id) {
  const auto mutex = FindEither(types, id, {{"_M_mutex"}, {"__m_"}});
  if (!mutex || SizeOf(types, mutex->type) < 24) return std::nullopt;
  View view = MakeView(ViewKind::kMutex, kLayout);
  view.a = mutex->offset;
  return view;
}

// libc++ builds these of a mutex that is held for moments only, a condition, and what says how
// things are.
std::optional<View> LibcxxLock(const std::optional<Field>& state, ViewLayout layout) {
  if (!state) return std::nullopt;
  View view = MakeView(ViewKind::kMutex, layout);
  view.a = state->offset;
  return view;
}

std::optional<View> DetectTimedMutex(TypeBuilder& types, TypeId id) {
  if (!FindField(types, id, {"__cv_"})) return DetectMutex<kPlain>(types, id);
  return LibcxxLock(FindField(types, id, {"__locked_"}), kLibcxxTimed);
}

std::optional<View> DetectRecursiveTimedMutex(TypeBuilder& types, TypeId id) {
  if (!FindField(types, id, {"__cv_"})) return DetectMutex<kRecursive>(types, id);
  const auto count = FindField(types, id, {"__count_"});
  const auto owner = FindField(types, id, {"__id_"});
  if (!count || !owner || owner->offset != count->offset + 8) return std::nullopt;
  return LibcxxLock(count, kLibcxxRecursiveTimed);
}

// libstdc++'s, over glibc's pthread_rwlock_t.
std::optional<View> DetectSharedMutex(TypeBuilder& types, TypeId id) {
  if (const auto state = FindField(types, id, {"__base_", "__state_"})) {
    return LibcxxLock(state, kLibcxxShared);
  }
  if (const auto base = FindField(types, id, {"__base_"})) {  // known by its layout alone
    const View inner = types.unit().views[types.Node(types.Strip(base->type)).view];
    if (inner.kind != ViewKind::kMutex || inner.layout != kLibcxxShared) return std::nullopt;
    return LibcxxLock(Field{base->offset + inner.a, base->type}, kLibcxxShared);
  }
  const auto lock = FindEither(types, id, {{"_M_impl", "_M_rwlock"}, {"_M_rwlock"}});
  if (!lock || SizeOf(types, lock->type) < 56) return std::nullopt;
  View view = MakeView(ViewKind::kMutex, kReadWrite);
  view.a = lock->offset;
  return view;
}

std::optional<View> DetectFunction(TypeBuilder& types, TypeId id) {
  const auto target = FindField(types, id, {"_M_functor"});
  const auto manager = FindField(types, id, {"_M_manager"});
  const auto invoker = FindField(types, id, {"_M_invoker"});
  if (target && manager && invoker) {
    View view = MakeView(ViewKind::kFunction);
    view.a = invoker->offset;
    view.b = target->offset;
    view.d = manager->offset;
    return view;
  }
  const auto object = FindField(types, id, {"__f_", "__f_"});
  if (!object || !IsPointer(types, object->type)) return std::nullopt;
  View view = MakeView(ViewKind::kFunction, kLibcxx);
  view.a = object->offset;
  view.d = object->offset;
  return view;
}

template <ViewKind kKind>
std::optional<View> DetectHandle(TypeBuilder& types, TypeId id) {
  const auto pointer =
      FindEither(types, id, {{"_M_exception_object"}, {"_M_fr_ptr"}, {"__handle_"}, {"__ptr_"}});
  if (!pointer || !IsPointer(types, pointer->type)) return std::nullopt;
  View view = MakeView(kKind);
  view.a = pointer->offset;
  return view;
}

constexpr auto kRules = std::to_array<ViewRule>({
    {"std::vector", DetectBits},
    {"std::deque", DetectDeque},
    {"std::forward_list", DetectForwardList},
    {"std::bitset", DetectBitset},
    {"std::span", DetectSpan},
    {"std::initializer_list", DetectInitializerList},
    {"std::valarray", DetectValarray},
    {"std::atomic", DetectAtomic},
    {"std::atomic_flag", DetectAtomic},
    {"std::atomic_ref", DetectReferenceWrapper},
    {"std::filesystem::path", DetectPath},
    {"std::queue", DetectAdaptor},
    {"std::stack", DetectAdaptor},
    {"std::priority_queue", DetectAdaptor},
    {"std::reference_wrapper", DetectReferenceWrapper},
    {"std::thread::id", DetectThreadId},
    {"std::__thread_id", DetectThreadId},
    {"std::complex", DetectComplex},
    {"std::chrono::duration", DetectDuration},
    {"std::chrono::time_point", DetectTimePoint},
    {"std::mutex", DetectMutex<kPlain>},
    {"std::timed_mutex", DetectTimedMutex},
    {"std::recursive_mutex", DetectMutex<kRecursive>},
    {"std::recursive_timed_mutex", DetectRecursiveTimedMutex},
    {"std::shared_mutex", DetectSharedMutex},
    {"std::shared_timed_mutex", DetectSharedMutex},
    {"std::any", DetectAny},
    {"std::function", DetectFunction},
    {"std::exception_ptr", DetectHandle<ViewKind::kExceptionPtr>},
    {"std::coroutine_handle", DetectHandle<ViewKind::kCoroutine>},
});

}  // namespace

std::span<const ViewRule> MoreViewRules() { return kRules; }

}  // namespace stillframe::dwarf
