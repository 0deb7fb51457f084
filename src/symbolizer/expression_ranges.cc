// any, all and count over the elements of a container: loops, bounded by the element limit and by
// the work that an evaluation has (plan/program.h).
#include <utility>

#include "symbolizer/expression_compiler.h"

namespace stillframe::expression {

// How a loop goes over a range. The fragments use locals that belong to it until it is done.
struct Compiler::Cursor {
  Fragment begin;    // sets the locals; the number of elements is on the stack, if it is counted
  Fragment next;     // moves on; not behind the last element
  Value element;     // in a round
  uint8_t left = 0;  // local: how many are still to be looked at
  uint8_t more = 0;  // local: not 0 when there are more than the limit
  uint8_t at = 0;    // local: where it is
  uint32_t column = 1;
  bool counted = true;  // else the chain ends with a null link
};

Result<uint8_t> Compiler::NewLocal(uint32_t column) {
  if (locals_ >= kMaxLocals) return BadExpression(column, "too many ranges inside each other");
  return locals_++;
}

Result<Compiler::Cursor> Compiler::RowCursor(const Value& range, Cursor cursor) {
  TypeId element = kVoidType;
  SF_ASSIGN_OR_RETURN(cursor.begin, PushExtent(range, element));
  cursor.begin.Emit(Op::kSwap);
  cursor.begin.Set(cursor.at);
  cursor.next.Get(cursor.at);
  cursor.next.AddImm(unit_.types[element].size_bytes);
  cursor.next.Set(cursor.at);
  cursor.element.form = Form::kMemory;
  cursor.element.type = element;
  cursor.element.code.Get(cursor.at);
  return cursor;
}

Result<Compiler::Cursor> Compiler::ChainCursor(const Value& range, Cursor cursor) {
  const View view = ViewOf(range);
  cursor.counted = view.layout != kUncounted;
  if (cursor.counted) {
    SF_ASSIGN_OR_RETURN(cursor.begin, PushCount(range));
  }
  SF_ASSIGN_OR_RETURN(const Fragment first, ReadBytes(range, view.a, 8));
  cursor.begin.Append(first);
  cursor.begin.Set(cursor.at);
  cursor.next.Get(cursor.at);
  if (view.kind == ViewKind::kTree) {
    cursor.next.Emit(Op::kTreeNext, view.left, view.right, view.parent);
  } else {
    cursor.next.AddImm(view.left);
    cursor.next.Load(8, false);
  }
  cursor.next.Set(cursor.at);
  cursor.element.form = Form::kMemory;
  cursor.element.type = view.element;
  cursor.element.code.Get(cursor.at);
  cursor.element.code.AddImm(view.c);
  return cursor;
}

Result<Compiler::Cursor> Compiler::DequeCursor(const Value& range, Cursor cursor) {
  SF_ASSIGN_OR_RETURN(const uint8_t blocks, NewLocal(cursor.column));
  SF_ASSIGN_OR_RETURN(cursor.begin, DequeCount(range));
  SF_ASSIGN_OR_RETURN(const Fragment start, DequeStart(range, blocks, cursor.at));
  cursor.begin.Append(start);
  cursor.next.Get(cursor.at);
  cursor.next.AddImm(1);
  cursor.next.Set(cursor.at);
  Fragment zero;
  zero.Const(0);
  cursor.element.form = Form::kMemory;
  cursor.element.type = ViewOf(range).element;
  cursor.element.code = DequeElement(ViewOf(range), blocks, cursor.at, zero);
  return cursor;
}

Result<Compiler::Cursor> Compiler::BitCursor(const Value& range, Cursor cursor) {
  SF_ASSIGN_OR_RETURN(const uint8_t bytes, NewLocal(cursor.column));
  SF_ASSIGN_OR_RETURN(cursor.begin, PushCount(range));
  SF_ASSIGN_OR_RETURN(const Fragment begin, BitsBegin(range));
  cursor.begin.Append(begin);
  cursor.begin.Set(bytes);
  cursor.begin.Const(0);
  cursor.begin.Set(cursor.at);
  cursor.next.Get(cursor.at);
  cursor.next.AddImm(1);
  cursor.next.Set(cursor.at);
  Fragment bit;
  bit.Get(bytes);
  bit.Get(cursor.at);
  EmitBit(bit);
  cursor.element = Cell(BoolType(unit_), std::move(bit), cursor.column);
  return cursor;
}

Result<Compiler::Cursor> Compiler::MakeCursor(const Value& range, uint32_t column) {
  if (TypeOf(range).kind == TypeKind::kArray && TypeOf(range).count == 0) {
    return BadExpression(column, "how many elements " + Quote(range.type) + " has is not known");
  }
  Cursor cursor;
  cursor.column = column;
  for (uint8_t* local : {&cursor.left, &cursor.more, &cursor.at}) {
    SF_ASSIGN_OR_RETURN(*local, NewLocal(column));
  }
  if (HasExtent(range)) return RowCursor(range, std::move(cursor));
  switch (ViewOf(range).kind) {
    case ViewKind::kTree:
    case ViewKind::kHash:
      return ChainCursor(range, std::move(cursor));
    case ViewKind::kDeque:
      return DequeCursor(range, std::move(cursor));
    case ViewKind::kBits:
    case ViewKind::kBitset:
      return BitCursor(range, std::move(cursor));
    default:
      return BadExpression(column, Quote(range.type) + " is no range");
  }
}

// [count] -> the locals `left`, at most the limit, and `more`.
static void EmitLimit(Fragment& code, uint8_t left, uint8_t more, uint32_t limit) {
  code.Set(left);
  code.Const(limit);
  code.Get(left);
  code.Emit(Op::kLtU);
  code.Set(more);
  code.Get(more);
  const size_t few = code.Jump(Op::kJumpIfZero);
  code.Const(limit);
  code.Set(left);
  code.Bind(few);
}

// `holds` pushes whether the condition holds for the element. any and all end where they are
// decided; what is beyond the limit is not known, so undecided there is an error.
Result<Fragment> Compiler::RangeLoop(const std::string& function, const Cursor& cursor,
                                     const Fragment& holds, uint8_t sum) {
  const bool counts = function == "count";
  Fragment code = cursor.begin;
  if (!cursor.counted) code.Const(items_);
  EmitLimit(code, cursor.left, cursor.more, items_);
  const auto fail_if_more = [&] {
    code.Get(cursor.more);
    code.Emit(Op::kLogicalNot);
    code.FailIfZero(Code::kLimit);
  };
  if (counts) {
    fail_if_more();
    code.Const(0);
    code.Set(sum);
  }
  const size_t top = code.Here();
  std::vector<size_t> ends;
  code.Get(cursor.left);
  ends.push_back(code.Jump(Op::kJumpIfZero));
  if (!cursor.counted) {
    code.Get(cursor.at);
    ends.push_back(code.Jump(Op::kJumpIfZero));
  }
  code.Append(holds);
  std::optional<size_t> decided;
  if (counts) {
    code.Get(sum);
    code.Emit(Op::kAdd);
    code.Set(sum);
  } else {
    decided = code.Jump(function == "any" ? Op::kJumpIfNonZero : Op::kJumpIfZero);
  }
  code.Get(cursor.left);
  code.AddImm(~uint64_t{0});
  code.Set(cursor.left);
  if (cursor.counted) {  // nothing is read behind the last one
    code.Get(cursor.left);
    ends.push_back(code.Jump(Op::kJumpIfZero));
  }
  code.Append(cursor.next);
  code.Loop(top);
  for (const size_t end : ends) code.Bind(end);
  if (!cursor.counted) {
    code.Get(cursor.at);
    code.Set(cursor.more);
  }
  if (!counts || !cursor.counted) fail_if_more();
  if (counts) {
    code.Get(sum);
    return code;
  }
  code.Const(function == "any" ? 0 : 1);
  const size_t out = code.Jump(Op::kJump);
  code.Bind(*decided);
  code.Const(function == "any" ? 1 : 0);
  code.Bind(out);
  return code;
}

// Whether the condition of the range holds for the element.
Result<Fragment> Compiler::Holds(const Node& node, const Value& element) {
  elements_.emplace_back(node.type, element);
  const auto condition = Compile(*node.child[1]);
  elements_.pop_back();
  if (!condition.ok()) return condition.status();
  return ToBool(*condition);
}

Result<Value> Compiler::Range(const Node& node, const std::string& function) {
  SF_ASSIGN_OR_RETURN(const Value operand, Compile(*node.child[0]));
  SF_ASSIGN_OR_RETURN(const Value range, Unwrap(operand));
  if (range.form == Form::kLiteral || TypeOf(range).kind == TypeKind::kPointer || range.filter) {
    return BadExpression(node.column, Quote(range.type) + " is no range");
  }
  const uint8_t before = locals_;
  SF_ASSIGN_OR_RETURN(Cursor cursor, MakeCursor(range, node.column));
  SF_ASSIGN_OR_RETURN(const uint8_t sum, NewLocal(node.column));
  cursor.element.column = node.column;
  if (cursor.element.form == Form::kMemory) {
    SF_ASSIGN_OR_RETURN(cursor.element, Settle(std::move(cursor.element)));
  }
  SF_ASSIGN_OR_RETURN(const Fragment holds, Holds(node, cursor.element));
  SF_ASSIGN_OR_RETURN(Fragment code, RangeLoop(function, cursor, holds, sum));
  locals_ = before;
  if (function == "count") return NumberCell(Number::kULong, std::move(code), node.column);
  return Cell(BoolType(unit_), std::move(code), node.column);
}

// Of what is shown element by element.
Result<TypeId> Compiler::ElementType(const Value& range, uint32_t column) const {
  const View& view = ViewOf(range);
  switch (view.kind) {
    case ViewKind::kSequence:
    case ViewKind::kInlineArray:
    case ViewKind::kCounted:
    case ViewKind::kDeque:
    case ViewKind::kTree:
    case ViewKind::kHash:
      return view.element;
    default:
      break;
  }
  if (TypeOf(range).kind == TypeKind::kArray && !IsText(range)) return TypeOf(range).target;
  return BadExpression(column, Quote(range.type) + " cannot be filtered");
}

// A watch of the range, with the program that tells whether an element is shown. It runs when the
// snapshot is put together, over the memory that the hit copied.
Result<Value> Compiler::Filter(const Node& node) {
  if (locals_ != 0) return BadExpression(node.column, "filter stands outside of other ranges");
  SF_ASSIGN_OR_RETURN(const Value operand, Compile(*node.child[0]));
  SF_ASSIGN_OR_RETURN(Value range, Unwrap(operand));
  if (range.form != Form::kMemory || range.filter) {
    return BadExpression(node.column, "what is filtered must be a container in memory");
  }
  SF_ASSIGN_OR_RETURN(const TypeId type, ElementType(range, node.column));
  SF_ASSIGN_OR_RETURN(const uint8_t local, NewLocal(node.column));  // 0
  Value element;
  element.form = Form::kMemory;
  element.type = type;
  element.column = node.column;
  element.code.Get(local);
  SF_ASSIGN_OR_RETURN(element, Settle(std::move(element)));
  SF_ASSIGN_OR_RETURN(range.filter, Holds(node, element));
  locals_ = 0;
  range.column = node.column;
  range.variable.reset();
  return range;
}

}  // namespace stillframe::expression
