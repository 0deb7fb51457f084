// Pointers to members, and what polymorphic objects really are (Itanium C++ ABI).
#include <algorithm>

#include "agent/decode/scalar_text.h"
#include "agent/decode/value_formatter.h"
#include "agent/decode/value_text.h"

namespace stillframe::decode {
using model::Value;

const Derived* ValueFormatter::FindDerived(const TypeNode& node, uint64_t runtime_address) const {
  const uint64_t address = runtime_address - load_bias_;
  const size_t first = std::min<size_t>(node.first_derived, unit_.derived.size());
  const size_t count = std::min<size_t>(node.derived_count, unit_.derived.size() - first);
  for (size_t i = first; i < first + count; ++i) {
    const Derived& derived = unit_.derived[i];
    if (address >= derived.start && address < derived.end) return &derived;
  }
  return nullptr;
}

// The hit path has followed the same rule (hit::Walker::EnqueueDynamic).
bool ValueFormatter::FindWhole(TypeId& type, uint64_t& address) const {
  const TypeNode& node = Node(type);
  if (node.derived_count == 0 || (node.flags & kFlagRedacted) != 0) return false;
  uint64_t vptr = 0;
  if (context_.record->Read(address, &vptr, sizeof vptr) != Code::kOk) return false;
  const Derived* derived = FindDerived(node, vptr);
  if (derived == nullptr) return false;
  uint64_t offset = derived->base_offset;
  if (derived->base_offset == kOffsetInVtable) {
    uint64_t to_top = 0;
    if (context_.record->Read(vptr - 16, &to_top, sizeof to_top) != Code::kOk) return false;
    offset = 0 - to_top;
  }
  if (offset > Node(derived->type).size_bytes) return false;
  type = derived->type;
  address -= offset;
  return true;
}

// Of a std::exception, whose class is mostly one of the library's: the vtable's symbol names it. ""
// where nothing does, and for other types. The layout is MakeThrownException's.
std::string ValueFormatter::ExceptionClass(const TypeNode& node, const Object& object) const {
  if (node.kind != TypeKind::kStruct || node.member_count != 2 || !context_.symbol_name ||
      size_t{node.first_member} + 2 > unit_.members.size() ||
      Text(unit_.members[node.first_member].name) != "_vptr.exception") {
    return "";
  }
  uint64_t vptr = 0;
  if (object.Read(0, &vptr, sizeof vptr) != Code::kOk) return "";
  constexpr std::string_view kBegin = "vtable for ", kEnd = "+16";
  std::string symbol = context_.symbol_name(vptr);
  if (!symbol.starts_with(kBegin) || !symbol.ends_with(kEnd)) return "";
  return symbol.substr(kBegin.size(), symbol.size() - kBegin.size() - kEnd.size());
}

bool ValueFormatter::HasNoText(const TypeNode& node, const Member& member,
                               const Object& object) const {
  if (Text(member.name) != "what()" || !Text(node.name).ends_with("std::exception")) return false;
  constexpr std::string_view kWithText[] = {
      "std::logic_error",  "std::domain_error",   "std::invalid_argument", "std::length_error",
      "std::out_of_range", "std::runtime_error",  "std::range_error",      "std::overflow_error",
      "std::system_error", "std::underflow_error"};
  return std::find(std::begin(kWithText), std::end(kWithText), ExceptionClass(node, object)) ==
         std::end(kWithText);
}

// ABI 2.5.2: the vtable holds where the base is in the object.
void ValueFormatter::FormatVirtualBase(Value& value, const Member& member, const Object& object,
                                       uint32_t level) {
  const std::string& type = Text(Node(member.type).name);
  const std::string name = "<" + type + ">";
  uint64_t vptr = 0, offset = 0;
  Code code =
      member.offset_bytes == 0 ? Code::kUnsupportedLocation : object.Read(0, &vptr, sizeof vptr);
  if (code == Code::kOk) {
    code = context_.record->Read(vptr - member.offset_bytes, &offset, sizeof offset);
  }
  constexpr uint64_t kMostBytes = 1u << 30;
  if (code == Code::kOk && offset > kMostBytes) code = Code::kImplausible;
  if (code != Code::kOk) return value.children.push_back(Unavailable(name, type, code));
  value.children.push_back(Format(name, member.type, object.At(offset), level));
}

// ABI 2.3. As GDB prints them: the function's symbol, the member's name.
void ValueFormatter::FormatMemberPointer(Value& value, const TypeNode& node, const Object& object) {
  uint64_t words[2] = {};
  const Code code = object.Read(0, words, node.size_bytes == 16 ? 16 : 8);
  if (code != Code::kOk) {
    value = Unavailable(value.name, value.type, code);
    return;
  }
  if (node.size_bytes == 16) {
    if (words[0] == 0) return Set(value, "NULL");
    if ((words[0] & 1) != 0) return Set(value, VirtualFunctionText(node, words[0] - 1, words[1]));
    std::string text = PointerText(words[0]);
    if (words[1] != 0) text += ", this adjustment " + std::to_string(words[1]);
    return Set(value, std::move(text));
  }
  if (words[0] == ~uint64_t{0}) return Set(value, "NULL");
  const std::string name = MemberAt(node.target, words[0], 0);
  Set(value, name.empty() ? std::to_string(words[0]) : "&" + name);
}

// "shop::Counter::total" of the member at the offset, of a base too; "" when there is none.
std::string ValueFormatter::MemberAt(TypeId type, uint64_t offset, int depth) const {
  constexpr int kMaxBases = 16;
  const TypeNode& owner = Node(type);
  if (depth > kMaxBases || (owner.kind != TypeKind::kStruct && owner.kind != TypeKind::kUnion)) {
    return "";
  }
  for (uint32_t i = 0; i < owner.member_count; ++i) {
    const size_t at = size_t{owner.first_member} + i;
    if (at >= unit_.members.size()) break;
    const Member& member = unit_.members[at];
    const uint64_t size = Node(member.type).size_bytes;
    if ((member.flags & (kMemberArtificial | kMemberVirtualBase)) != 0 || member.bit_size != 0 ||
        offset < member.offset_bytes || offset - member.offset_bytes >= size) {
      continue;
    }
    if ((member.flags & (kMemberBase | kMemberAnonymous)) != 0) {
      std::string name = MemberAt(member.type, offset - member.offset_bytes, depth + 1);
      if (!name.empty()) return name;
    } else if (offset == member.offset_bytes) {
      return Text(owner.name) + "::" + Text(member.name);
    }
  }
  return "";
}

std::string ValueFormatter::VirtualFunctionText(const TypeNode& node, uint64_t vtable_offset,
                                                uint64_t base_offset) const {
  const int64_t key = MemberPointerKey(vtable_offset, base_offset);
  for (uint32_t i = 0; i < node.member_count; ++i) {
    const size_t at = size_t{node.first_member} + i;
    if (at >= unit_.enumerators.size()) break;
    const Enumerator& function = unit_.enumerators[at];
    if (function.value == key && !Text(function.name).empty()) {
      return "&virtual " + Text(function.name);
    }
  }
  std::string text = "&virtual table offset " + std::to_string(vtable_offset);
  if (base_offset != 0) text += ", this adjustment " + std::to_string(base_offset);
  return text;
}

// As GDB prints them: 1.5 + -2i.
void ValueFormatter::FormatComplex(Value& value, const TypeNode& node, const Object& object) {
  const TypeNode& part = Node(node.target);
  uint8_t bytes[32];
  if (part.size_bytes == 0 || 2 * part.size_bytes > sizeof bytes) {
    value = Unavailable(value.name, value.type, Code::kUnsupportedType);
    return;
  }
  const Code code = object.Read(0, bytes, 2 * part.size_bytes);
  if (code != Code::kOk) {
    value = Unavailable(value.name, value.type, code);
    return;
  }
  Set(value, FloatText({bytes, part.size_bytes}) + " + " +
                 FloatText({bytes + part.size_bytes, part.size_bytes}) + "i");
}

}  // namespace stillframe::decode
