// Structs, classes and unions.
#include <limits>

#include "symbolizer/container_views.h"
#include "symbolizer/dwarf_util.h"
#include "symbolizer/type_builder.h"
#include "symbolizer/type_builder_simplify.h"

namespace stillframe::dwarf {
namespace {

// Where a member starts, in bits; nullopt when only an expression over the object knows.
std::optional<uint64_t> StartBit(Dwarf_Die member) {
  if (const auto bits = Unsigned(member, DW_AT_data_bit_offset, false)) return *bits;
  Dwarf_Attribute attribute;
  if (dwarf_attr(&member, DW_AT_data_member_location, &attribute) == nullptr) return 0;
  Dwarf_Word bytes = 0;
  if (dwarf_formudata(&attribute, &bytes) == 0) {
    if (bytes > std::numeric_limits<uint32_t>::max()) return std::nullopt;
    return bytes * 8;
  }
  // DWARF 2 and 3 wrote "DW_OP_plus_uconst N".
  Dwarf_Op* ops = nullptr;
  size_t count = 0;
  if (dwarf_getlocation(&attribute, &ops, &count) != 0 || count != 1) return std::nullopt;
  if (ops[0].atom != DW_OP_plus_uconst || ops[0].number > UINT32_MAX) return std::nullopt;
  return ops[0].number * 8;
}

// Where the vtable keeps a virtual base's offset: N of "dup, deref, constu N, minus, deref, plus"
// over the object's address (Itanium C++ ABI 2.5.2; both compilers write exactly this).
std::optional<uint32_t> VirtualBaseSlot(Dwarf_Die base) {
  Dwarf_Attribute attribute;
  Dwarf_Op* ops = nullptr;
  size_t count = 0;
  if (dwarf_attr(&base, DW_AT_data_member_location, &attribute) == nullptr ||
      dwarf_getlocation(&attribute, &ops, &count) != 0 || count != 6) {
    return std::nullopt;
  }
  if (ops[0].atom != DW_OP_dup || ops[1].atom != DW_OP_deref || ops[3].atom != DW_OP_minus ||
      ops[4].atom != DW_OP_deref || ops[5].atom != DW_OP_plus) {
    return std::nullopt;
  }
  const uint8_t atom = ops[2].atom;
  uint64_t slot = ops[2].number;
  if (atom >= DW_OP_lit0 && atom <= DW_OP_lit31) slot = atom - DW_OP_lit0;
  const bool constant = (atom >= DW_OP_lit0 && atom <= DW_OP_lit31) || atom == DW_OP_constu ||
                        atom == DW_OP_const1u || atom == DW_OP_const2u || atom == DW_OP_const4u;
  if (!constant || slot == 0 || slot > 65'536) return std::nullopt;
  return static_cast<uint32_t>(slot);
}

struct BitField {
  uint32_t offset_bytes = 0;
  uint8_t bit_offset = 0;
};

// The storage is read as a little-endian number: in the declared type's own aligned unit when the
// field and the unit fit in there, else from the first byte that holds a bit of it.
BitField PlaceBitField(uint64_t start_bit, uint64_t bits, uint64_t unit_size,
                       uint64_t parent_size) {
  if (unit_size != 0) {
    const uint64_t unit_start = start_bit / 8 / unit_size * unit_size;
    if (unit_start + unit_size <= parent_size && start_bit + bits <= (unit_start + unit_size) * 8) {
      return {static_cast<uint32_t>(unit_start), static_cast<uint8_t>(start_bit - unit_start * 8)};
    }
  }
  return {static_cast<uint32_t>(start_bit / 8), static_cast<uint8_t>(start_bit % 8)};
}

// DWARF 2 and 3 count DW_AT_bit_offset from the most significant bit of the storage unit.
uint64_t OldBitOffset(const Dwarf_Die& member, uint64_t storage_bytes, uint64_t bits) {
  const std::optional<uint64_t> old = Unsigned(member, DW_AT_bit_offset, false);
  const uint64_t storage_bits = Unsigned(member, DW_AT_byte_size).value_or(storage_bytes) * 8;
  return old && *old + bits <= storage_bits ? storage_bits - *old - bits : 0;
}

uint64_t SizeOf(std::optional<Dwarf_Die> type) {
  Dwarf_Word size = 0;
  return type && dwarf_aggregate_size(&*type, &size) == 0 ? size : 0;
}

bool IsStaticMember(const Dwarf_Die& die) {
  return Flag(die, DW_AT_declaration, false) || Flag(die, DW_AT_external, false);
}

}  // namespace

void TypeBuilder::ExpandStruct(TypeId id, Dwarf_Die die) {
  states_[id].raw_name = namer_.QualifiedName(die);
  if (Flag(die, DW_AT_declaration, false)) return ExpandDeclaration(id);
  const std::optional<uint64_t> size = Unsigned(die, DW_AT_byte_size);
  if (!size || *size > std::numeric_limits<uint32_t>::max()) return;
  if (const auto alignment = Unsigned(die, DW_AT_alignment); alignment && *alignment <= 4096) {
    states_[id].alignment = static_cast<uint32_t>(*alignment);
  }
  std::vector<Member> members;
  bool sound = true;
  ForEachChild(die, [&](const Dwarf_Die& child) {
    const int tag = Tag(child);
    const bool field = tag == DW_TAG_member && !IsStaticMember(child);
    if (field || tag == DW_TAG_inheritance) sound = AddMember(child, *size, members);
    return sound && members.size() < kMaxMembers;
  });
  if (!sound || unit().members.size() + members.size() > kMaxMembers) return;
  // The same bytes under another name are as secret.
  const auto redacted = [](const Member& member) { return (member.flags & kMemberRedacted) != 0; };
  if (Tag(die) == DW_TAG_union_type && std::any_of(members.begin(), members.end(), redacted)) {
    for (Member& member : members) member.flags |= kMemberRedacted;
  }
  TypeNode& node = Mutable(id);
  node.kind = Tag(die) == DW_TAG_union_type ? TypeKind::kUnion : TypeKind::kStruct;
  node.size_bytes = static_cast<uint32_t>(*size);
  node.first_member = static_cast<uint32_t>(unit().members.size());
  node.member_count = static_cast<uint32_t>(members.size());
  unit().members.insert(unit().members.end(), members.begin(), members.end());
  if (IsViewCandidate(*this, states_[id].raw_name)) pending_views_.push_back(id);
}

// False when the member contradicts its parent: then no member of it is to be trusted.
bool TypeBuilder::AddMember(const Dwarf_Die& die, uint64_t parent_size, std::vector<Member>& out) {
  const std::optional<Dwarf_Die> type = TypeOf(die);
  if (!type) return false;
  const bool base = Tag(die) == DW_TAG_inheritance;
  const std::string_view name = Name(die);
  Member member;
  member.type = NodeFor(*type);
  member.name = base ? Node(member.type).name : tables_.Intern(name);
  if (base) member.flags |= kMemberBase;
  if (Flag(die, DW_AT_artificial, false)) member.flags |= kMemberArtificial;
  if (!base && name.empty()) member.flags |= kMemberAnonymous;
  if (!base && redaction_ != nullptr && redaction_->RedactsName(name)) {
    member.flags |= kMemberRedacted;
  }
  const bool virtual_base = base && Unsigned(die, DW_AT_virtuality).value_or(0) != 0;
  const std::optional<uint64_t> start = StartBit(die);
  if (virtual_base || (base && !start)) {
    member.flags |= kMemberVirtualBase;
    member.offset_bytes = VirtualBaseSlot(die).value_or(0);
    out.push_back(member);
    return true;
  }
  if (!start || *start / 8 > parent_size) return false;
  member.offset_bytes = static_cast<uint32_t>(*start / 8);
  if (const std::optional<uint64_t> bits = Unsigned(die, DW_AT_bit_size, false)) {
    if (*bits == 0 || *bits > 64) return false;
    const uint64_t storage = SizeOf(type);
    const uint64_t first_bit = *start + OldBitOffset(die, storage, *bits);
    if (first_bit + *bits > parent_size * 8) return false;
    const BitField place = PlaceBitField(first_bit, *bits, storage, parent_size);
    member.offset_bytes = place.offset_bytes;
    member.bit_offset = place.bit_offset;
    member.bit_size = static_cast<uint8_t>(*bits);
  }
  out.push_back(member);
  return true;
}

// Only declared here: a type unit (DW_AT_signature), or a definition in another unit, or a
// standard layout that no unit may define (Clang leaves std::string to libstdc++'s own build).
void TypeBuilder::ExpandDeclaration(TypeId id) {
  const Dwarf_Die declaration = *states_[id].die;
  std::optional<Dwarf_Die> definition = Reference(declaration, DW_AT_signature, false);
  if (!definition && finder_ != nullptr) definition = finder_->FindDefinition(declaration);
  if (definition && definition->addr != declaration.addr &&
      !Flag(*definition, DW_AT_declaration, false)) {
    const TypeId target = NodeFor(*definition);
    if (target != id) {
      states_[id].alias_of = target;
      aliases_.push_back(id);
      return;
    }
  }
  if (!MakeStandardLayout(*this, id)) Mutable(id).kind = TypeKind::kIncomplete;
}

}  // namespace stillframe::dwarf
