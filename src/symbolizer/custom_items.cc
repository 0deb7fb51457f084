#include "symbolizer/custom_items.h"

#include <algorithm>
#include <optional>

#include "symbolizer/custom_paths.h"
#include "symbolizer/type_builder.h"

namespace stillframe::dwarf {
namespace {

using Kind = FormatterItems::Kind;

// Offsets of links that a node's first bytes hold.
constexpr uint32_t kMostLinkOffset = 24;
// bits of boost::detail::sp_counted_base and of std::_Sp_counted_base: vptr, uses, weak uses.
constexpr uint32_t kUsesOffset = 8;
constexpr uint32_t kWeakUsesOffset = 12;

class ItemsBuilder {
 public:
  ItemsBuilder(TypeBuilder& types, TypeId id, const FormatterItems& items)
      : types_(types), id_(id), items_(items) {}

  std::optional<View> Build() {
    if (!PathsMayBeShown()) return std::nullopt;
    view_.key_value = items_.is_map ? 1 : 0;
    return Fill() ? std::optional(view_) : std::nullopt;
  }

  std::optional<View> BuildCondition() {
    const FormatterCondition& when = *items_.when;
    view_.kind = ViewKind::kChoice;
    view_.count = when.value;
    view_.keys = when.equal ? 0 : kUnequal;
    return SetNumber(when.number, view_.a) ? std::optional(view_) : std::nullopt;
  }

 private:
  // What a name hides when it is shown raw is not shown by another.
  bool PathsMayBeShown() const {
    const MemberPath* const paths[] = {&items_.first, &items_.last,     &items_.third,
                                       &items_.left,  &items_.right,    &items_.parent,
                                       &items_.value, &items_.size.path};
    return std::none_of(std::begin(paths), std::end(paths),
                        [&](const MemberPath* path) { return RedactsPath(types_, *path); });
  }

  bool Fill() {
    switch (items_.kind) {
      case Kind::kNone:
        return false;
      case Kind::kArray:
        return items_.in_place || IsArray() ? InPlace(ViewKind::kCounted)
                                            : InRow(ViewKind::kCounted);
      case Kind::kText:
        return items_.in_place ? InPlace(ViewKind::kString) : InRow(ViewKind::kString);
      case Kind::kRange:
        view_.kind = ViewKind::kSequence;
        return SetElements(items_.first, view_.a) && SetPointer(items_.last, view_.b);
      case Kind::kList:
        view_.kind = ViewKind::kHash;
        return SetSize() && SetNodes() && SetLink(items_.left, view_.left);
      case Kind::kTree:
        return Tree();
      case Kind::kRootedTree:
        view_.kind = ViewKind::kRootedTree;
        return SetSize() && SetNodes() && SetLink(items_.left, view_.left) &&
               SetLink(items_.right, view_.right);
      case Kind::kSlots:
        return Slots();
      case Kind::kBuckets:
        return Buckets();
      case Kind::kRing:
        view_.kind = ViewKind::kRing;
        return SetElements(items_.third, view_.e) && SetPointer(items_.first, view_.a) &&
               SetPointer(items_.last, view_.d) && SetSize();
      case Kind::kDeque:
        return Deque();
      case Kind::kOptional:
        return Optional();
      case Kind::kVariant:
        return Variant();
      case Kind::kPointer:
        view_.kind = ViewKind::kUniquePtr;
        return SetTarget();
      case Kind::kSharedPointer:
        return Counted(ViewKind::kSharedPtr);
      case Kind::kWeakPointer:
        return Counted(ViewKind::kWeakPtr);
    }
    return false;
  }

  uint32_t SizeOf(TypeId type) const { return types_.Node(types_.Strip(type)).size_bytes; }
  TypeKind KindOf(TypeId type) const { return types_.Node(types_.Strip(type)).kind; }

  std::optional<Field> Find(const MemberPath& path) const {
    return FindMember(types_, id_, id_, path);
  }

