// Deques, bits, variants: containers whose elements do not lie in a row; and those that a user's
// formatter describes.
#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "plan/view_layout.h"
#include "symbolizer/expression_compiler.h"

namespace stillframe::expression {
namespace {

// The fields of a libstdc++ deque iterator.
constexpr uint32_t kCurrent = 0, kFirst = 8, kBlock = 24;

bool IsNumber(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// "Item" is "shop::Item", and "std::string" is written in many ways.
bool NamesType(std::string_view wanted, std::string_view type) {
  type = StripQualifiers(type);
  if (wanted.starts_with("::")) wanted.remove_prefix(2);
  if (type == wanted) return true;
  const size_t end = std::min(type.find('<'), type.size());
  return type.size() > wanted.size() && type.ends_with(wanted) &&
         type.substr(0, type.size() - wanted.size()).ends_with("::") &&
         type.size() - wanted.size() <= end;
}

std::string WithoutSpaces(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ' || (!out.empty() && std::isalnum(static_cast<unsigned char>(out.back())) != 0)) {
      out += c;
    }
  }
  return out;
}

// Items of a user's formatter that are laid out as those of a library type are.
bool WalksAlike(const View& items) {
  switch (items.kind) {
    case ViewKind::kSequence:
    case ViewKind::kInlineArray:
    case ViewKind::kHash:
    case ViewKind::kOptional:
    case ViewKind::kVariant:
    case ViewKind::kUniquePtr:
    case ViewKind::kSharedPtr:
      return true;
    case ViewKind::kTree:
      return items.e == 0;
    case ViewKind::kCounted:
      return items.layout == kPlain && items.left == 0 && items.right == 0;
    case ViewKind::kString:
      return items.layout == kPlain && items.left == 0 && items.right == 0 && items.size_bytes == 0;
    default:
      return false;
  }
}

bool IsCounted(const View& items) {
  switch (items.kind) {
    case ViewKind::kTree:
    case ViewKind::kCounted:
    case ViewKind::kString:
    case ViewKind::kSlots:
    case ViewKind::kBuckets:
    case ViewKind::kRing:
      return true;
    case ViewKind::kRootedTree:
      return items.layout != kUncounted;
    default:
      return false;
  }
}

}  // namespace

// [address of the bytes] [index] -> the bit.
void EmitBit(Fragment& code) {
  code.Emit(Op::kDup);
  code.Emit(Op::kRot);  // index address index
  code.Const(3);
  code.Emit(Op::kShrU);
  code.Emit(Op::kAdd);
  code.Load(1, false);
  code.Emit(Op::kSwap);
  code.Const(7);
  code.Emit(Op::kAnd);
  code.Emit(Op::kShrU);
  code.Const(1);
  code.Emit(Op::kAnd);
}

Result<Fragment> Compiler::BitsBegin(const Value& object) {
  const View view = ViewOf(object);
  if (view.kind == ViewKind::kBits) return ReadBytes(object, view.a, 8);
  if (object.form != Form::kMemory) {
    return Status(Code::kUnsupportedLocation,
                  "column " + std::to_string(object.column) + ": the bits are not in memory");
  }
  Fragment code = object.code;
  code.AddImm(view.a);
  return code;
}

Result<Fragment> Compiler::DequeCount(const Value& object) {
  const View view = ViewOf(object);
  if (view.layout == kLibcxx) return ReadBytes(object, view.b, 8);
  const uint32_t size = unit_.types[view.element].size_bytes;
  if (size == 0) return BadExpression(object.column, "the element type has no size");
  // [first block] [last block] -> whole blocks between them
  SF_ASSIGN_OR_RETURN(Fragment code, PushFields(object, {view.a + kBlock, view.b + kBlock}));
  code.Emit(Op::kOver);
  code.Emit(Op::kOver);
  code.Emit(Op::kLeU);
  code.FailIfZero(Code::kImplausible);
  code.Emit(Op::kSwap);
  code.Emit(Op::kSub);
  code.Const(8);
  code.Emit(Op::kDivU);
  code.Const(view.c);
  code.Emit(Op::kMul);
  // plus those used in the last one, minus those not used in the first one
  for (const bool last : {true, false}) {
    const uint32_t at = last ? view.b : view.a;
    SF_ASSIGN_OR_RETURN(const Fragment fields, PushFields(object, {at + kCurrent, at + kFirst}));
    code.Append(fields);
    code.Emit(Op::kSub);
    code.Const(size);
    code.Emit(Op::kDivU);
    code.Emit(last ? Op::kAdd : Op::kSub);
  }
  return code;
}

