#include "symbolizer/result_location.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "symbolizer/dwarf_util.h"

namespace stillframe::dwarf {
namespace {

constexpr uint64_t kEightbyte = 8;
constexpr uint64_t kMaxRegisterBytes = 16;
constexpr int kMaxDepth = 32;
constexpr std::array<uint8_t, 2> kIntegerResults{0, 1};  // rax, rdx
constexpr uint8_t kRax = 0;

// psABI §3.2.3, "Classification".
enum class Class : uint8_t { kNone, kInteger, kSse, kSseUp, kX87, kX87Up, kMemory };

bool IsX87(Class c) { return c == Class::kX87 || c == Class::kX87Up; }

Class Merge(Class a, Class b) {
  if (a == b || b == Class::kNone) return a;
  if (a == Class::kNone) return b;
  if (a == Class::kMemory || b == Class::kMemory || IsX87(a) || IsX87(b)) return Class::kMemory;
  if (a == Class::kInteger || b == Class::kInteger) return Class::kInteger;
  return Class::kSse;
}

class Classifier {
 public:
  explicit Classifier(TypeBuilder& types) : types_(types) {}

  // kOk, or why the classes are not known.
  Code Run(TypeId type) {
    Add(type, 0, 0);
    if (failure_ != Code::kOk) return failure_;
    if (classes_[1] == Class::kX87Up && classes_[0] != Class::kX87) classes_[0] = Class::kMemory;
    if (classes_[1] == Class::kSseUp && classes_[0] != Class::kSse) classes_[1] = Class::kSse;
    return Code::kOk;
  }
  bool in_memory() const { return classes_[0] == Class::kMemory || classes_[1] == Class::kMemory; }
  Class at(size_t i) const { return classes_[i]; }

 private:
  void Fail(Code code) {
    if (failure_ == Code::kOk) failure_ = code;
  }

  // A scalar of `bytes` at its place; not aligned, the whole object goes to memory.
  void Put(uint64_t offset, uint64_t bytes, Class first, Class second) {
    if (bytes == 0 || offset + bytes > kMaxRegisterBytes) return Fail(Code::kUnsupportedType);
    if (offset % bytes != 0) {
      classes_[0] = Class::kMemory;
      return;
    }
    Class& low = classes_[offset / kEightbyte];
    low = Merge(low, first);
    if (bytes > kEightbyte) classes_[1] = Merge(classes_[1], second);
  }

  void PutBits(uint64_t offset, const Member& member) {
    const uint64_t first = offset * 8 + member.bit_offset;
    const uint64_t last = first + member.bit_size - 1;
    if (last >= kMaxRegisterBytes * 8) return Fail(Code::kUnsupportedType);
    for (const uint64_t bit : {first, last}) {
      Class& part = classes_[bit / 64];
      part = Merge(part, Class::kInteger);
    }
  }

  void Add(TypeId id, uint64_t offset, int depth) {
    if (depth > kMaxDepth) return Fail(Code::kUnsupportedType);
    const TypeNode node = types_.Node(types_.Strip(id));
    switch (node.kind) {
      case TypeKind::kBool:
      case TypeKind::kSigned:
      case TypeKind::kUnsigned:
      case TypeKind::kChar:
      case TypeKind::kUnicode:
      case TypeKind::kEnum:
      case TypeKind::kPointer:
      case TypeKind::kReference:
      case TypeKind::kNullptr:
        return Put(offset, node.size_bytes, Class::kInteger, Class::kInteger);
      case TypeKind::kMemberPointer:
        for (uint64_t at = 0; at < node.size_bytes; at += kEightbyte) {
          Put(offset + at, kEightbyte, Class::kInteger, Class::kNone);
        }
        return;
      case TypeKind::kFloat:
        if (node.size_bytes == 16) return Put(offset, 16, Class::kX87, Class::kX87Up);
        return Put(offset, node.size_bytes, Class::kSse, Class::kNone);
      case TypeKind::kHalf:
      case TypeKind::kBrainFloat:
        return Put(offset, node.size_bytes, Class::kSse, Class::kNone);
      case TypeKind::kQuad:
        return Put(offset, node.size_bytes, Class::kSse, Class::kSseUp);
      case TypeKind::kComplex:
      case TypeKind::kArray:
        return AddElements(node, offset, depth);
      case TypeKind::kStruct:
      case TypeKind::kUnion:
        return AddMembers(node, offset, depth);
      case TypeKind::kIncomplete:
        return Fail(Code::kIncompleteType);
      default:
        return Fail(Code::kUnsupportedType);
    }
  }