  // A number or a flag, or a part of one, of at most 8 bytes.
  bool SetNumber(const FormatterNumber& number, uint32_t& offset) {
    const auto field = Find(number.path);
    if (!field) return false;
    const TypeKind kind = KindOf(field->type);
    const bool legal = kind == TypeKind::kUnsigned || kind == TypeKind::kSigned ||
                       kind == TypeKind::kBool || kind == TypeKind::kEnum ||
                       kind == TypeKind::kChar ||
                       (kind == TypeKind::kPointer && view_.kind == ViewKind::kChoice);
    const uint32_t whole = field->bit_size != 0 ? field->bit_size : 8 * SizeOf(field->type);
    const uint32_t first_bit = field->bit_offset + uint32_t{number.shift};
    const uint32_t bytes = field->bit_size != 0 ? (field->bit_offset + whole + 7) / 8 : whole / 8;
    if (!legal || bytes == 0 || bytes > 8 || number.shift >= whole) return false;
    uint32_t bits = whole - number.shift;
    if (number.bits != 0 && number.bits < bits) bits = number.bits;
    const bool all = first_bit == 0 && bits == 8 * bytes;
    if (!all && !HasParts()) return false;
    offset = field->offset;
    view_.size_bytes = static_cast<uint8_t>(bytes == 8 ? 0 : bytes);
    if (HasParts()) {
      view_.left = static_cast<uint8_t>(first_bit);
      view_.right = static_cast<uint8_t>(all ? 0 : bits);
    }
    return true;
  }
  bool HasParts() const {
    return view_.kind != ViewKind::kHash && view_.kind != ViewKind::kTree &&
           view_.kind != ViewKind::kRootedTree;
  }

  bool SetSize() {
    if (!items_.size.path.empty()) return SetNumber(items_.size, view_.b);
    view_.layout = kUncounted;
    return true;
  }

  bool SetPointer(const MemberPath& path, uint32_t& offset) const {
    const auto field = Find(path);
    if (!field || field->bit_size != 0 || !IsPointer(types_, field->type)) return false;
    offset = field->offset;
    return true;
  }

  bool SetWord(const MemberPath& path, uint32_t& offset) const {
    const auto field = Find(path);
    if (!field || field->bit_size != 0 || SizeOf(field->type) != 8) return false;
    const TypeKind kind = KindOf(field->type);
    offset = field->offset;
    return kind == TypeKind::kUnsigned || kind == TypeKind::kSigned;
  }

  // Elements in a row behind the pointer.
  bool SetElements(const MemberPath& path, uint32_t& offset) {
    const auto field = Find(path);
    if (!field || field->bit_size != 0 || !IsPointer(types_, field->type)) return false;
    offset = field->offset;
    view_.element = PointerTarget(types_, field->type);
    return SizeOf(view_.element) != 0;
  }

  bool IsArray() const {
    const auto field = Find(items_.first);
    return field && KindOf(field->type) == TypeKind::kArray && !items_.is_map;
  }

  bool InRow(ViewKind kind) {
    view_.kind = kind;
    return SetElements(items_.first, view_.a) && SetSize() && IsTextWhereAsked();
  }

  bool InPlace(ViewKind kind) {
    const auto room = FindMember(types_, id_, id_, Untyped(items_.first));
    const auto field = Find(items_.first);
    if (!room || !field || field->bit_size != 0) return false;
    view_.kind = kind;
    view_.layout = kInPlace;
    view_.a = field->offset;
    const TypeNode& node = types_.Node(types_.Strip(field->type));
    // Either an array, or the type of one element that stands for it.
    view_.element = node.kind == TypeKind::kArray ? node.target : field->type;
    const uint32_t element_bytes = SizeOf(view_.element);
    const uint32_t room_bytes = SizeOf(room->type);
    if (element_bytes == 0 || room_bytes < element_bytes) return false;
    view_.count = room_bytes / element_bytes;
    if (items_.size.path.empty()) {
      view_.kind = ViewKind::kInlineArray;
      view_.layout = kPlain;
      return true;
    }
    if (kind == ViewKind::kString) view_.c = room_bytes;
    return SetSize() && IsTextWhereAsked();
  }