// Sets the locals: the address of the table of blocks, and the index of the first element from
// there.
Result<Fragment> Compiler::DequeStart(const Value& object, uint8_t blocks, uint8_t start) {
  const View view = ViewOf(object);
  const bool libcxx = view.layout == kLibcxx;
  SF_ASSIGN_OR_RETURN(Fragment code, ReadBytes(object, libcxx ? view.a : view.a + kBlock, 8));
  code.Set(blocks);
  if (libcxx) {
    SF_ASSIGN_OR_RETURN(const Fragment first, ReadBytes(object, view.d, 8));
    code.Append(first);
  } else {
    SF_ASSIGN_OR_RETURN(const Fragment fields,
                        PushFields(object, {view.a + kCurrent, view.a + kFirst}));
    code.Append(fields);
    code.Emit(Op::kSub);
    code.Const(unit_.types[view.element].size_bytes);
    code.Emit(Op::kDivU);
  }
  code.Set(start);
  return code;
}

Fragment Compiler::DequeElement(const View& view, uint8_t blocks, uint8_t start, Fragment index) {
  Fragment code = std::move(index);
  code.Get(start);
  code.Emit(Op::kAdd);
  code.Emit(Op::kDup);
  code.Const(view.c);
  code.Emit(Op::kDivU);
  code.Const(8);
  code.Emit(Op::kMul);
  code.Get(blocks);
  code.Emit(Op::kAdd);
  code.Load(8, false);
  code.Emit(Op::kSwap);
  code.Const(view.c);
  code.Emit(Op::kModU);
  code.Const(unit_.types[view.element].size_bytes);
  code.Emit(Op::kMul);
  code.Emit(Op::kAdd);
  return code;
}

Result<Value> Compiler::DequeIndex(const Value& object, const Value& position, uint32_t column) {
  const View view = ViewOf(object);
  if (unit_.types[view.element].size_bytes == 0) {
    return BadExpression(column, "the element type " + Quote(view.element) + " has no size");
  }
  Value element;
  element.form = Form::kMemory;
  element.type = view.element;
  element.column = column;
  element.code = position.code;
  SF_ASSIGN_OR_RETURN(const Fragment count, DequeCount(object));
  const uint8_t before = locals_;
  SF_ASSIGN_OR_RETURN(const uint8_t blocks, NewLocal(column));
  SF_ASSIGN_OR_RETURN(const uint8_t start, NewLocal(column));
  SF_ASSIGN_OR_RETURN(const Fragment begin, DequeStart(object, blocks, start));
  locals_ = before;
  element.code.Emit(Op::kDup);
  element.code.Append(count);
  element.code.Emit(Op::kLtU);
  element.code.FailIfZero(Code::kBadExpression);
  element.code.Append(begin);
  element.code = DequeElement(view, blocks, start, std::move(element.code));
  return Settle(std::move(element));
}

Result<Value> Compiler::BitIndex(const Value& object, const Value& position, uint32_t column) {
  SF_ASSIGN_OR_RETURN(Fragment code, BitsBegin(object));
  code.Append(position.code);
  code.Emit(Op::kDup);
  SF_ASSIGN_OR_RETURN(const Fragment count, PushCount(object));
  code.Append(count);
  code.Emit(Op::kLtU);
  code.FailIfZero(Code::kBadExpression);
  EmitBit(code);
  return Cell(BoolType(unit_), std::move(code), column);
}

Result<uint32_t> Compiler::FindAlternative(const Value& variant, const Node& node) {
  const View view = ViewOf(variant);
  if (IsNumber(node.type)) {
    const unsigned long index = strtoul(node.type.c_str(), nullptr, 10);
    if (index < view.member_count) return static_cast<uint32_t>(index);
    return BadExpression(node.column, Quote(variant.type) + " has no alternative " + node.type);
  }
  std::optional<uint32_t> found;
  std::vector<std::string> names;
  const std::string wanted = WithoutSpaces(node.type);
  for (uint32_t i = 0; i < view.member_count; ++i) {
    const Member& member = unit_.members[view.first_member + i];
    const std::string& name = unit_.strings[unit_.types[member.type].name];
    names.push_back(name);
    if (!NamesType(wanted, WithoutSpaces(name))) continue;
    if (found) return BadExpression(node.column, "'" + node.type + "' is ambiguous");
    found = i;
  }
  if (found) return *found;
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  return BadExpression(node.column, "no alternative '" + node.type + "'; there are " + all);
}

