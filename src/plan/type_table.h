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
  kArray,          // target = element, count elements (one node per dimension)
  kFunction,       // only behind pointers
  kMemberPointer,  // 8 bytes: to data; 16: to a function (Itanium C++ ABI 2.3); enumerators: the
                   // class's virtual functions (value: MemberPointerKey)
  kNullptr,
  kIncomplete,   // only a declaration was found
  kUnsupported,  // name says what; values are UNAVAILABLE / UNSUPPORTED_TYPE
  kHalf,         // _Float16, 2 bytes (IEEE 754 binary16)
  kBrainFloat,   // __bf16, 2 bytes (the upper half of a float)
  kQuad,         // __float128, 16 bytes (IEEE 754 binary128)
  kComplex,      // two of `target` in a row: real, imaginary
};

enum TypeFlags : uint8_t {
  kFlagUnsigned = 1,    // enums and chars: unsigned underlying type
  kFlagScopedEnum = 2,  // enum class: printed as Tier::kGold like GDB does
  kFlagNeedsWalk = 4,   // something below holds a pointer or a view that the capture follows
  kFlagRedacted = 8,    // the type's name is on the redaction list
  kFlagCountedByVariable = 16,  // an array whose size only Variable::extent_count knows
  kFlagUncounted = 32,          // an array of unknown length: a flexible member, `extern int all[]`
};

// How a library type is shown and walked although its members are an implementation detail. [x] is
// the field at byte offset View::x of the object; fields are 8 bytes unless something else is said.
enum class ViewKind : uint8_t {
  kNone = 0,
  kString,       // [a] data pointer, [b] size; element = character type
  kStringView,   // the same fields, not owning
  kSequence,     // vector: [a] begin pointer, [b] end pointer; element
  kInlineArray,  // std::array: count elements of `element` at offset a
  kTree,         // map, set, multi*: [a] first node in order, [b] element count, c = the value's
                 // offset in a node, d = offset of the header, which ends the order; a node's links
                 // are at `left`, `right`, `parent`. element = value type
  kHash,         // unordered_*, list, forward_list: [a] first node pointer, [b] element count (with
                 // kUncounted none: 0 ends the chain), c = the value's offset in a node whose link
                 // is at `left`; element = value type
  kOptional,   // [a] engaged flag (1 byte), [b] payload; element = value type; d = what stands for
               // none (StringId; 0 = "std::nullopt")
  kVariant,    // [a] index field of `size_bytes` bytes, [b] payload; members = alternatives; with
               // keys = kNeverValueless an index of ones alone is not "valueless"
  kUniquePtr,  // [a] pointer; element = target
  kSharedPtr,  // [a] pointer, [b] control block pointer (libstdc++: use count int32 at +8, weak at
               // +12; kLibcxx: int64 at +8 and +16, each one less); element = target
  kWeakPtr,    // the same
  kTuple,      // members named [0], [1], ...
  kPair,       // members first, second
  kCounted,    // span, initializer_list, valarray: [a] data pointer, [b] element count (with
               // kFixedCount: View::count); element
  kShortString,  // libc++: the flag byte at d masked by `left` tells: [a] pointer and [b] size of a
                 // long one, or the bytes at c of a short one, whose size is the rest of that byte
                 // (shifted down by one when the mask is 1); size_bytes = room of a short one
  kBits,    // vector<bool>: [a] first word's pointer, [b] last word's pointer and [c] bits used
            // in it (4 bytes); kLibcxx: [b] bit count
  kBitset,  // count bits in words at offset a
  kDeque,  // c elements in a block (0: as its iterators say). libstdc++: iterators (current, first,
           // last, block) at a and b. kLibcxx: [a] first block's pointer, [b] size, [d] start
           // index; element
  kWrapper,   // the `element` at offset a is all there is: atomic, filesystem::path, queue
  kDuration,  // `element` at a counts units of count / (c + 2^32 d) seconds; kSystemTime: since
              // 1970; kOtherTime: since its clock's epoch
  kMutex,     // pthread_mutex_t: lock (4 bytes) at a, recursion at a + 4, owner at a + 8;
              // kRecursive. kReadWrite: pthread_rwlock_t, readers (4 bytes) at a, writer at a + 24
  kAny,       // [a] manager function, which is one of the type's `derived`; value at b, or where
              // [b] points to
  kFunction,  // [a] invoker function, [b] target (2 words). kLibcxx: [a] pointer to an object
              // whose vtable names the target
  kExceptionPtr,  // [a] exception object; its std::type_info pointer is 112 bytes before it
  kCoroutine,     // [a] frame pointer; its first word is the function that resumes it
  kCustom,        // a user's formatter: a = summary (StringId; the byte 1 and then the byte i + 1
                  // stand for the text of member i), b = index of the view that holds its items
                  // (0 = none) or of a kChoice; members = what is shown
  kIterator,      // [a] pointer to the element, to the word with its bit, or to its node; what else
                  // is in it by the layout: kAtBit: [b] number of the bit (4 bytes). kInDeque: [b]
                  // pointer to the block's pointer, c elements in a block. kIn*: c = the value's
                  // offset in a node, links at `left` (kInList: the previous node's), `right`,
                  // `parent`. keys = kReversed: it shows the element before. element = value type
  // Only as items of kCustom. Numbers of `size_bytes` bytes (0 = 8) are shifted right by `left`,
  // and of them `right` bits count (0 = all), here and in kCounted and kString.
  kChoice,  // the number at a is `count`, or with keys = kUnequal it is not: the items are the
            // view of index b, which is no kChoice; else the view of index c
  kSlots,   // a table of slots: [a] a byte for each, [e] the slots, `count` bytes each, [b] number
            // of elements, [d] of slots. A byte from `keys` to `parent` marks an element, which is
            // at c in its slot, or with kBehindPointers at c from where the slot points. kInGroups:
            // groups of 16 bytes for 15 slots, [d] = number of groups - 1
  kBuckets,     // a table of chains: [a] buckets of `count` bytes each, [d] their number, e = the
                // first node's pointer in one, [b] number of elements; c = the value's offset in a
                // node whose link is at `parent`
  kRing,        // [a] begin and [d] end of the room, [e] first element, [b] number of elements
  kRootedTree,  // a binary tree without links upwards: [a] root, [b] element count (with kUncounted
                // none), links at `left` and `right`, c = the value's offset in a node
};