  // Without a type at the end: what room there is.
  static MemberPath Untyped(MemberPath path) {
    while (path.size() > 1 && path.back().front() == '(') path.pop_back();
    return path;
  }

  bool IsTextWhereAsked() const {
    const TypeKind kind = KindOf(view_.element);
    return view_.kind != ViewKind::kString || kind == TypeKind::kChar || kind == TypeKind::kUnicode;
  }

  // Type of the nodes behind the pointer at the offset.
  bool SetNodes() { return SetElements(items_.first, view_.a) && SetNodeType(view_.element); }
  bool SetNodeType(TypeId declared) {
    if (!items_.node.empty()) {
      const auto node = FindType(types_, id_, items_.node);
      if (!node) return false;
      node_ = *node;
    } else {
      const TypeId target = types_.Strip(declared);
      const Dwarf_Die* die = types_.DieOf(target);
      node_ = die == nullptr ? target : types_.Complete(Dwarf_Die(*die), id_);
    }
    view_.element = node_;
    if (items_.value.empty()) return true;
    const auto value = FindMember(types_, id_, node_, items_.value);
    if (!value || value->bit_size != 0) return false;
    view_.element = value->type;
    view_.c = value->offset;
    const TypeKind kind = KindOf(view_.element);
    return kind != TypeKind::kIncomplete && kind != TypeKind::kUnsupported;
  }

  bool SetLink(const MemberPath& path, uint8_t& link) {
    const auto field = FindMember(types_, id_, node_, path);
    if (!field || !IsPointer(types_, field->type) || field->offset > kMostLinkOffset ||
        field->offset % 8 != 0) {
      return false;
    }
    link = static_cast<uint8_t>(field->offset);
    return true;
  }

  bool Tree() {
    view_.kind = ViewKind::kTree;
    const auto header = Find(items_.last);
    if (!header || !SetSize() || !SetNodes() || !SetLink(items_.left, view_.left) ||
        !SetLink(items_.right, view_.right) || !SetLink(items_.parent, view_.parent)) {
      return false;
    }
    view_.d = header->offset;
    view_.e = items_.tag_bits;
    return true;
  }

  bool Slots() {
    view_.kind = ViewKind::kSlots;
    view_.keys = items_.first_mark;
    view_.parent = items_.last_mark;
    view_.layout = items_.behind_pointers ? kBehindPointers : items_.in_groups ? kInGroups : kPlain;
    if (!SetPointer(items_.first, view_.a) || !SetElements(items_.third, view_.e) ||
        !SetWord(items_.last, view_.d) || !SetSize()) {
      return false;
    }
    view_.count = SizeOf(view_.element);
    if (!items_.behind_pointers) return SetNodeType(view_.element);
    return IsPointer(types_, view_.element) && SetNodeType(PointerTarget(types_, view_.element));
  }

  bool Buckets() {
    view_.kind = ViewKind::kBuckets;
    if (!SetElements(items_.first, view_.a) || !SetWord(items_.last, view_.d) || !SetSize()) {
      return false;
    }
    const TypeId bucket = view_.element;
    view_.count = SizeOf(bucket);
    const auto head = FindMember(types_, id_, bucket, items_.third);
    if (!head || !IsPointer(types_, head->type)) return false;
    view_.e = head->offset;
    return SetNodeType(PointerTarget(types_, head->type)) && SetLink(items_.left, view_.parent);
  }

  // Iterators of four pointers each: current, first and last of the block, the block's pointer.
  bool Deque() {
    const auto start = Find(items_.first);
    const auto finish = Find(items_.last);
    if (!start || !finish || SizeOf(start->type) != 32 || SizeOf(finish->type) != 32) return false;
    const auto members = types_.Members(types_.Node(types_.Strip(start->type)));
    if (members.empty()) return false;
    view_.kind = ViewKind::kDeque;
    view_.a = start->offset;
    view_.b = finish->offset;
    for (const Member& member : members) {
      if (member.offset_bytes == 0) view_.element = PointerTarget(types_, member.type);
    }
    return view_.element != kVoidType && SizeOf(view_.element) != 0;
  }