Result<Value> Compiler::Holds(const Node& node) {
  SF_ASSIGN_OR_RETURN(Value object, Compile(*node.child[0]));
  if (node.arrow) {
    SF_ASSIGN_OR_RETURN(object, Dereference(object, node.column));
  }
  if (object.form == Form::kLiteral || ViewOf(object).kind != ViewKind::kVariant) {
    return BadExpression(node.column, Quote(object.type) + " is no variant");
  }
  SF_ASSIGN_OR_RETURN(const uint32_t index, FindAlternative(object, node));
  const View view = ViewOf(object);
  SF_ASSIGN_OR_RETURN(Fragment code, ReadBytes(object, view.a, view.size_bytes));
  code.Const(index);
  code.Emit(Op::kEq);
  return Cell(BoolType(unit_), std::move(code), node.column);
}

// std::get<T>: of a variant only what it holds; of tuples and pairs by number.
Result<Value> Compiler::Alternative(const Node& node) {
  SF_ASSIGN_OR_RETURN(const Value object, Compile(*node.child[0]));
  const ViewKind kind = object.form == Form::kLiteral ? ViewKind::kNone : ViewOf(object).kind;
  if (kind != ViewKind::kVariant && kind != ViewKind::kTuple && kind != ViewKind::kPair) {
    return BadExpression(node.column, Quote(object.type) + " is no variant, tuple or pair");
  }
  SF_ASSIGN_OR_RETURN(const uint32_t index, FindAlternative(object, node));
  const View view = ViewOf(object);
  const Member member = unit_.members[view.first_member + index];
  if ((member.flags & kMemberRedacted) != 0) {
    return Status(Code::kRedacted,
                  "column " + std::to_string(node.column) + ": the value is redacted");
  }
  if (kind != ViewKind::kVariant) {
    SF_ASSIGN_OR_RETURN(Value element, Part(object, member.offset_bytes, member.type));
    element.column = node.column;
    return index == 0 ? std::move(element) : GuardByFirst(object, member, std::move(element));
  }
  Value held = object;
  if (object.form == Form::kMemory) {
    held.code.Emit(Op::kDup);
    held.code.AddImm(view.a);
    held.code.Load(view.size_bytes, false);
  } else {
    SF_ASSIGN_OR_RETURN(held.code, ReadBytes(object, view.a, view.size_bytes));
  }
  held.code.Const(index);
  held.code.Emit(Op::kEq);
  held.code.FailIfZero(Code::kBadExpression);
  return Part(held, view.b + member.offset_bytes, member.type);
}

// [address of the node, or of the element behind] -> [address of the node or the element before].
Result<Fragment> Compiler::StepBack(const Value& value) {
  const View view = ViewOf(value);
  const uint64_t size = unit_.types[view.element].size_bytes;
  SF_ASSIGN_OR_RETURN(const Fragment at, ReadBytes(value, view.a, 8));
  Fragment code = at;
  switch (view.layout) {
    case kAtElement:
      code.AddImm(0 - size);
      return code;
    case kInList:
      code.AddImm(view.left);
      code.Load(8, false);
      return code;
    case kInDeque: {
      SF_ASSIGN_OR_RETURN(const Fragment block, ReadBytes(value, view.b, 8));
      Fragment at_first = at;
      at_first.Append(block);
      at_first.Load(8, false);
      at_first.Emit(Op::kEq);
      Fragment in_block_before = block;
      in_block_before.AddImm(0 - uint64_t{8});
      in_block_before.Load(8, false);
      in_block_before.AddImm((view.c - 1) * size);
      code.AddImm(0 - size);
      return Merge(std::move(at_first), in_block_before, code);
    }
    default:
      break;
  }
  // The successor with left and right exchanged.
  code.Emit(Op::kTreeNext, view.right, view.left, view.parent);
  if (view.layout == kInLibcxxTree) return code;
  // libstdc++'s header is red, and the root's parent; its right link is the last node.
  Fragment is_header = at;
  is_header.Load(1, false);
  is_header.Emit(Op::kLogicalNot);
  Fragment by_parent = at;
  by_parent.AddImm(view.parent);
  by_parent.Load(8, false);
  by_parent.AddImm(view.parent);
  by_parent.Load(8, false);
  by_parent.Append(at);
  by_parent.Emit(Op::kEq);
  Fragment no;
  no.Const(0);
  is_header = Merge(std::move(is_header), by_parent, no);
  Fragment last = at;
  last.AddImm(view.right);
  last.Load(8, false);
  return Merge(std::move(is_header), last, code);
}

