#include "symbolizer/expression_types.h"

#include <algorithm>
#include <limits>

#include "symbolizer/expression_code.h"

namespace stillframe::expression {

std::string_view StripQualifiers(std::string_view name) {
  for (bool changed = true; changed;) {
    changed = false;
    for (const std::string_view qualifier : {"const ", "volatile "}) {
      if (!name.starts_with(qualifier)) continue;
      name.remove_prefix(qualifier.size());
      changed = true;
    }
  }
  return name;
}

namespace {

constexpr std::string_view kNumberNames[] = {"int",           "unsigned int", "long",
                                             "unsigned long", "long long",    "unsigned long long",
                                             "float",         "double"};

std::string_view NameOf(const PlanUnit& unit, const TypeNode& type) {
  return unit.strings[type.name];
}

Number IntegerOf(uint32_t size_bytes, bool is_signed, bool long_long) {
  if (size_bytes < 4) return Number::kInt;
  if (size_bytes == 4) return is_signed ? Number::kInt : Number::kUInt;
  if (long_long) return is_signed ? Number::kLongLong : Number::kULongLong;
  return is_signed ? Number::kLong : Number::kULong;
}

// Without a fixed underlying type an enumeration promotes to the first of int, unsigned int, ...
// that holds its values, although it is stored as unsigned int ([conv.prom]/3). Debug information
// does not say "fixed"; the plain name "unsigned int" is what compilers write when it is not.
bool PromotesToInt(const PlanUnit& unit, const TypeNode& type) {
  if ((type.flags & (kFlagScopedEnum | kFlagUnsigned)) != kFlagUnsigned) return false;
  const std::string_view underlying = NameOf(unit, unit.types[type.target]);
  if (type.target != kVoidType && underlying != "unsigned int") return false;
  for (uint32_t i = 0; i < type.member_count; ++i) {
    const int64_t value = unit.enumerators[type.first_member + i].value;
    if (value < 0 || value > std::numeric_limits<int32_t>::max()) return false;
  }
  return true;
}

Number PromotedEnum(const PlanUnit& unit, const TypeNode& type) {
  if (type.size_bytes == 4 && PromotesToInt(unit, type)) return Number::kInt;
  return IntegerOf(type.size_bytes, (type.flags & kFlagUnsigned) == 0, false);
}

TypeId FindOrAppend(PlanUnit& unit, const TypeNode& wanted, std::string_view name) {
  for (size_t i = 0; i < unit.types.size(); ++i) {
    const TypeNode& type = unit.types[i];
    if (type.kind == wanted.kind && type.size_bytes == wanted.size_bytes &&
        type.target == wanted.target && type.view == 0 && NameOf(unit, type) == name &&
        (type.flags & kFlagRedacted) == 0) {
      return static_cast<TypeId>(i);
    }
  }
  TypeNode type = wanted;
  type.name = InternString(unit, name);
  unit.types.push_back(type);
  return static_cast<TypeId>(unit.types.size() - 1);
}

TypeId Basic(PlanUnit& unit, TypeKind kind, uint32_t size_bytes, std::string_view name) {
  TypeNode type;
  type.kind = kind;
  type.size_bytes = size_bytes;
  return FindOrAppend(unit, type, name);
}

// "int" -> "int *", "int *" -> "int **", "int [4]" -> "int (*)[4]".
std::string PointerName(const TypeNode& target, std::string_view name) {
  const size_t bracket = name.find(" [");
  if (target.kind == TypeKind::kArray && bracket != std::string_view::npos) {
    return std::string(name.substr(0, bracket)) + " (*)" + std::string(name.substr(bracket + 1));
  }
  return std::string(name) + (name.ends_with('*') ? "*" : " *");
}

}  // namespace

uint32_t SizeOf(Number number) {
  return number == Number::kInt || number == Number::kUInt || number == Number::kFloat ? 4 : 8;
}

bool IsSigned(Number number) {
  return number != Number::kUInt && number != Number::kULong && number != Number::kULongLong;
}

bool IsFloating(Number number) { return number >= Number::kFloat; }

Number CommonType(Number left, Number right) {
  const Number high = std::max(left, right);
  const Number low = std::min(left, right);
  // The enumerators ascend by rank, signed before unsigned, so the higher one wins, except that
  // long long cannot hold every unsigned long.
  if (high == Number::kLongLong && low == Number::kULong) return Number::kULongLong;
  return high;
}

std::optional<Number> PromotedType(const PlanUnit& unit, TypeId id, uint32_t bit_size) {
  const TypeNode& type = unit.types[id];
  const bool narrow = bit_size != 0 && bit_size < 32;
  switch (type.kind) {
    case TypeKind::kBool:
    case TypeKind::kChar:
      return Number::kInt;
    case TypeKind::kUnicode: {
      const bool is_signed = StripQualifiers(NameOf(unit, type)) == "wchar_t";
      return IntegerOf(type.size_bytes, is_signed, false);
    }
    case TypeKind::kSigned:
    case TypeKind::kUnsigned: {
      if (type.size_bytes > 8) return std::nullopt;
      if (narrow) return Number::kInt;
      const bool is_signed = type.kind == TypeKind::kSigned;
      if (bit_size == 32 && type.size_bytes <= 4) return IntegerOf(4, is_signed, false);
      const bool long_long = NameOf(unit, type).find("long long") != std::string_view::npos;
      return IntegerOf(type.size_bytes, is_signed, long_long);
    }
    case TypeKind::kEnum:
      if (type.size_bytes > 8) return std::nullopt;
      return PromotedEnum(unit, type);
    case TypeKind::kFloat:
      if (type.size_bytes == 4) return Number::kFloat;
      if (type.size_bytes == 8) return Number::kDouble;
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

bool IsSignedStorage(const PlanUnit& unit, const TypeNode& type) {
  switch (type.kind) {
    case TypeKind::kSigned:
      return true;
    case TypeKind::kChar:
    case TypeKind::kEnum:
      return (type.flags & kFlagUnsigned) == 0;
    case TypeKind::kUnicode:
      return unit.strings[type.name].find("wchar_t") != std::string::npos;
    default:
      return false;
  }
}

bool IsScopedEnum(const TypeNode& type) {
  return type.kind == TypeKind::kEnum && (type.flags & kFlagScopedEnum) != 0;
}

bool IsSameEnum(const PlanUnit& unit, TypeId left, TypeId right) {
  const TypeNode& a = unit.types[left];
  const TypeNode& b = unit.types[right];
  if (a.kind != TypeKind::kEnum || b.kind != TypeKind::kEnum) return false;
  if (left == right) return true;
  if (a.member_count != 0 && a.first_member == b.first_member) return true;
  return StripQualifiers(NameOf(unit, a)) == StripQualifiers(NameOf(unit, b));
}

bool IsSameClass(const PlanUnit& unit, TypeId left, TypeId right) {
  const TypeNode& a = unit.types[left];
  const TypeNode& b = unit.types[right];
  if (left == right) return true;
  if (a.kind != b.kind || (a.kind != TypeKind::kStruct && a.kind != TypeKind::kUnion)) return false;
  if (a.member_count != 0 && a.first_member == b.first_member) return true;
  return StripQualifiers(NameOf(unit, a)) == StripQualifiers(NameOf(unit, b));
}

namespace {

struct NamedType {
  std::string_view name;
  TypeKind kind;
  uint8_t size_bytes;
};
// [cstdint.syn] and what is like it, on x86-64 and any other LP64 system.
constexpr NamedType kNamedTypes[] = {
    {"int16_t", TypeKind::kSigned, 2},     {"int32_t", TypeKind::kSigned, 4},
    {"int64_t", TypeKind::kSigned, 8},     {"uint16_t", TypeKind::kUnsigned, 2},
    {"uint32_t", TypeKind::kUnsigned, 4},  {"uint64_t", TypeKind::kUnsigned, 8},
    {"size_t", TypeKind::kUnsigned, 8},    {"ssize_t", TypeKind::kSigned, 8},
    {"ptrdiff_t", TypeKind::kSigned, 8},   {"intptr_t", TypeKind::kSigned, 8},
    {"uintptr_t", TypeKind::kUnsigned, 8}, {"int8_t", TypeKind::kChar, 1},
    {"uint8_t", TypeKind::kChar, 1},       {"wchar_t", TypeKind::kUnicode, 4},
    {"char8_t", TypeKind::kUnicode, 1},    {"char16_t", TypeKind::kUnicode, 2},
    {"char32_t", TypeKind::kUnicode, 4},
};

TypeId Character(PlanUnit& unit, std::string_view name, bool is_unsigned) {
  TypeNode type;
  type.kind = TypeKind::kChar;
  type.size_bytes = 1;
  type.flags = is_unsigned ? kFlagUnsigned : 0;
  return FindOrAppend(unit, type, name);
}

// [dcl.type.simple] table: any order of the words is legal.
struct TypeWords {
  int longs = 0;
  bool has_short = false, has_signed = false, has_unsigned = false, has_char = false,
       has_int = false;
  std::string_view single;  // bool, float, double, void

  bool Add(std::string_view word) {
    if (word == "long") return ++longs <= 2;
    if (word == "short") return has_short = true;
    if (word == "signed") return has_signed = true;
    if (word == "unsigned") return has_unsigned = true;
    if (word == "char") return has_char = true;
    if (word == "int") return has_int = true;
    const bool known = word == "bool" || word == "float" || word == "double" || word == "void";
    if (!known || !single.empty()) return false;
    single = word;
    return true;
  }
};

std::optional<TypeId> TypeOfWords(PlanUnit& unit, const TypeWords& words) {
  const bool integral = words.longs != 0 || words.has_short || words.has_signed ||
                        words.has_unsigned || words.has_char || words.has_int;
  if (!words.single.empty()) {
    if (integral) return std::nullopt;  // long double included: it does not fit a cell
    if (words.single == "void") return kVoidType;
    if (words.single == "bool") return BoolType(unit);
    return NumberType(unit, words.single == "float" ? Number::kFloat : Number::kDouble);
  }
  const bool contradiction = (words.has_signed && words.has_unsigned) ||
                             (words.has_short && words.longs != 0) ||
                             (words.has_char && (words.has_short || words.longs != 0));
  if (!integral || contradiction) return std::nullopt;
  if (words.has_char) {
    return Character(unit,
                     words.has_unsigned ? "unsigned char"
                     : words.has_signed ? "signed char"
                                        : "char",
                     words.has_unsigned);
  }
  if (words.has_short) {
    return words.has_unsigned ? Basic(unit, TypeKind::kUnsigned, 2, "unsigned short")
                              : Basic(unit, TypeKind::kSigned, 2, "short");
  }
  constexpr Number kSigned[] = {Number::kInt, Number::kLong, Number::kLongLong};
  constexpr Number kUnsigned[] = {Number::kUInt, Number::kULong, Number::kULongLong};
  return NumberType(unit, (words.has_unsigned ? kUnsigned : kSigned)[words.longs]);
}

}  // namespace

std::optional<TypeId> BuiltinType(PlanUnit& unit, std::string_view name) {
  std::string_view plain = name;
  if (plain.starts_with("::")) plain.remove_prefix(2);
  if (plain.starts_with("std::")) plain.remove_prefix(5);
  for (const NamedType& type : kNamedTypes) {
    if (type.name != plain) continue;
    if (type.kind == TypeKind::kChar) return Character(unit, plain, plain == "uint8_t");
    return Basic(unit, type.kind, type.size_bytes, plain);
  }
  TypeWords words;
  while (!name.empty()) {
    const size_t end = std::min(name.find(' '), name.size());
    if (!words.Add(name.substr(0, end))) return std::nullopt;
    name.remove_prefix(std::min(end + 1, name.size()));
  }
  return TypeOfWords(unit, words);
}

TypeId ArrayOf(PlanUnit& unit, TypeId element, uint32_t count) {
  TypeNode type;
  type.kind = TypeKind::kArray;
  type.target = element;
  type.count = count;
  type.size_bytes = count * unit.types[element].size_bytes;
  const std::string name =
      unit.strings[unit.types[element].name] + " [" + std::to_string(count) + "]";
  return FindOrAppend(unit, type, name);
}

TypeId NumberType(PlanUnit& unit, Number number) {
  const TypeKind kind = IsFloating(number) ? TypeKind::kFloat
                        : IsSigned(number) ? TypeKind::kSigned
                                           : TypeKind::kUnsigned;
  return Basic(unit, kind, SizeOf(number), kNumberNames[static_cast<size_t>(number)]);
}

TypeId BoolType(PlanUnit& unit) { return Basic(unit, TypeKind::kBool, 1, "bool"); }
TypeId CharType(PlanUnit& unit) { return Basic(unit, TypeKind::kChar, 1, "char"); }
TypeId ConstCharType(PlanUnit& unit) { return Basic(unit, TypeKind::kChar, 1, "const char"); }
TypeId NullptrType(PlanUnit& unit) { return Basic(unit, TypeKind::kNullptr, 8, "std::nullptr_t"); }

TypeId PointerTo(PlanUnit& unit, TypeId target) {
  const TypeNode pointee = unit.types[target];
  TypeNode type;
  type.kind = TypeKind::kPointer;
  type.size_bytes = 8;
  type.target = target;
  const bool opaque = pointee.kind == TypeKind::kVoid || pointee.kind == TypeKind::kFunction ||
                      pointee.kind == TypeKind::kIncomplete ||
                      pointee.kind == TypeKind::kUnsupported;
  if (!opaque) type.flags = kFlagNeedsWalk;
  const std::string name = pointee.kind == TypeKind::kVoid ? "void" : unit.strings[pointee.name];
  return FindOrAppend(unit, type, PointerName(pointee, name));
}

}  // namespace stillframe::expression