  bool Optional() {
    const auto flag = Find(items_.first);
    const auto value = Find(items_.last);
    if (!flag || !value || flag->bit_size != 0 || value->bit_size != 0) return false;
    if (SizeOf(flag->type) != 1) return false;
    view_.kind = ViewKind::kOptional;
    view_.a = flag->offset;
    view_.b = value->offset;
    view_.element = value->type;
    if (!items_.none_text.empty()) view_.d = types_.tables().Intern(items_.none_text);
    return KindOf(value->type) != TypeKind::kReference;
  }

  // The alternatives are the container's own template arguments.
  bool Variant() {
    const auto index = Find(items_.first);
    const auto storage = Find(items_.last);
    if (!index || !storage || index->bit_size != 0) return false;
    const uint32_t storage_bytes = SizeOf(storage->type);
    view_.kind = ViewKind::kVariant;
    view_.a = index->offset;
    view_.b = storage->offset;
    view_.keys = items_.may_be_valueless ? 0 : kNeverValueless;
    view_.size_bytes = static_cast<uint8_t>(SizeOf(index->type));
    std::vector<Member> alternatives;
    for (const Dwarf_Die& argument : TemplateTypes(types_, id_)) {
      Member member;
      member.type = types_.Complete(argument, id_);
      member.name = types_.Node(member.type).name;
      if (SizeOf(member.type) > storage_bytes) return false;
      alternatives.push_back(member);
    }
    if (alternatives.empty()) return false;
    AppendMembers(types_, alternatives, view_);
    return true;
  }

  bool SetTarget() {
    const auto pointer = Find(items_.first);
    if (!pointer || !IsPointer(types_, pointer->type)) return false;
    view_.a = pointer->offset;
    view_.element = types_.SkipTypedefs(PointerTarget(types_, pointer->type));
    return true;
  }

  bool Counted(ViewKind kind) {
    view_.kind = kind;
    const auto control = Find(items_.last);
    if (!SetTarget() || !control || !IsPointer(types_, control->type)) return false;
    view_.b = control->offset;
    const TypeId counts = PointerTarget(types_, control->type);
    const Dwarf_Die* die = types_.DieOf(counts);
    if (die == nullptr) return false;
    const TypeId block = types_.Complete(Dwarf_Die(*die), id_);
    const auto uses = FindMember(types_, id_, block, items_.left);
    const auto weak = FindMember(types_, id_, block, items_.right);
    return uses && weak && uses->offset == kUsesOffset && weak->offset == kWeakUsesOffset &&
           SizeOf(uses->type) == 4 && SizeOf(weak->type) == 4;
  }

  TypeBuilder& types_;
  TypeId id_;
  const FormatterItems& items_;
  TypeId node_ = kVoidType;
  View view_;
};

uint32_t Append(TypeBuilder& types, const View& view) {
  types.unit().views.push_back(view);
  return static_cast<uint32_t>(types.unit().views.size() - 1);
}

}  // namespace

bool AddItems(TypeBuilder& types, TypeId id, const std::vector<FormatterItems>& items,
              uint32_t& first) {
  first = 0;
  // From the last one on: a choice names what is tried after it.
  for (auto one = items.rbegin(); one != items.rend(); ++one) {
    const std::optional<View> view = ItemsBuilder(types, id, *one).Build();
    if (!view) return false;
    types.ReachFrom(id, view->element);
    for (uint32_t i = 0; i < view->member_count; ++i) {
      types.ReachFrom(id, types.unit().members[view->first_member + i].type);
    }
    uint32_t index = Append(types, *view);
    if (one->when) {
      std::optional<View> choice = ItemsBuilder(types, id, *one).BuildCondition();
      if (!choice) return false;
      choice->b = index;
      choice->c = first;
      index = Append(types, *choice);
    }
    first = index;
  }
  return true;
}

}  // namespace stillframe::dwarf