// vector<bool>'s: a bit of a word, or with a reversed one the bit before.
Result<Value> Compiler::BitElement(const Value& value, uint32_t column) {
  const View view = ViewOf(value);
  SF_ASSIGN_OR_RETURN(Fragment code, ReadBytes(value, view.a, 8));
  code.Emit(Op::kDup);
  code.FailIfZero(Code::kBadExpression);
  SF_ASSIGN_OR_RETURN(const Fragment bit, ReadBytes(value, view.b, 4));
  Fragment index = bit;
  if (view.keys != 0) {
    // Bit 0 follows bit 63 of the word before.
    Fragment back, stay;
    back.Const(8);
    stay.Const(0);
    Fragment first = bit;
    first.Emit(Op::kLogicalNot);
    code.Append(Merge(std::move(first), back, stay));
    code.Emit(Op::kSub);
    index.AddImm(63);
    index.Const(63);
    index.Emit(Op::kAnd);
  }
  code.Load(8, false);
  code.Append(index);
  code.Emit(Op::kShrU);
  code.Const(1);
  code.Emit(Op::kAnd);
  return Cell(BoolType(unit_), std::move(code), column);
}

Result<Value> Compiler::IteratorElement(const Value& value, uint32_t column) {
  const View view = ViewOf(value);
  if (view.layout == kAtBit) return BitElement(value, column);
  if (unit_.types[view.element].size_bytes == 0) {
    return Status(Code::kUnsupportedType, "column " + std::to_string(column) + ": " +
                                              Quote(value.type) + " cannot be dereferenced here");
  }
  SF_ASSIGN_OR_RETURN(Fragment code, ReadBytes(value, view.a, 8));
  code.Emit(Op::kDup);
  code.FailIfZero(Code::kBadExpression);
  if (view.keys != 0) {
    code.Emit(Op::kDrop);
    SF_ASSIGN_OR_RETURN(const Fragment before, StepBack(value));
    code.Append(before);
  }
  const bool in_node = view.layout != kAtElement && view.layout != kInDeque;
  if (in_node) code.AddImm(view.c);
  Value element;
  element.form = Form::kMemory;
  element.type = view.element;
  element.column = column;
  element.code = std::move(code);
  return Settle(std::move(element));
}

const View& Compiler::ViewOf(const Value& value) const {
  const View& view = unit_.views[TypeOf(value).view];
  if (view.kind != ViewKind::kCustom) return view;
  const View& items = unit_.views[view.b];
  return WalksAlike(items) ? items : view;
}

// Of whichever items the object's numbers choose, when all are counted by the same number.
Result<Fragment> Compiler::CustomCount(const Value& object) {
  const View& view = unit_.views[TypeOf(object).view];
  std::optional<View> counted;
  const bool agree = EachItemsView(unit_, view, [&](const View& items) {
    if (items.kind == ViewKind::kChoice) return true;
    const bool same =
        !counted || (counted->b == items.b && counted->left == items.left &&
                     counted->right == items.right && counted->size_bytes == items.size_bytes);
    if (!IsCounted(items) || !same) return false;
    counted = items;
    return true;
  });
  if (!agree || !counted) {
    return BadExpression(object.column, Quote(object.type) + " has no size that is known");
  }
  SF_ASSIGN_OR_RETURN(Fragment code, ReadBytes(object, counted->b,
                                               counted->size_bytes == 0 ? 8 : counted->size_bytes));
  if (!HasPartialNumber(counted->kind)) return code;
  if (counted->left != 0) {
    code.Const(counted->left);
    code.Emit(Op::kShrU);
  }
  if (counted->right != 0) {
    code.Const((uint64_t{1} << counted->right) - 1);
    code.Emit(Op::kAnd);
  }
  return code;
}

}  // namespace stillframe::expression
