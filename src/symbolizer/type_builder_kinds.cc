// DIEs that are not structs: one function per kind.
#include <array>
#include <limits>

#include "symbolizer/array_bounds.h"
#include "symbolizer/dwarf_util.h"
#include "symbolizer/type_builder.h"
#include "symbolizer/type_builder_simplify.h"

namespace stillframe::dwarf {
namespace {

int64_t ExtendTo64(uint64_t raw, uint32_t size_bytes, bool is_unsigned) {
  if (size_bytes == 0 || size_bytes >= 8) return static_cast<int64_t>(raw);
  const unsigned unused = 64 - 8 * size_bytes;
  if (is_unsigned) return static_cast<int64_t>(raw << unused >> unused);
  return static_cast<int64_t>(raw << unused) >> unused;
}

// The constant's bits; sign-extended when the form says so.
std::optional<uint64_t> ConstantBits(Dwarf_Die die, unsigned name) {
  Dwarf_Attribute attribute;
  if (dwarf_attr(&die, name, &attribute) == nullptr) return std::nullopt;
  Dwarf_Sword sign = 0;
  Dwarf_Word plain = 0;
  if (dwarf_formsdata(&attribute, &sign) == 0) return static_cast<uint64_t>(sign);
  if (dwarf_formudata(&attribute, &plain) == 0) return plain;
  return std::nullopt;
}

bool IsUnsignedBase(std::optional<Dwarf_Die> die) {
  Dwarf_Die peeled;
  if (!die || dwarf_peel_type(&*die, &peeled) != 0) return false;
  const uint64_t encoding = Unsigned(peeled, DW_AT_encoding).value_or(0);
  return encoding == DW_ATE_unsigned || encoding == DW_ATE_unsigned_char ||
         encoding == DW_ATE_boolean || encoding == DW_ATE_UTF;
}

bool IsIntegerSize(uint64_t size) {
  return size == 1 || size == 2 || size == 4 || size == 8 || size == 16;
}

bool IsUnicodeName(std::string_view name) {
  return name == "char8_t" || name == "char16_t" || name == "char32_t" || name == "wchar_t";
}

TypeKind FloatKind(std::string_view name, uint64_t size) {
  // Several formats share a size, and only the name tells them apart.
  if (size == 2 && (name == "_Float16" || name == "std::float16_t")) return TypeKind::kHalf;
  if (size == 2 && (name == "__bf16" || name == "std::bfloat16_t")) return TypeKind::kBrainFloat;
  if (size == 16 && (name == "__float128" || name == "_Float128")) {
    return TypeKind::kQuad;
  }
  const bool plain = name == "float" || name == "double" || name == "long double" ||
                     name == "_Float32" || name == "_Float64" || name == "_Float32x" ||
                     name == "_Float64x";
  return plain && (size == 4 || size == 8 || size == 16) ? TypeKind::kFloat
                                                         : TypeKind::kUnsupported;
}

TypeKind BaseKind(uint64_t encoding, std::string_view name, uint64_t size) {
  if (IsUnicodeName(name) && (size == 1 || size == 2 || size == 4)) return TypeKind::kUnicode;
  switch (encoding) {
    case DW_ATE_boolean:
      return size == 1 ? TypeKind::kBool : TypeKind::kUnsupported;
    case DW_ATE_float:
      return FloatKind(name, size);
    case DW_ATE_signed_char:
    case DW_ATE_unsigned_char:
      return size == 1 ? TypeKind::kChar : TypeKind::kUnsupported;
    case DW_ATE_UTF:
      return size == 1 || size == 2 || size == 4 ? TypeKind::kUnicode : TypeKind::kUnsupported;
    case DW_ATE_signed:
      return IsIntegerSize(size) ? TypeKind::kSigned : TypeKind::kUnsupported;
    case DW_ATE_unsigned:
      return IsIntegerSize(size) ? TypeKind::kUnsigned : TypeKind::kUnsupported;
    default:
      return TypeKind::kUnsupported;
  }
}

}  // namespace

void TypeBuilder::ExpandKind(TypeId id, const Dwarf_Die& die) {
  const int tag = Tag(die);
  if (tag == DW_TAG_base_type) return ExpandBase(id, die);
  if (tag == DW_TAG_enumeration_type) return ExpandEnum(id, die);
  if (tag == DW_TAG_array_type) return ExpandArray(id, die);
  if (tag == DW_TAG_unspecified_type) return ExpandUnspecified(id, die);
  if (tag == DW_TAG_subroutine_type) {
    Mutable(id).kind = TypeKind::kFunction;
    return;
  }
  if (tag == DW_TAG_union_type || IsStructTag(tag)) return ExpandStruct(id, die);
  if (tag == DW_TAG_typedef || tag == DW_TAG_template_alias || IsQualifierTag(tag)) {
    return ExpandAlias(id, die);
  }
  ExpandPointer(id, die);
}

void TypeBuilder::ExpandBase(TypeId id, const Dwarf_Die& die) {
  const uint64_t size = Unsigned(die, DW_AT_byte_size).value_or(0);
  const uint64_t encoding = Unsigned(die, DW_AT_encoding).value_or(0);
  TypeNode& node = Mutable(id);
  if (encoding == DW_ATE_complex_float && (size == 8 || size == 16 || size == 32)) {
    return MakeComplex(id, static_cast<uint32_t>(size));
  }
  node.kind = BaseKind(encoding, Name(die), size);
  node.size_bytes = size <= 64 ? static_cast<uint32_t>(size) : 0;
  if (encoding == DW_ATE_unsigned_char || encoding == DW_ATE_UTF || encoding == DW_ATE_unsigned) {
    node.flags |= kFlagUnsigned;
  }
}

// "complex double": two of the floating type of half the size, which need not have a DIE.
void TypeBuilder::MakeComplex(TypeId id, uint32_t size_bytes) {
  TypeNode part;
  part.kind = TypeKind::kFloat;
  part.size_bytes = size_bytes / 2;
  part.name = tables_.Intern(size_bytes == 8    ? "float"
                             : size_bytes == 16 ? "double"
                                                : "long double");
  const TypeId target = Synthesize(part, part.size_bytes);
  TypeNode& node = Mutable(id);
  node.kind = TypeKind::kComplex;
  node.size_bytes = size_bytes;
  node.target = target;
}

void TypeBuilder::ExpandUnspecified(TypeId id, const Dwarf_Die& die) {
  TypeNode& node = Mutable(id);
  const std::string_view name = Name(die);
  if (name == "decltype(nullptr)" || name == "std::nullptr_t") {
    node.kind = TypeKind::kNullptr;
    node.size_bytes = 8;
  } else if (name.empty() || name == "void") {
    node.kind = TypeKind::kVoid;
  }
}

void TypeBuilder::ExpandAlias(TypeId id, const Dwarf_Die& die) {
  const std::optional<Dwarf_Die> target = TypeOf(die);
  if (!target) {
    Mutable(id).kind = TypeKind::kVoid;
    return;
  }
  const TypeId target_id = NodeFor(*target);
  if (target_id == id) return;  // damage: its own alias
  states_[id].alias_of = target_id;
  if (const auto alignment = Unsigned(die, DW_AT_alignment); alignment && *alignment <= 4096) {
    states_[id].alignment = static_cast<uint32_t>(*alignment);
  }
  aliases_.push_back(id);
}

void TypeBuilder::ExpandPointer(TypeId id, const Dwarf_Die& die) {
  const int tag = Tag(die);
  const std::optional<Dwarf_Die> target = TypeOf(die);
  if (tag == DW_TAG_ptr_to_member_type) {
    // Itanium C++ ABI §2.3: pointers to member functions are a pair of words.
    const bool function = target && Tag(*target) == DW_TAG_subroutine_type;
    const std::optional<Dwarf_Die> owner = TypeReference(die, DW_AT_containing_type);
    const TypeId owner_id = owner ? NodeFor(*owner) : kVoidType;  // whose members it may name
    std::map<int64_t, std::string> virtuals;
    if (function && owner) CollectVirtuals(*owner, 0, 0, virtuals);
    TypeNode& node = Mutable(id);
    node.kind = TypeKind::kMemberPointer;
    node.size_bytes = function ? 16 : 8;
    node.target = owner_id;
    node.first_member = static_cast<uint32_t>(unit().enumerators.size());
    node.member_count = static_cast<uint32_t>(virtuals.size());
    for (const auto& [key, name] : virtuals) {
      unit().enumerators.push_back({tables_.Intern(name), 0, key});
    }
    return;
  }
  const bool reference = tag == DW_TAG_reference_type || tag == DW_TAG_rvalue_reference_type;
  if (!reference && tag != DW_TAG_pointer_type) return;  // stays unsupported under its name
  if (Unsigned(die, DW_AT_byte_size).value_or(8) != 8) return;
  if (Unsigned(die, DW_AT_address_class).value_or(0) != 0) return;
  const std::optional<TypeId> exception = target ? MakeThrownException(*target) : std::nullopt;
  const TypeId target_id = exception ? *exception : target ? NodeFor(*target) : kVoidType;
  TypeNode& node = Mutable(id);
  node.kind = reference ? TypeKind::kReference : TypeKind::kPointer;
  node.size_bytes = 8;
  node.target = target_id;
  if (target_id != kVoidType) pending_dynamic_.push_back(target_id);
}

// What a pointer to a virtual member function may name: an override before what it overrides.
void TypeBuilder::CollectVirtuals(const Dwarf_Die& owner, uint64_t offset_bytes, int depth,
                                  std::map<int64_t, std::string>& names) {
  constexpr int kMaxBases = 16;
  constexpr size_t kMaxVirtuals = 4096;
  if (depth > kMaxBases || offset_bytes > UINT32_MAX / 2) return;
  Dwarf_Die peeled, die = owner;
  if (dwarf_peel_type(&die, &peeled) != 0) return;
  ForEachChild(peeled, [&](Dwarf_Die child) {
    Dwarf_Attribute attribute;
    Dwarf_Op* ops = nullptr;
    size_t count = 0;
    if (Tag(child) != DW_TAG_subprogram ||
        dwarf_attr(&child, DW_AT_vtable_elem_location, &attribute) == nullptr ||
        dwarf_getlocation(&attribute, &ops, &count) != 0 || count != 1) {
      return true;
    }
    const uint8_t atom = ops[0].atom;
    const bool small = atom >= DW_OP_lit0 && atom <= DW_OP_lit31;
    if (!small && atom != DW_OP_constu && atom != DW_OP_const1u) return true;
    const uint64_t index = small ? atom - DW_OP_lit0 : ops[0].number;
    if (index < kMaxVirtuals) {
      names.emplace(MemberPointerKey(8 * index, offset_bytes), namer_.FunctionName(child));
    }
    return names.size() < kMaxVirtuals;
  });
  ForEachChild(peeled, [&](const Dwarf_Die& child) {
    const std::optional<Dwarf_Die> type = TypeOf(child);
    const auto offset = Unsigned(child, DW_AT_data_member_location, false);
    if (Tag(child) == DW_TAG_inheritance && type && offset && !Unsigned(child, DW_AT_virtuality)) {
      CollectVirtuals(*type, offset_bytes + *offset, depth + 1, names);
    }
    return names.size() < kMaxVirtuals;
  });
}

void TypeBuilder::ExpandEnum(TypeId id, const Dwarf_Die& die) {
  if (Flag(die, DW_AT_declaration, false)) return ExpandDeclaration(id);
  const std::optional<Dwarf_Die> underlying = TypeOf(die);
  const auto size = static_cast<uint32_t>(Unsigned(die, DW_AT_byte_size).value_or(4));
  if (size != 1 && size != 2 && size != 4 && size != 8) return;
  bool is_unsigned = IsUnsignedBase(underlying);
  std::vector<std::pair<std::string_view, uint64_t>> values;
  bool negative = false;
  ForEachChild(die, [&](const Dwarf_Die& child) {
    if (Tag(child) != DW_TAG_enumerator) return true;
    const uint64_t bits = ConstantBits(child, DW_AT_const_value).value_or(0);
    negative |= ExtendTo64(bits, size, false) < 0;
    values.emplace_back(Name(child), bits);
    return values.size() < kMaxMembers;
  });
  // Without DW_AT_type (C, strict DWARF 2) the values decide, as in GDB.
  if (!underlying) is_unsigned = !negative;
  const TypeId target = underlying ? NodeFor(*underlying) : kVoidType;
  const bool scoped = Flag(die, DW_AT_enum_class, false);
  // Of the enumeration itself: a typedef of it may stand elsewhere (std::ios_base::openmode).
  const StringId scope = tables_.Intern(namer_.EnumeratorScope(die, scoped));
  const auto first = static_cast<uint32_t>(unit().enumerators.size());
  for (const auto& [name, bits] : values) {
    const int64_t value = ExtendTo64(bits, size, is_unsigned);
    unit().enumerators.push_back({tables_.Intern(name), scope, value});
  }
  TypeNode& node = Mutable(id);
  node.kind = TypeKind::kEnum;
  node.size_bytes = size;
  node.target = target;
  node.first_member = first;
  node.member_count = static_cast<uint32_t>(values.size());
  if (is_unsigned) node.flags |= kFlagUnsigned;
  if (scoped) node.flags |= kFlagScopedEnum;
}

void TypeBuilder::ExpandArray(TypeId id, const Dwarf_Die& die) {
  struct Bound {
    std::optional<uint64_t> count;
    bool computed;
  };
  std::vector<Bound> dimensions;
  ForEachChild(die, [&](Dwarf_Die child) {
    if (Tag(child) != DW_TAG_subrange_type) return true;
    std::optional<uint64_t> count = Unsigned(child, DW_AT_count);
    const std::optional<uint64_t> upper = Unsigned(child, DW_AT_upper_bound);
    if (!count && upper) count = *upper + 1;
    dimensions.push_back({count, IsComputedBound(child)});
    return dimensions.size() < kMaxDimensions;
  });
  const std::optional<Dwarf_Die> element = TypeOf(die);
  if (dimensions.empty() || !element || Unsigned(die, DW_AT_byte_stride)) return;
  Dwarf_Die element_die = *element;
  Dwarf_Word element_size = 0;
  bool is_sized = !IsVariableArray(*element);
  if (is_sized && dwarf_aggregate_size(&element_die, &element_size) != 0) return;

  TypeId target = NodeFor(*element);
  uint64_t size = element_size;
  std::string suffix;
  const std::string element_name = tables_.String(Node(target).name);
  for (size_t i = dimensions.size(); i-- > 0;) {
    const Bound& dimension = dimensions[i];
    const uint64_t count = dimension.count.value_or(0);
    // The first bound of all may be open: `int data[]`.
    const bool is_open = i == 0 && !dimension.count && !dimension.computed;
    is_sized = is_sized && dimension.count.has_value();
    if (is_sized && count != 0 && size > std::numeric_limits<uint32_t>::max() / count) return;
    size = is_sized ? size * count : 0;
    suffix = "[" + (dimension.count ? std::to_string(count) : "") + "]" + suffix;
    TypeNode node;
    node.kind = TypeKind::kArray;
    node.target = target;
    if (is_sized) node.count = count;
    node.size_bytes = static_cast<uint32_t>(size);
    if (i > 0) {
      node.name = tables_.Intern(element_name + " " + suffix);
      target = Synthesize(node, 1);
      states_[target].hops = UINT32_MAX;  // so that Reach passes on to the element
    } else {
      node.name = Node(id).name;
      node.flags = Node(id).flags;
      Mutable(id) = node;
      target = id;
    }
    if (is_open) Mutable(target).flags |= kFlagUncounted;
    if (is_open || is_sized) continue;
    Mutable(target).flags |= kFlagCountedByVariable;
    states_[target].dimension = {die, i};
  }
}

}  // namespace stillframe::dwarf