// View::layout.
// View::keys, of kTree and kHash: what is known of how the container finds a key.
enum ViewKeys : uint8_t {
  kKeysNamed = 1,      // it finds keys: it is no list
  kKeysLess = 2,       // in the order of std::less
  kKeysGreater = 4,    // in the order of std::greater
  kKeysEqual = 8,      // equal means == (these two orders say so, too)
  kKeysMany = 16,      // a key may be there many times
  kKeysIdentity = 32,  // libstdc++: the hash of a key is its number; buckets at 0, their count at 8
};

enum ViewLayout : uint8_t {
  kPlain = 0,
  kLibcxx = 1,
  kUncounted = 2,   // kHash
  kFixedCount = 3,  // kCounted
  kSystemTime = 4,  // kDuration
  kOtherTime = 5,   // kDuration
  kRecursive = 6,   // kMutex
  // kIterator:
  kAtElement = 7,
  kAtBit = 8,
  kInDeque = 9,
  kInList = 10,
  kInChain = 11,       // unordered_*; a null pointer is the end here and of a forward_list
  kInTree = 12,        // libstdc++
  kInLibcxxTree = 13,  // its end node has a left link alone
  kInForwardList = 14,
  kReadWrite = 15,       // kMutex
  kInPlace = 16,         // kCounted: `count` elements have room at a; kString: c bytes have
  kBehindPointers = 17,  // kSlots
  kInGroups = 18,        // kSlots
  // kMutex of libc++, which are built of others: [a] says whether it is locked (1 byte); [a] how
  // many times (8 bytes) and, behind it, by which pthread_t; [a] readers, the highest bit a writer.
  kLibcxxTimed = 19,
  kLibcxxRecursiveTimed = 20,
  kLibcxxShared = 21,
};
// View::keys.
inline constexpr uint8_t kReversed = 1;        // kIterator
inline constexpr uint8_t kNeverValueless = 1;  // kVariant
inline constexpr uint8_t kUnequal = 1;         // kChoice
// A user's formatter has at most so many kinds of items to choose from.
inline constexpr uint32_t kMaxChoices = 16;

