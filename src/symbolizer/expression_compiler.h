// Syntax tree -> typed bytecode. Internal to the expression compiler; one instance per expression.
#ifndef STILLFRAME_SYMBOLIZER_EXPRESSION_COMPILER_H_
#define STILLFRAME_SYMBOLIZER_EXPRESSION_COMPILER_H_

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "plan/plan.h"
#include "symbolizer/expression_code.h"
#include "symbolizer/expression_parser.h"
#include "symbolizer/expression_types.h"
#include "symbolizer/scope.h"

namespace stillframe::expression {

enum class Form : uint8_t {
  kCell,     // `code` pushes the scalar: integers extended to 64 bits by their own signedness,
             // bool 0 or 1, float and double as the bits of a double
  kMemory,   // `code` pushes the object's address
  kPlaced,   // the object is at `offset` in `location` (registers, pieces, constants); `code` runs
             // first and leaves the stack as it was
  kLiteral,  // a string literal: `text`
};

struct Value {
  Form form = Form::kCell;
  TypeId type = kVoidType;
  uint32_t column = 1;
  Fragment code;
  Location location;
  uint32_t offset = 0;
  uint8_t bit_offset = 0;     // of a bit-field, from the least significant bit at the object
  uint8_t bit_size = 0;       // 0 = not a bit-field
  bool zero_literal = false;  // a null pointer constant
  bool is_trace = false;      // $trace
  std::string text;
  std::optional<Fragment> filter;         // of a range: which elements are meant, by local 0
  std::optional<ScopeVariable> variable;  // nothing has been done to this variable yet
};

// A value after integer promotion.
struct Operand {
  Fragment code;
  Number number = Number::kInt;
};

class Compiler {
 public:
  // `items`: how many elements of a range any, all, count and filter look at.
  Compiler(Scope& scope, PlanUnit& unit, uint32_t items)
      : scope_(scope), unit_(unit), items_(items) {}

  Result<Value> Compile(const Node& node);
  // Pushes 0 or 1. kBadExpression when the type is not convertible to bool.
  Result<Fragment> ToBool(const Value& value);
  // The value as a watch: an lvalue keeps its location.
  Result<Variable> ToVariable(Value value);

 private:
  // ---- names (expression_names.cc) ----
  struct FoundMember {
    Member member;
    uint32_t offset = 0;  // from the start of the outermost object
    bool redacted = false;
    bool in_virtual_base = false;
    uint32_t matches = 0;  // more than one: ambiguous
  };
  Result<Value> Name(const Node& node);
  Result<Value> HitFact(const Node& node);
  Result<Value> FromVariable(const ScopeVariable& variable, const Node& node);
  // nullopt when `this` has no such member, or there is no `this`.
  Result<std::optional<Value>> ThroughThis(const Node& node);
  Result<Value> UnknownName(const Node& node);
  Result<Value> MemberOf(const Value& object, std::string_view name, uint32_t column);
  Result<Value> SelectMember(const Value& object, const FoundMember& found, uint32_t column);
  FoundMember FindMember(TypeId type, std::string_view name, int depth) const;
  void SearchMembers(uint32_t first, uint32_t count, std::string_view name, int depth,
                     FoundMember& found) const;
  void CollectMemberNames(TypeId type, int depth, std::vector<std::string>& names) const;

  // ---- objects (expression_access.cc) ----
  // Follows references and refuses redacted types: every new object passes here.
  Result<Value> Settle(Value value);
  // The part of an object at `offset`.
  Result<Value> Part(const Value& object, uint32_t offset, TypeId type);
  // Through atomic, queue, path and the like to what they hold.
  Result<Value> Unwrap(Value value);
  // Scalar -> cell; arrays decay to pointers.
  Result<Value> Load(const Value& value);
  Result<Fragment> LoadBits(const Value& value);
  // `size_bytes` (1..8) at `offset` of the value, zero-extended.
  Result<Fragment> ReadBytes(const Value& value, uint32_t offset, uint32_t size_bytes);
  Result<Fragment> ReadPlaced(const Location& location, uint32_t offset, uint32_t size_bytes,
                              uint32_t column);
  Result<Fragment> ReadPiece(const Piece& piece, uint32_t offset, uint32_t size_bytes,
                             uint32_t column);
  Result<Value> Dereference(const Value& value, uint32_t column);
  // As in C++ it is not asked whether the iterator is at an element.
  Result<Value> IteratorElement(const Value& value, uint32_t column);
  Result<Fragment> StepBack(const Value& iterator);
  Result<Value> BitElement(const Value& iterator, uint32_t column);
  Result<Value> AddressOf(const Value& value, uint32_t column);
  Result<Location> Slice(const Value& value);
  Result<Piece> SlicePiece(const Piece& piece, uint32_t offset, uint32_t size_bytes);