  void AddElements(const TypeNode& node, uint64_t offset, int depth) {
    const uint64_t size = types_.Node(node.target).size_bytes;
    const uint64_t count = node.kind == TypeKind::kComplex ? 2 : node.count;
    if (size == 0 || count > kMaxRegisterBytes) return Fail(Code::kUnsupportedType);
    for (uint64_t i = 0; i < count; ++i) Add(node.target, offset + i * size, depth + 1);
  }

  void AddMembers(const TypeNode& node, uint64_t offset, int depth) {
    const auto span = types_.Members(node);
    const std::vector<Member> members(span.begin(), span.end());
    for (const Member& member : members) {
      if ((member.flags & kMemberVirtualBase) != 0) return Fail(Code::kUnsupportedType);
      if (member.bit_size != 0) {
        PutBits(offset + member.offset_bytes, member);
      } else {
        Add(member.type, offset + member.offset_bytes, depth + 1);
      }
    }
  }

  TypeBuilder& types_;
  std::array<Class, 2> classes_{Class::kNone, Class::kNone};
  Code failure_ = Code::kOk;
};

Location Absent(Code reason) {
  Location location;
  location.reason = reason;
  return location;
}

Program RegisterProgram(TypeBuilder& types, uint8_t reg) {
  const std::array<Insn, 2> code{MakeInsn(Op::kRegister, 0, reg), MakeInsn(Op::kReturn)};
  return types.tables().AddProgram(code);
}

Location InVector(uint8_t reg) {
  Location location;
  location.kind = LocationKind::kXmm;
  location.reg = reg;
  location.reason = Code::kOk;
  return location;
}

Location ThroughRax(TypeBuilder& types, LocationKind kind) {
  Location location;
  location.kind = kind;
  location.reason = Code::kOk;
  location.program = RegisterProgram(types, kRax);
  return location;
}

Location OfPieces(TypeBuilder& types, const std::vector<Piece>& pieces) {
  PlanUnit& unit = types.unit();
  Location location;
  location.kind = LocationKind::kPieces;
  location.reason = Code::kOk;
  location.first_piece = static_cast<uint32_t>(unit.pieces.size());
  location.piece_count = static_cast<uint32_t>(pieces.size());
  unit.pieces.insert(unit.pieces.end(), pieces.begin(), pieces.end());
  return location;
}

Piece VectorPiece(uint8_t reg, uint32_t size_bytes) {
  Piece piece;
  piece.kind = LocationKind::kXmm;
  piece.reg = reg;
  piece.reason = Code::kOk;
  piece.size_bytes = size_bytes;
  return piece;
}

// Registers are taken in order, each class from its own row.
Location InRegisters(TypeBuilder& types, const Classifier& classes, uint32_t size_bytes) {
  if (classes.at(1) == Class::kSseUp) return InVector(0);
  if (size_bytes <= kEightbyte) {
    return classes.at(0) == Class::kSse ? InVector(0) : ThroughRax(types, LocationKind::kValue);
  }
  std::vector<Piece> pieces;
  uint8_t integers = 0, vectors = 0;
  for (size_t i = 0; i < 2; ++i) {
    Piece piece;
    const auto bytes = static_cast<uint32_t>(i == 0 ? kEightbyte : size_bytes - kEightbyte);
    if (classes.at(i) == Class::kSse) {
      piece = VectorPiece(vectors++, bytes);
    } else if (classes.at(i) == Class::kInteger) {
      piece.kind = LocationKind::kValue;
      piece.reason = Code::kOk;
      piece.program = RegisterProgram(types, kIntegerResults[integers++]);
    }
    piece.size_bytes = bytes;  // padding stays unavailable
    pieces.push_back(piece);
  }
  return OfPieces(types, pieces);
}

bool IsProven(const Classifier& classes, const Returning& returning, uint32_t size_bytes) {
  if (!returning.needs_proof) return true;
  if (size_bytes > kEightbyte) return false;
  return classes.at(0) == Class::kSse ? returning.sets_float : returning.sets_integer;
}

bool SameType(std::optional<Dwarf_Die> type, const Dwarf_Die& class_die) {
  for (int i = 0; type && i < kMaxDepth; ++i) {
    if (type->addr == class_die.addr) return true;
    if (!IsQualifierTag(Tag(*type)) && Tag(*type) != DW_TAG_typedef) return false;
    type = TypeOf(*type);
  }
  return false;
}

// A constructor from a reference to its own class.
bool CopiesOrMoves(const Dwarf_Die& function, const Dwarf_Die& class_die) {
  int count = 0;
  bool is_own = false;
  ForEachChild(function, [&](const Dwarf_Die& child) {
    if (Tag(child) != DW_TAG_formal_parameter || Flag(child, DW_AT_artificial)) return true;
    const std::optional<Dwarf_Die> type = TypeOf(child);
    const int tag = type ? Tag(*type) : 0;
    is_own = count++ == 0 &&
             (tag == DW_TAG_reference_type || tag == DW_TAG_rvalue_reference_type) &&
             SameType(TypeOf(*type), class_die);
    return true;
  });
  return count == 1 && is_own;
}

std::string_view WithoutArguments(std::string_view name) { return name.substr(0, name.find('<')); }

// Of its special members, what Itanium C++ ABI §1.1 ("non-trivial for the purposes of calls") asks.
struct SpecialMembers {
  bool has_nontrivial = false;
  int declared = 0, deleted = 0;  // copy and move constructors
};

SpecialMembers ReadSpecialMembers(const Dwarf_Die& class_die) {
  SpecialMembers out;
  const std::string_view name = WithoutArguments(Name(class_die));
  ForEachChild(class_die, [&](const Dwarf_Die& child) {
    if (Tag(child) == DW_TAG_member && Name(child).starts_with("_vptr")) out.has_nontrivial = true;
    if (Tag(child) != DW_TAG_subprogram) return true;
    if (Unsigned(child, DW_AT_virtuality).value_or(0) != 0) out.has_nontrivial = true;
    const std::string_view own = Name(child);
    const bool destroys = own.starts_with('~');
    const bool copies = !destroys && own == name && CopiesOrMoves(child, class_die);
    if (!destroys && !copies) return true;
    const bool deleted = Flag(child, DW_AT_deleted, false);
    // DW_DEFAULTED_in_class; implicit ones are artificial. What the members are decides of both.
    const bool defaulted = Unsigned(child, DW_AT_defaulted, false).value_or(0) == 1 ||
                           Flag(child, DW_AT_artificial, false);
    if (copies) ++out.declared;
    if (copies && deleted) ++out.deleted;
    if (!(copies && deleted) && !defaulted) out.has_nontrivial = true;
    return true;
  });
  return out;
}

}  // namespace

Code PassedByValue(const Dwarf_Die& class_die, int depth) {
  if (depth > kMaxDepth) return Code::kUnsupportedLocation;
  if (Flag(class_die, DW_AT_declaration, false)) return Code::kIncompleteType;
  if (const auto said = Unsigned(class_die, DW_AT_calling_convention, false)) {
    if (*said == DW_CC_pass_by_value) return Code::kOk;
    if (*said == DW_CC_pass_by_reference) return Code::kUnsupportedType;
  }
  const SpecialMembers special = ReadSpecialMembers(class_die);
  if (special.has_nontrivial) return Code::kUnsupportedType;
  if (special.declared != 0 && special.declared == special.deleted) return Code::kUnsupportedType;
  Code worst = Code::kOk;
  ForEachChild(class_die, [&](const Dwarf_Die& child) {
    const int tag = Tag(child);
    if (tag == DW_TAG_inheritance && Unsigned(child, DW_AT_virtuality).value_or(0) != 0) {
      worst = Code::kUnsupportedType;
    }
    const bool is_static = tag == DW_TAG_member && (Flag(child, DW_AT_declaration, false) ||
                                                    Flag(child, DW_AT_external, false));
    if ((tag != DW_TAG_member && tag != DW_TAG_inheritance) || is_static) return true;
    std::optional<Dwarf_Die> type = TypeOf(child);
    for (int i = 0; type && i < kMaxDepth; ++i) {
      const int kind = Tag(*type);
      if (!IsQualifierTag(kind) && kind != DW_TAG_typedef && kind != DW_TAG_array_type) break;
      type = TypeOf(*type);
    }
    if (!type || (!IsStructTag(Tag(*type)) && Tag(*type) != DW_TAG_union_type)) return true;
    const Code part = PassedByValue(*type, depth + 1);
    // That it goes by reference is sure whatever the others are.
    if (part == Code::kUnsupportedType || worst == Code::kOk) worst = part;
    return worst != Code::kUnsupportedType;
  });
  return worst;
}

Location ResultLocation(TypeId type, const Returning& returning, TypeBuilder& types) {
  if (returning.absent != Code::kOk) return Absent(returning.absent);
  const TypeId plain = types.Strip(type);
  const TypeNode node = types.Node(plain);
  if (node.kind == TypeKind::kUnsupported) return Absent(Code::kUnsupportedType);
  if (node.kind == TypeKind::kIncomplete) return Absent(Code::kIncompleteType);
  const bool is_class = node.kind == TypeKind::kStruct || node.kind == TypeKind::kUnion;
  if (is_class) {
    const Dwarf_Die* const die = types.DieOf(plain);
    const Code by_value = die == nullptr ? Code::kIncompleteType : PassedByValue(*die);
    if (by_value == Code::kUnsupportedType || node.size_bytes > kMaxRegisterBytes) {
      // The caller made room for it, and gets its address back.
      return returning.needs_proof && !returning.sets_integer
                 ? Absent(Code::kOptimizedOut)
                 : ThroughRax(types, LocationKind::kMemory);
    }
    if (by_value != Code::kOk) return Absent(by_value);
  }
  if (node.kind == TypeKind::kComplex && node.size_bytes == 2 * kMaxRegisterBytes) {
    if (returning.needs_proof) return Absent(Code::kOptimizedOut);
    return OfPieces(types, {VectorPiece(kX87Result, kMaxRegisterBytes),
                            VectorPiece(kX87Result + 1, kMaxRegisterBytes)});
  }
  if (node.size_bytes == 0 || node.size_bytes > kMaxRegisterBytes) {
    return Absent(Code::kUnsupportedType);
  }
  Classifier classes(types);
  if (const Code code = classes.Run(plain); code != Code::kOk) return Absent(code);
  if (classes.in_memory()) return ThroughRax(types, LocationKind::kMemory);
  if (classes.at(0) == Class::kNone && classes.at(1) == Class::kNone) {  // an empty class
    Location location;
    location.kind = LocationKind::kBytes;
    location.reason = Code::kOk;
    location.bytes = types.tables().Intern(std::string(node.size_bytes, '\0'));
    return location;
  }
  if (!IsProven(classes, returning, node.size_bytes)) return Absent(Code::kOptimizedOut);
  if (classes.at(0) == Class::kX87) return InVector(kX87Result);
  return InRegisters(types, classes, node.size_bytes);
}

namespace {

// DWARF numbers of rbx, rbp, rsp and r12 to r15.
bool IsCallersRegister(uint8_t reg) { return reg == 3 || reg == 6 || reg == 7 || reg >= 12; }

template <typename Accept>
bool AllPrograms(const PlanUnit& unit, const Location& location, Accept accept) {
  const auto holds = [&](const Program& program) {
    for (uint32_t i = 0; i < program.count; ++i) {
      if (!accept(unit.code[program.first + i])) return false;
    }
    return true;
  };
  for (uint32_t i = 0; i < location.piece_count; ++i) {
    if (!holds(unit.pieces[location.first_piece + i].program)) return false;
  }
  return holds(location.program);
}

}  // namespace

bool OutlivesFrame(const PlanUnit& unit, const Location& location) {
  return AllPrograms(unit, location, [](const Insn& insn) {
    return insn.op != Op::kCfa && !(insn.op == Op::kRegister && IsCallersRegister(insn.a));
  });
}

bool IsStatic(const PlanUnit& unit, const Location& location) {
  return location.kind == LocationKind::kMemory &&
         AllPrograms(unit, location, [](const Insn& insn) {
           return insn.op != Op::kCfa && insn.op != Op::kRegister && insn.op != Op::kXmm &&
                  insn.op != Op::kEntryValue;
         });
}

}  // namespace stillframe::dwarf
