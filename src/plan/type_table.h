// Types as flat arrays. The hit path walks them to know which memory to copy; the decoder walks
// them to print; the expression compiler to find members. TypeId 0 is always `void`.
#ifndef STILLFRAME_PLAN_TYPE_TABLE_H_
#define STILLFRAME_PLAN_TYPE_TABLE_H_

#include <cstdint>

namespace stillframe {

using TypeId = uint32_t;
using StringId = uint32_t;  // index into PlanUnit::strings; 0 is ""
inline constexpr TypeId kVoidType = 0;

enum class TypeKind : uint8_t {
  kVoid = 0,
  kBool,
  kSigned,  // two's complement integer, size 1..16
  kUnsigned,
  kChar,       // char, signed char, unsigned char (flag kFlagUnsigned), printed as 65 'A'
  kUnicode,    // char8_t, char16_t, char32_t, wchar_t
  kFloat,      // 4, 8, 16 (x87 long double) bytes
  kEnum,       // members: enumerators (Enumerator)
  kPointer,    // target
  kReference,  // target; stored as a pointer
  kStruct,     // struct or class; members: bases and fields, in layout order
  kUnion,
  kArray,     // target = element, count elements (one node per dimension)
  kFunction,  // only behind pointers
  kMemberPointer,
  kNullptr,
  kIncomplete,   // only a declaration was found
  kUnsupported,  // name says what; values are UNAVAILABLE / UNSUPPORTED_TYPE
};

enum TypeFlags : uint8_t {
  kFlagUnsigned = 1,    // enums and chars: unsigned underlying type
  kFlagScopedEnum = 2,  // enum class: printed as Tier::kGold like GDB does
  kFlagNeedsWalk = 4,   // something below holds a pointer or a view that the capture follows
  kFlagRedacted = 8,    // the type's name is on the redaction list
};

// How a library type is shown and walked although its members are an implementation detail.
enum class ViewKind : uint8_t {
  kNone = 0,
  kString,       // [a] data pointer, [b] size field (8 bytes); element = character type
  kStringView,   // the same fields, not owning
  kSequence,     // vector: [a] begin pointer, [b] end pointer; element
  kInlineArray,  // std::array: count elements of `element` at offset a
  kTree,         // map, set, multi*: [a] root (header's parent pointer), [b] element count,
                 // [c] value's offset in a node; node: +8 parent, +16 left, +24 right;
                 // header itself at offset d; leftmost pointer at d + 16. element = value type
  kHash,         // unordered_*: [a] first node pointer, [b] element count, [c] value's offset in a
                 // node whose first word is the next pointer; element = value type
  kOptional,     // [a] engaged flag (1 byte), [b] payload; element = value type
  kVariant,      // [a] index field of `size_bytes` bytes, [b] payload; members = alternatives
  kUniquePtr,    // [a] pointer; element = target
  kSharedPtr,    // [a] pointer, [b] control block pointer (use count int32 at +8, weak at +12)
  kWeakPtr,      // the same
  kTuple,        // members named [0], [1], ...
  kPair,         // members first, second
};

struct View {
  ViewKind kind = ViewKind::kNone;
  uint8_t size_bytes = 0;
  uint8_t key_value = 0;  // kTree, kHash: element is a pair<const K, V> shown as [key] = value
  uint8_t pad = 0;
  uint32_t a = 0, b = 0, c = 0, d = 0;  // byte offsets in the object (or node), as listed above
  TypeId element = kVoidType;
  uint64_t count = 0;
  uint32_t first_member = 0;  // alternatives and tuple elements, in TypeTable::members
  uint32_t member_count = 0;
};

enum MemberFlags : uint8_t {
  kMemberBase = 1,          // base class subobject
  kMemberArtificial = 2,    // vptr and the like: hidden
  kMemberRedacted = 4,      // name is on the redaction list; its bytes are never shown
  kMemberAnonymous = 8,     // anonymous struct or union: its members belong to the parent
  kMemberVirtualBase = 16,  // offset not known statically: UNAVAILABLE
};

struct Member {
  StringId name = 0;
  TypeId type = kVoidType;
  uint32_t offset_bytes = 0;
  uint8_t bit_offset = 0;  // from the least significant bit of the storage at offset_bytes
  uint8_t bit_size = 0;    // 0 = not a bit-field
  uint8_t flags = 0;
  uint8_t pad = 0;
};

struct Enumerator {
  StringId name = 0;  // unqualified
  uint32_t pad = 0;
  int64_t value = 0;  // sign- or zero-extended from the underlying type
};

struct TypeNode {
  TypeKind kind = TypeKind::kVoid;
  uint8_t flags = 0;  // TypeFlags
  uint16_t pad = 0;
  StringId name = 0;  // as GDB prints it, cv-qualifiers included; typedef names kept
  uint32_t size_bytes = 0;
  TypeId target = kVoidType;  // pointer, reference, array element, enum's underlying type
  uint32_t first_member = 0;  // structs, unions: members; enums: enumerators
  uint32_t member_count = 0;
  uint32_t view = 0;  // index into TypeTable::views; 0 = none
  uint32_t pad2 = 0;
  uint64_t count = 0;  // array length
};

}  // namespace stillframe

#endif  // STILLFRAME_PLAN_TYPE_TABLE_H_