  // ---- containers (expression_containers.cc) ----
  Status EmitElementOf(Value& pointer, uint32_t column);
  Result<Value> Index(const Value& object, const Value& index, uint32_t column);
  Result<Value> PlacedElement(const Value& array, const Value& position, uint32_t column);
  Result<Value> Method(const Value& object, const Node& node);
  Result<Value> ArgumentMethod(const Value& object, const Node& node);
  // The number of elements; `object` is unwrapped.
  Result<Fragment> PushCount(const Value& object);
  Result<Fragment> DequeCount(const Value& object);
  // [deque, index] -> the element's address, given where its blocks and their offset are.
  Fragment DequeElement(const View& view, uint8_t blocks, uint8_t start, Fragment index);
  Result<Fragment> DequeStart(const Value& object, uint8_t blocks, uint8_t start);
  Result<Value> DequeIndex(const Value& object, const Value& position, uint32_t column);
  Result<Value> BitIndex(const Value& object, const Value& position, uint32_t column);
  // Pushes the address of the first byte of bits.
  Result<Fragment> BitsBegin(const Value& object);
  Result<Value> Holds(const Node& node);
  Result<Value> Alternative(const Node& node);
  // Index of the variant's alternative of that type or number.
  Result<uint32_t> FindAlternative(const Value& variant, const Node& node);
  Result<Value> SizeMethod(const Value& object, const Node& node);
  Result<Value> EndMethod(const Value& object, bool back, uint32_t column);
  // Pushes the 8-byte fields at these offsets, in order.
  Result<Fragment> PushFields(const Value& object, std::initializer_list<uint32_t> offsets);
  // Pushes [address of the first element] [number of elements], checked for plausibility.
  Result<Fragment> PushExtent(const Value& object, TypeId& element);
  bool HasExtent(const Value& object) const;
  // Smart pointers -> the pointer as a cell.
  Result<Value> RawPointer(const Value& object);
  Result<Value> OptionalPayload(const Value& object);

  // ---- lookups by key (expression_lookup.cc) ----
  struct Key {
    Fragment code;  // pushes a number, or the address and length of a text
    bool is_text = false;
    std::optional<std::string> literal;
    TypeId type = kVoidType;  // of the container's keys
  };
  struct Search;
  bool HasKeys(const Value& object) const;
  // What is held under the key, or whether something is.
  Result<Value> Lookup(const Value& object, const Value& key, bool only_whether, uint32_t column);
  Result<Key> MakeKey(const Value& object, const Value& key, uint32_t column);
  Result<Fragment> SearchTree(Search& search);
  Result<Fragment> SearchChain(Search& search);
  Result<Fragment> SearchBucket(Search& search);
  Result<Fragment> NodeKey(const Search& search);
  void SearchEnd(Search& search, Fragment& code);

  // ---- what a hit finds to be secret (expression_secrets.cc) ----
  // The member behind checks that no key beside it names a secret: kRedacted in the hit.
  Result<Value> GuardByKey(const Value& object, std::string_view name, Value member);
  // The same of a variable whose key is another one.
  Result<Value> GuardByVariable(const std::string& key, Value value);
  // The same of an element of a pair or tuple that is not its first.
  Result<Value> GuardByFirst(const Value& object, const Member& wanted, Value element);
  struct PartOf {
    uint32_t offset;
    TypeId type;
  };
  // False: `by` is nothing that names.
  Result<bool> GuardBy(const Value& object, const PartOf& by, const PartOf& wanted, Value& member);
  // Fails with kRedacted when the key, a text or an enumerator, names a secret.
  Result<Fragment> CheckKey(const Value& key);
  // [address length] of a text, or [number] of an enumerator -> nothing.
  void FailIfSecretText(Fragment& code);
  void FailIfSecretEnumerator(Fragment& code, uint8_t cell, TypeId type);
  // The operator may have forbidden to compute pointers.
  Status CheckRawMemory(uint32_t column) const;