struct View {
  ViewKind kind = ViewKind::kNone;
  uint8_t size_bytes = 0;
  uint8_t key_value = 0;  // kTree, kHash: element is a pair<const K, V> shown as [key] = value
  uint8_t layout = kPlain;
  uint32_t a = 0, b = 0, c = 0, d = 0;  // byte offsets in the object (or node), as listed above
  TypeId element = kVoidType;
  uint64_t count = 0;
  uint32_t first_member = 0;  // alternatives and tuple elements, in TypeTable::members
  uint32_t member_count = 0;
  uint8_t left = 0, right = 0, parent = 0;  // byte offsets in a node; or as said
  uint8_t keys = 0;                         // ViewKeys; or as said
  uint32_t e = 0;  // one more offset; kTree: the bits of a parent link that are no address
};

// What an object of a polymorphic type may really be: the class whose vtables lie in [start, end)
// of the module, and where the static type is in it. The same for std::any: the functions that
// manage a type.
struct Derived {
  uint64_t start = 0;  // LinkAddress
  uint64_t end = 0;
  TypeId type = kVoidType;
  uint32_t base_offset = 0;  // kOffsetInVtable: as the vtable says. kAny: 1 = on the heap
};
// The word 16 bytes before a vptr's target is minus the vptr's offset in the whole object.
inline constexpr uint32_t kOffsetInVtable = UINT32_MAX;

enum MemberFlags : uint8_t {
  kMemberBase = 1,          // base class subobject
  kMemberArtificial = 2,    // vptr and the like: hidden
  kMemberRedacted = 4,      // name is on the redaction list; its bytes are never shown
  kMemberAnonymous = 8,     // anonymous struct or union: its members belong to the parent
  kMemberInSummary = 32,    // kCustom: shown in the summary only
  kMemberVirtualBase = 16,  // offset_bytes is where the vtable holds it: below the vptr by that
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
  StringId name = 0;   // unqualified
  StringId scope = 0;  // what it is qualified with: an enumeration, or what that stands in; or ""
  int64_t value = 0;   // sign- or zero-extended from the underlying type
};

// Of the virtual function at `vtable_offset` in the vtable of the base at `base_offset`.
inline int64_t MemberPointerKey(uint64_t vtable_offset, uint64_t base_offset) {
  return static_cast<int64_t>(base_offset << 32 | (vtable_offset & UINT32_MAX));
}

struct TypeNode {
  TypeKind kind = TypeKind::kVoid;
  uint8_t flags = 0;  // TypeFlags
  uint8_t pad = 0;
  uint8_t derived_count = 0;
  StringId name = 0;  // as GDB prints it, cv-qualifiers included; typedef names kept
  uint32_t size_bytes = 0;
  TypeId target = kVoidType;  // pointer, reference, array element, enum's underlying type
  uint32_t first_member = 0;  // structs, unions: members; enums, member pointers: enumerators
  uint32_t member_count = 0;
  uint32_t view = 0;           // index into TypeTable::views; 0 = none
  uint32_t first_derived = 0;  // into PlanUnit::derived
  uint64_t count = 0;          // array length
};

}  // namespace stillframe

#endif  // STILLFRAME_PLAN_TYPE_TABLE_H_
