#include "agent/decode/value_formatter.h"

#include <algorithm>

#include "agent/decode/scalar_text.h"
#include "agent/decode/value_text.h"
#include "model/redaction.h"

namespace stillframe::decode {
namespace {

using model::Value;
using model::ValueStatus;

constexpr uint64_t kMaxScalarBytes = 16;

void Fail(Value& value, Code reason) {
  value.status = reason == Code::kUnreadable ? ValueStatus::kUnreadable : ValueStatus::kUnavailable;
  value.reason = CodeName(reason);
  value.value.clear();
  value.has_value = false;
}

// Depth is bounded by what was formatted.
bool HasKnownPart(const Value& value) {
  if (value.has_value) return true;
  return std::any_of(value.children.begin(), value.children.end(), HasKnownPart);
}

}  // namespace

Value Unavailable(std::string name, std::string type, Code reason) {
  Value value;
  value.name = std::move(name);
  value.type = std::move(type);
  Fail(value, reason);
  return value;
}

const TypeNode& ValueFormatter::Node(TypeId type) const {
  return unit_.types[type < unit_.types.size() ? type : kVoidType];
}

const std::string& ValueFormatter::Text(StringId id) const {
  return unit_.strings[id < unit_.strings.size() ? id : 0];
}

bool ValueFormatter::ReadWord(Value& value, const Object& object, uint64_t offset, uint64_t& out) {
  const Code code = object.Read(offset, &out, sizeof out);
  if (code != Code::kOk) Fail(value, code);
  return code == Code::kOk;
}

std::string ValueFormatter::PointerText(uint64_t address) const {
  std::string text = HexText(address);
  if (address != 0 && context_.symbol_name) {
    const std::string symbol = context_.symbol_name(address);
    if (!symbol.empty()) text += " <" + symbol + ">";
  }
  return text;
}

// Whether children may be shown; says LIMIT otherwise.
bool ValueFormatter::Expands(Value& value, uint32_t level) const {
  if (level < context_.limits.depth) return true;
  Truncate(value);
  return false;
}

Value ValueFormatter::Format(std::string name, TypeId type, const Object& object, uint32_t level) {
  const TypeNode& node = Node(type);
  Value value;
  value.name = std::move(name);
  value.type = Text(node.name);
  if ((node.flags & kFlagRedacted) != 0) {
    value.status = ValueStatus::kRedacted;
    value.reason = CodeName(Code::kRedacted);
    return value;
  }
  if (context_.values_left == 0) {
    Fail(value, Code::kLimit);
    return value;
  }
  --context_.values_left;
  if (node.view != 0 && node.view < unit_.views.size()) {
    fault_.clear();
    if (FormatView(value, node, object, level)) {
      if (value.status == ValueStatus::kUnavailable && !object.in_memory()) {
        ShowKnownParts(value, node, object, level);
      }
      HideSecretCharacters(value);
      return value;
    }
    // Its own fields contradict each other: show them raw and say so.
    value.children.clear();
    value.value.clear();
    value.has_value = false;
    value.status = ValueStatus::kExact;
    const std::string fault = std::move(fault_);
    FormatMembers(value, node, object, level);
    value.status = ValueStatus::kUnreadable;
    value.reason = CodeName(Code::kImplausible);
    if (!fault.empty()) value.reason += ": " + fault;
    return value;
  }
  FormatKind(value, node, object, level);
  if (node.kind == TypeKind::kArray) HideSecretCharacters(value);
  return value;
}

// A container of which registers hold some fields and nothing holds the others: what is known is
// shown raw, unless that is nothing.
void ValueFormatter::ShowKnownParts(Value& value, const TypeNode& node, const Object& object,
                                    uint32_t level) {
  Value raw = value;
  raw.status = ValueStatus::kExact;
  raw.children.clear();
  FormatMembers(raw, node, object, level);
  if (!HasKnownPart(raw)) return;
  raw.status = ValueStatus::kTruncated;
  value = std::move(raw);
}

void ValueFormatter::FormatKind(Value& value, const TypeNode& node, const Object& object,
                                uint32_t level) {
  switch (node.kind) {
    case TypeKind::kStruct:
    case TypeKind::kUnion:
      return FormatMembers(value, node, object, level);
    case TypeKind::kArray:
      return FormatArray(value, node, object, level);
    case TypeKind::kPointer:
      return FormatPointer(value, node, object, level);
    case TypeKind::kReference:
      return FormatReference(value, node, object, level);
    case TypeKind::kIncomplete:
      return Fail(value, Code::kIncompleteType);
    case TypeKind::kMemberPointer:
      return FormatMemberPointer(value, node, object);
    case TypeKind::kComplex:
      return FormatComplex(value, node, object);
    case TypeKind::kVoid:
    case TypeKind::kFunction:
    case TypeKind::kUnsupported:
      return Fail(value, Code::kUnsupportedType);
    case TypeKind::kNullptr:
      return Set(value, "0x0");
    default:
      break;
  }
  uint8_t bytes[kMaxScalarBytes];
  if (node.size_bytes == 0 || node.size_bytes > kMaxScalarBytes) {
    return Fail(value, Code::kUnsupportedType);
  }
  const Code code = object.Read(0, bytes, node.size_bytes);
  if (code != Code::kOk) return Fail(value, code);
  FormatScalar(value, node, {bytes, node.size_bytes});
}

void ValueFormatter::FormatScalar(Value& value, const TypeNode& node,
                                  std::span<const uint8_t> bytes) {
  switch (node.kind) {
    case TypeKind::kBool: {
      const auto number = static_cast<uint64_t>(ReadUnsigned(bytes));
      return Set(value, number == 0 ? "false" : number == 1 ? "true" : std::to_string(number));
    }
    case TypeKind::kSigned:
    case TypeKind::kUnsigned:
      if (bytes.size() == 8 && model::RedactsNumber(static_cast<uint64_t>(ReadUnsigned(bytes)))) {
        return Redact(value);
      }
      return Set(value, node.kind == TypeKind::kSigned ? DecimalText(ReadSigned(bytes))
                                                       : UnsignedText(ReadUnsigned(bytes)));
    case TypeKind::kChar: {
      const bool is_unsigned = (node.flags & kFlagUnsigned) != 0;
      const auto number = static_cast<int64_t>(
          is_unsigned ? static_cast<Int128>(ReadUnsigned(bytes)) : ReadSigned(bytes));
      return Set(value, CharText(number, static_cast<uint8_t>(number), ""));
    }
    case TypeKind::kUnicode: {
      const auto unit = static_cast<uint32_t>(ReadUnsigned(bytes));
      const std::string_view prefix = TextPrefix(node);
      const bool is_signed = prefix == "L" && (node.flags & kFlagUnsigned) == 0;
      return Set(value,
                 CharText(is_signed ? static_cast<int32_t>(unit) : int64_t{unit}, unit, prefix));
    }
    case TypeKind::kFloat: {
      std::string text = FloatText(bytes);
      return text.empty() ? Fail(value, Code::kUnsupportedType) : Set(value, std::move(text));
    }
    case TypeKind::kHalf:
      return Set(value, HalfText(static_cast<uint16_t>(ReadUnsigned(bytes))));
    case TypeKind::kBrainFloat:
      return Set(value, BrainFloatText(static_cast<uint16_t>(ReadUnsigned(bytes))));
    case TypeKind::kQuad:
      return Set(value, QuadText(ReadUnsigned(bytes)));
    case TypeKind::kEnum:
      return FormatEnum(value, node, bytes);
    default:
      return Fail(value, Code::kUnsupportedType);
  }
}

// As GDB: `shop::kRed` of an unscoped enumeration in shop, `shop::Tier::kGold` of a scoped one.
std::string ValueFormatter::EnumeratorName(const Enumerator& enumerator) const {
  const std::string& scope = Text(enumerator.scope);
  return scope.empty() ? Text(enumerator.name) : scope + "::" + Text(enumerator.name);
}

void ValueFormatter::FormatEnum(Value& value, const TypeNode& node,
                                std::span<const uint8_t> bytes) {
  const bool is_unsigned = (node.flags & kFlagUnsigned) != 0;
  const auto number = is_unsigned ? static_cast<int64_t>(ReadUnsigned(bytes))
                                  : static_cast<int64_t>(ReadSigned(bytes));
  const size_t first = std::min<size_t>(node.first_member, unit_.enumerators.size());
  const size_t count = std::min<size_t>(node.member_count, unit_.enumerators.size() - first);
  const std::span<const Enumerator> all(unit_.enumerators.data() + first, count);
  uint64_t seen = 0;
  bool flags = true;  // GDB's rule: values are disjoint sets of bits
  for (const Enumerator& enumerator : all) {
    if (enumerator.value == number) return Set(value, EnumeratorName(enumerator));
    const auto bits = static_cast<uint64_t>(enumerator.value);
    flags = flags && enumerator.value >= 0 && (seen & bits) == 0;
    seen |= bits;
  }
  std::string text;
  auto rest = static_cast<uint64_t>(number);
  for (const Enumerator& enumerator : all) {
    const auto bits = static_cast<uint64_t>(enumerator.value);
    if (!flags || bits == 0 || (rest & bits) != bits) continue;
    text += (text.empty() ? "" : " | ") + EnumeratorName(enumerator);
    rest &= ~bits;
  }
  const std::string plain =
      is_unsigned ? std::to_string(static_cast<uint64_t>(number)) : std::to_string(number);
  Set(value, flags && rest == 0 && !text.empty() ? text : plain);
}

void ValueFormatter::AddPointee(Value& value, TypeId target, uint64_t address, uint32_t level) {
  const TypeNode& node = Node(target);
  if (address == 0 || node.kind == TypeKind::kVoid || node.kind == TypeKind::kFunction ||
      node.kind == TypeKind::kIncomplete || node.kind == TypeKind::kUnsupported) {
    return;
  }
  if (node.kind == TypeKind::kChar || node.kind == TypeKind::kUnicode) {
    return AddCString(value, node, address);
  }
  if (!Expands(value, level)) return;
  if (FindWhole(target, address)) {
    value.value += " (" + Text(Node(target).name) + " *)";
  } else if (const std::string name =
                 ExceptionClass(Node(target), Object::InMemory(*context_.record, address));
             !name.empty()) {
    value.value += " (" + name + " *)";
  }
  Value pointee =
      Format("*" + value.name, target, Object::InMemory(*context_.record, address), level + 1);
  // A struct's members stand directly below the pointer; anything else keeps a line of its own.
  const bool splice = !pointee.has_value && !pointee.children.empty();
  if (!splice) return value.children.push_back(std::move(pointee));
  if (pointee.status == ValueStatus::kTruncated) Truncate(value);
  value.children = std::move(pointee.children);
}

void ValueFormatter::FormatPointer(Value& value, const TypeNode& node, const Object& object,
                                   uint32_t level) {
  uint64_t address = 0;
  if (!ReadWord(value, object, 0, address)) return;
  Set(value, PointerText(address));
  AddPointee(value, node.target, address, level);
}

void ValueFormatter::FormatReference(Value& value, const TypeNode& node, const Object& object,
                                     uint32_t level) {
  uint64_t address = 0;
  if (!ReadWord(value, object, 0, address)) return;
  if (Node(node.target).kind == TypeKind::kFunction) return Set(value, PointerText(address));
  ++context_.values_left;  // the reference and what it names are one value
  TypeId type = node.target;
  const bool derived = FindWhole(type, address);
  Value target = Format(value.name, type, Object::InMemory(*context_.record, address), level);
  target.type = value.type;
  const std::string name =
      derived ? Text(Node(type).name)
              : ExceptionClass(Node(type), Object::InMemory(*context_.record, address));
  if (!name.empty() && !target.has_value) Set(target, "(" + name + " &)");
  value = std::move(target);
}

void ValueFormatter::AddElements(Value& value, TypeId element, const Object& first, uint64_t count,
                                 uint32_t level) {
  if (count == 0 || !Expands(value, level)) return;
  const uint64_t size = Node(element).size_bytes;
  const uint64_t shown = std::min<uint64_t>(count, context_.limits.items);
  for (uint64_t i = 0; i < shown && context_.values_left > 0; ++i) {
    const Object one = first.At(i * size);
    if (one.in_memory()) NoteElement(one.address(), level);
    value.children.push_back(Format("[" + std::to_string(i) + "]", element, one, level + 1));
  }
  if (value.children.size() < count) Truncate(value);
}

Value ValueFormatter::FormatFiltered(std::string name, TypeId type, const Object& object,
                                     const std::function<Code(uint64_t address)>& wanted) {
  collects_elements_ = true;
  elements_.clear();
  Value value = Format(std::move(name), type, object, 0);
  collects_elements_ = false;
  if (!value.has_value || elements_.size() != value.children.size()) return value;
  std::vector<Value> kept;
  for (size_t i = 0; i < elements_.size(); ++i) {
    Value& child = value.children[i];
    const Code code = wanted(elements_[i]);
    if (code == Code::kOk) kept.push_back(std::move(child));
    if (code == Code::kOk || code == Code::kNotFound) continue;
    kept.push_back(Unavailable(std::move(child.name), std::move(child.type), code));
  }
  value.children = std::move(kept);
  value.value = std::to_string(value.children.size()) + " of " + value.value;
  return value;
}

void ValueFormatter::FormatArray(Value& value, const TypeNode& node, const Object& object,
                                 uint32_t level) {
  const TypeNode& element = Node(node.target);
  if ((node.flags & kFlagUncounted) != 0 && object.in_memory()) {
    // As GDB: where it begins is all that is known.
    return Set(value, HexText(object.address()));
  }
  // Here nobody knows how large it is: in a caller's frame without its plan, behind two pointers.
  if ((node.flags & kFlagCountedByVariable) != 0 || element.size_bytes == 0) {
    return Fail(value, Code::kUnsupportedType);
  }
  if (element.kind == TypeKind::kChar || element.kind == TypeKind::kUnicode) {
    return FormatTextArray(value, node, object);
  }
  Set(value, "size=" + std::to_string(node.count));
  AddElements(value, node.target, object, node.count, level);
}

void ValueFormatter::FormatBitField(Value& value, const Member& member, const Object& object) {
  const TypeNode& node = Node(member.type);
  const uint32_t bits = member.bit_offset + member.bit_size;
  uint8_t bytes[16] = {};
  if (bits > 128 || member.bit_size > 64) return Fail(value, Code::kUnsupportedType);
  const Code code = object.Read(member.offset_bytes, bytes, (bits + 7) / 8);
  if (code != Code::kOk) return Fail(value, code);
  const Uint128 shifted = ReadUnsigned(bytes) >> member.bit_offset;
  auto raw = static_cast<uint64_t>(shifted);
  const int unused = 64 - member.bit_size;
  const bool is_signed = node.kind == TypeKind::kSigned ||
                         ((node.kind == TypeKind::kEnum || node.kind == TypeKind::kChar) &&
                          (node.flags & kFlagUnsigned) == 0);
  raw <<= unused;
  raw = is_signed ? static_cast<uint64_t>(static_cast<int64_t>(raw) >> unused) : raw >> unused;
  uint8_t wide[8];
  std::memcpy(wide, &raw, sizeof wide);
  FormatScalar(value, node, {wide, std::min<size_t>(std::max(node.size_bytes, 1u), sizeof wide)});
}

void ValueFormatter::FormatMembers(Value& value, const TypeNode& node, const Object& object,
                                   uint32_t level) {
  const size_t first = std::min<size_t>(node.first_member, unit_.members.size());
  const size_t count = std::min<size_t>(node.member_count, unit_.members.size() - first);
  if (count == 0 || !Expands(value, level)) return;
  for (size_t i = first; i < first + count && context_.values_left > 0; ++i) {
    const Member& member = unit_.members[i];
    if ((member.flags & kMemberArtificial) != 0 || HasNoText(node, member, object)) continue;
    const std::string& type = Text(Node(member.type).name);
    const bool is_base = (member.flags & kMemberBase) != 0;
    std::string name = is_base ? "<" + type + ">" : Text(member.name);
    if ((member.flags & kMemberRedacted) != 0 || IsNamedBySibling(node, member, object)) {
      Value hidden{std::move(name), type, "", false, ValueStatus::kRedacted, "REDACTED", {}};
      value.children.push_back(std::move(hidden));
    } else if ((member.flags & kMemberVirtualBase) != 0) {
      FormatVirtualBase(value, member, object, level);
    } else if ((member.flags & kMemberAnonymous) != 0) {
      const TypeNode& inner = Node(member.type);
      FormatMembers(value, inner, object.At(member.offset_bytes), level);
    } else if (member.bit_size != 0) {
      Value field;
      field.name = std::move(name);
      field.type = type;
      FormatBitField(field, member, object);
      value.children.push_back(std::move(field));
    } else {
      // An empty base says nothing; one of which only a declaration was found does.
      const TypeNode& inner = Node(member.type);
      if (is_base && inner.member_count == 0 && inner.kind != TypeKind::kIncomplete) continue;
      value.children.push_back(Format(std::move(name), member.type, object.At(member.offset_bytes),
                                      is_base ? level : level + 1));
    }
  }
  if (context_.values_left == 0) Truncate(value);
}

}  // namespace stillframe::decode