  // ---- ranges (expression_ranges.cc) ----
  struct Cursor;
  // `function`: any, all or count, whatever the node says.
  Result<Value> Range(const Node& node, const std::string& function);
  Result<Value> Filter(const Node& node);
  Result<TypeId> ElementType(const Value& range, uint32_t column) const;
  Result<Fragment> Holds(const Node& node, const Value& element);
  Result<Cursor> MakeCursor(const Value& range, uint32_t column);
  Result<Cursor> ChainCursor(const Value& range, Cursor cursor);
  Result<Cursor> DequeCursor(const Value& range, Cursor cursor);
  Result<Cursor> BitCursor(const Value& range, Cursor cursor);
  Result<Cursor> RowCursor(const Value& range, Cursor cursor);
  Result<Fragment> RangeLoop(const std::string& function, const Cursor& cursor,
                             const Fragment& holds, uint8_t sum);
  Result<uint8_t> NewLocal(uint32_t column);

  // ---- types by name (expression_casts.cc) ----
  Result<TypeId> ResolveType(std::string_view text, uint32_t column);
  Result<Value> Cast(const Node& node);
  Result<Value> CastTo(const Value& value, TypeId type, const std::string& style, uint32_t column);
  Result<Value> CastNumber(const Value& value, TypeId type, uint32_t column);
  Result<Value> CastPointer(const Value& value, TypeId type, const std::string& style,
                            uint32_t column);
  Result<Value> Sizeof(const Node& node);
  // Where `base` lies in `derived`; nullopt when it is none, or a virtual one.
  std::optional<uint32_t> BaseOffset(TypeId derived, TypeId base, int depth) const;

  // ---- texts (expression_text.cc) ----
  bool IsText(const Value& value) const;
  // Pushes [address] [length]; no literal.
  Result<Fragment> PushText(const Value& value);
  Result<Value> TextMethod(const Value& object, const Value& argument, const Node& node);
  Result<Value> CompareTexts(const Node& node, const Value& left, const Value& right);
  Result<Fragment> TextEquals(const Value& object, std::string_view text, uint32_t column);
  Result<Fragment> TraceStartsWith(std::string_view text, bool whole);

  // ---- operators (expression_operators.cc, expression_compare.cc) ----
  Result<Value> Unary(const Node& node);
  Result<Value> Binary(const Node& node);
  Result<Value> Conditional(const Node& node);
  Result<Value> Logic(const Node& node);
  Result<Operand> ToOperand(const Value& value, const Node& node);
  Result<Value> Arithmetic(const Node& node, const Value& left, const Value& right);
  Result<Value> PointerArithmetic(const Node& node, Value left, Value right);
  Result<Value> Compare(const Node& node, const Value& left, const Value& right);
  Result<Value> CompareNumbers(const Node& node, const Value& left, const Value& right);
  Result<Value> ComparePointers(const Node& node, const Value& left, const Value& right);
  Result<TypeId> CommonPointer(const Value& left, const Value& right, uint32_t column) const;
  static Fragment Merge(Fragment condition, const Fragment& yes, const Fragment& no);
  // A pointer, array, nullptr or smart pointer.
  bool IsPointerLike(const Value& value) const;
  Result<Fragment> PointerCell(const Value& value);

  Value Cell(TypeId type, Fragment code, uint32_t column) const;
  Value NumberCell(Number number, Fragment code, uint32_t column);
  const TypeNode& TypeOf(const Value& value) const { return unit_.types[value.type]; }
  // What a library type is, or by a user's formatter.
  const View& ViewOf(const Value& value) const;
  // How many elements there are by a user's formatter.
  Result<Fragment> CustomCount(const Value& object);
  // "'shop::Order'".
  std::string Quote(TypeId type) const;

  Scope& scope_;
  PlanUnit& unit_;
  uint32_t items_;
  uint8_t locals_ = 0;                                   // in use
  bool unevaluated_ = false;                             // inside of sizeof: only types matter
  std::vector<std::pair<std::string, Value>> elements_;  // what ranges name, innermost last
  std::string recovered_;  // how the variables used were recovered, "" = none was
};

// Pops right and left, pushes the result. > and >= are < and <= with the sides changed.
void EmitComparison(Fragment& code, Operator op, Op equal, Op unequal, Op less, Op less_equal);

// [address of bytes] [index of a bit] -> the bit.
void EmitBit(Fragment& code);

// Brings an operand to `to`, a type of the same or higher rank.
void Convert(Fragment& code, Number from, Number to);
// Brings the result of an operation on `number`s back to its width.
void Wrap(Fragment& code, Number number);

// "; near: items" with at most three of the candidates, nearest first; "" when none is near.
std::string NearNames(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace stillframe::expression

#endif  // STILLFRAME_SYMBOLIZER_EXPRESSION_COMPILER_H_
