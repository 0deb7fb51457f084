// The standard exceptions, of which programs mostly have declarations only: their code is in the
// library. libstdc++ and libc++ lay them out alike: the vptr, then the pointer to the text.
#include <algorithm>
#include <array>

#include "symbolizer/container_views.h"
#include "symbolizer/dwarf_util.h"
#include "symbolizer/type_builder.h"

namespace stillframe::dwarf {
namespace {

constexpr std::string_view kException = "std::exception";
// Of these nothing but the vptr is known to be there.
constexpr auto kBare = std::to_array<std::string_view>(
    {kException, "std::bad_alloc", "std::bad_cast", "std::bad_exception", "std::bad_typeid"});
constexpr auto kWithText = std::to_array<std::string_view>(
    {"std::logic_error", "std::domain_error", "std::invalid_argument", "std::length_error",
     "std::out_of_range", "std::runtime_error", "std::range_error", "std::overflow_error",
     "std::underflow_error"});

template <size_t N>
bool IsAmong(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

TypeId TextPointer(TypeBuilder& types) {
  TypeNode character;
  character.kind = TypeKind::kChar;
  character.name = types.tables().Intern("const char");
  character.size_bytes = 1;
  TypeNode pointer;
  pointer.kind = TypeKind::kPointer;
  pointer.name = types.tables().Intern("const char *");
  pointer.size_bytes = 8;
  pointer.target = types.Synthesize(character, 1);
  return types.Synthesize(pointer, 8);
}

void SetMembers(TypeBuilder& types, TypeId id, const std::vector<Member>& members,
                uint32_t size_bytes) {
  TypeNode& node = types.Mutable(id);
  node.kind = TypeKind::kStruct;
  node.size_bytes = size_bytes;
  node.first_member = static_cast<uint32_t>(types.unit().members.size());
  node.member_count = static_cast<uint32_t>(members.size());
  types.unit().members.insert(types.unit().members.end(), members.begin(), members.end());
  types.SetAlignment(id, 8);
}

Member MakeMember(TypeBuilder& types, std::string_view name, TypeId type, uint32_t offset_bytes,
                  uint8_t flags) {
  Member member;
  member.name = types.tables().Intern(name);
  member.type = type;
  member.offset_bytes = offset_bytes;
  member.flags = flags;
  return member;
}

}  // namespace

std::span<const std::string_view> StandardExceptionsBelow(std::string_view name) {
  constexpr size_t kOthers = 3;
  static constexpr std::array<std::string_view, kWithText.size() + kOthers> kAll = [] {
    std::array<std::string_view, kWithText.size() + kOthers> all{};
    std::copy(kWithText.begin(), kWithText.end(), all.begin());
    all[kWithText.size()] = "std::system_error";
    all[kWithText.size() + 1] = "std::bad_alloc";
    all[kWithText.size() + 2] = "std::bad_cast";
    return all;
  }();
  if (name == kException || name == "std::runtime_error" || name == "std::logic_error") return kAll;
  return {};
}

bool MakeExceptionLayout(TypeBuilder& types, TypeId id) {
  const std::string name = types.RawName(id);
  const bool bare = IsAmong(kBare, name);
  if (!bare && !IsAmong(kWithText, name)) return false;
  const TypeId pointer = TextPointer(types);
  std::vector<Member> members;
  if (name == kException) {
    members.push_back(MakeMember(types, "_vptr.exception", pointer, 0, kMemberArtificial));
  } else {
    // So that who derives from it is found among those of std::exception.
    TypeNode base;
    base.kind = TypeKind::kStruct;
    base.name = types.tables().Intern(kException);
    const TypeId base_id = types.Synthesize(base, 8);
    types.SetRawName(base_id, std::string(kException));
    SetMembers(types, base_id,
               {MakeMember(types, "_vptr.exception", pointer, 0, kMemberArtificial)}, 8);
    members.push_back(MakeMember(types, kException, base_id, 0, kMemberBase));
  }
  if (!bare) members.push_back(MakeMember(types, "what()", pointer, 8, 0));
  SetMembers(types, id, members, bare ? 8 : 16);
  return true;
}

// What a reference to std::exception leads to is mostly one with a text behind the vptr, of a class
// of the library: only the hit knows. So 16 bytes of it are looked at, and the decoder shows the
// text when the vtable's symbol says that there is one.
std::optional<TypeId> TypeBuilder::MakeThrownException(const Dwarf_Die& target) {
  Dwarf_Die peeled, die = target;
  if (dwarf_peel_type(&die, &peeled) != 0 || Name(peeled) != "exception" ||
      namer_.QualifiedName(peeled) != kException) {
    return std::nullopt;
  }
  TypeNode node;
  node.name = tables_.Intern(namer_.TypeName(target, NameStyle::kGdb));
  const TypeId id = Synthesize(node, 8);
  states_[id].raw_name = kException;
  states_[id].die = peeled;
  const TypeId pointer = TextPointer(*this);
  SetMembers(*this, id,
             {MakeMember(*this, "_vptr.exception", pointer, 0, kMemberArtificial),
              MakeMember(*this, "what()", pointer, 8, 0)},
             16);
  return id;
}

}  // namespace stillframe::dwarf
