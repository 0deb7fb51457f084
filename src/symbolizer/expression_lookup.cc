// What a map holds under a key, and whether a set holds it. Nothing is ever inserted.
#include "symbolizer/expression_compiler.h"

namespace stillframe::expression {

// A search under construction. `node` and `cell` are locals; so are the key's cells.
struct Compiler::Search {
  View view;
  Key key;
  uint32_t column = 1;
  uint8_t node = 0, cell = 0, key_cell = 0, key_length = 0;
  std::vector<size_t> found, missing;  // jumps
};

namespace {

constexpr uint64_t kBucketCountAt = 8;  // of libstdc++'s _Hashtable, behind the buckets' pointer

// Of which std::hash is the identity (kKeysIdentity). Not of enumerations: a program may specialize
// it for its own types.
bool IsHashedByItself(TypeKind kind) {
  return kind == TypeKind::kSigned || kind == TypeKind::kUnsigned || kind == TypeKind::kBool ||
         kind == TypeKind::kChar;
}

// Pops nothing; pushes a fresh comparison's operands: the node's number, then the key's.
void PushBoth(Fragment& code, uint8_t node_cell, uint8_t key_cell) {
  code.Get(node_cell);
  code.Get(key_cell);
}

}  // namespace

bool Compiler::HasKeys(const Value& object) const {
  if (object.form == Form::kLiteral) return false;
  // A user's formatter does not tell when two keys are the same.
  if (unit_.views[TypeOf(object).view].kind == ViewKind::kCustom) return false;
  const View& view = ViewOf(object);
  const bool keyed = view.kind == ViewKind::kTree || view.kind == ViewKind::kHash;
  return keyed && (view.key_value != 0 || (view.keys & kKeysNamed) != 0);
}

Result<Compiler::Key> Compiler::MakeKey(const Value& object, const Value& key, uint32_t column) {
  const View view = ViewOf(object);
  Key out;
  out.type = view.element;
  if (view.key_value != 0) {
    const FoundMember first = FindMember(view.element, "first", 0);
    if (first.matches != 1) return BadExpression(column, "the keys of this map are not known");
    out.type = first.member.type;
    if (first.redacted) {
      return Status(Code::kRedacted,
                    "column " + std::to_string(column) + ": the keys are redacted");
    }
  }
  if ((unit_.types[out.type].flags & kFlagRedacted) != 0) {
    return Status(Code::kRedacted, "column " + std::to_string(column) + ": the keys are redacted");
  }
  Value probe;  // stands for a key of the container
  probe.form = Form::kMemory;
  probe.type = out.type;
  if (IsText(probe) && TypeOf(probe).kind != TypeKind::kPointer) {
    out.is_text = true;
    if (!IsText(key)) {
      return BadExpression(key.column, "the key must be a string, not " + Quote(key.type));
    }
    if (key.form == Form::kLiteral) {
      // The decoder hides what stands under such a key, too.
      if (scope_.RedactsName(key.text)) {
        return Status(Code::kRedacted,
                      "column " + std::to_string(key.column) + ": '" + key.text + "' is redacted");
      }
      out.literal = key.text;
    } else {
      SF_ASSIGN_OR_RETURN(out.code, PushText(key));
    }
    return out;
  }
  const auto wanted = PromotedType(unit_, out.type, 0);
  const auto given =
      key.form == Form::kLiteral ? std::nullopt : PromotedType(unit_, key.type, key.bit_size);
  if (!wanted || IsFloating(*wanted)) {
    return BadExpression(column, "keys of type " + Quote(out.type) + " cannot be looked up");
  }
  const bool scoped = IsScopedEnum(unit_.types[out.type]);
  const bool fits =
      given && !IsFloating(*given) &&
      (IsScopedEnum(TypeOf(key)) || scoped ? IsSameEnum(unit_, key.type, out.type) : true);
  if (!fits) {
    return BadExpression(key.column,
                         "the key must be " + Quote(out.type) + ", not " +
                             (key.form == Form::kLiteral ? "a string" : Quote(key.type)));
  }
  SF_ASSIGN_OR_RETURN(const Value cell, CastNumber(key, out.type, column));
  out.code = cell.code;
  return out;
}

// The key of the node: its number, or its address and length.
Result<Fragment> Compiler::NodeKey(const Search& search) {
  Value key;
  key.form = Form::kMemory;
  key.type = search.view.element;
  key.column = search.column;
  key.code.Get(search.node);
  key.code.AddImm(search.view.c);
  if (search.view.key_value != 0) {
    const FoundMember first = FindMember(search.view.element, "first", 0);
    key.code.AddImm(first.offset);
    key.type = first.member.type;
  }
  if (search.key.is_text) return PushText(key);
  SF_ASSIGN_OR_RETURN(Value cell, Load(key));
  return std::move(cell.code);
}

// Down the tree, by the order that its comparison is known to have.
Result<Fragment> Compiler::SearchTree(Search& search) {
  Fragment code;
  const View& view = search.view;
  const size_t top = code.Here();
  code.Get(search.node);
  search.missing.push_back(code.Jump(Op::kJumpIfZero));
  SF_ASSIGN_OR_RETURN(const Fragment key, NodeKey(search));
  code.Append(key);
  const bool reversed = (view.keys & kKeysGreater) != 0;
  if (search.key.is_text) {  // the cell is how the node's key compares with the wanted one
    int64_t literal = -1;
    if (search.key.literal) {
      literal = static_cast<int64_t>(InternString(unit_, *search.key.literal));
    } else {
      PushBoth(code, search.key_cell, search.key_length);
    }
    code.Emit(Op::kTextTest, static_cast<uint8_t>(TextTest::kOrder), 0, literal);
    code.Set(search.cell);
    code.Get(search.cell);
    search.found.push_back(code.Jump(Op::kJumpIfZero));
    code.Get(search.cell);
    code.Const(0);
    code.Emit(Op::kLtS);
  } else {
    code.Set(search.cell);
    PushBoth(code, search.cell, search.key_cell);
    code.Emit(Op::kEq);
    search.found.push_back(code.Jump(Op::kJumpIfNonZero));
    PushBoth(code, search.cell, search.key_cell);
    const auto number = PromotedType(unit_, search.key.type, 0);
    code.Emit(number && IsSigned(*number) ? Op::kLtS : Op::kLtU);
  }
  // On top: whether the node's key is the smaller one, so that it goes on to the right.
  const size_t left = code.Jump(reversed ? Op::kJumpIfNonZero : Op::kJumpIfZero);
  for (const bool right : {true, false}) {
    if (!right) code.Bind(left);
    code.Get(search.node);
    code.AddImm(right ? view.right : view.left);
    code.Load(8, false);
    code.Set(search.node);
    code.Loop(top);
  }
  return code;
}

// One after the other: without an order there is no shorter way, and hashes are the library's.
Result<Fragment> Compiler::SearchChain(Search& search) {
  Fragment code;
  SF_ASSIGN_OR_RETURN(const uint8_t left, NewLocal(search.column));
  code.Set(left);  // the number of elements lies on the stack
  const size_t top = code.Here();
  for (const uint8_t ends : {left, search.node}) {
    code.Get(ends);
    search.missing.push_back(code.Jump(Op::kJumpIfZero));
  }
  SF_ASSIGN_OR_RETURN(const Fragment key, NodeKey(search));
  code.Append(key);
  if (search.key.is_text && !search.key.literal) PushBoth(code, search.key_cell, search.key_length);
  if (search.key.is_text) {
    const int64_t literal =
        search.key.literal ? static_cast<int64_t>(InternString(unit_, *search.key.literal)) : -1;
    code.Emit(Op::kTextTest, static_cast<uint8_t>(TextTest::kEqual), 0, literal);
  } else {
    code.Get(search.key_cell);
    code.Emit(Op::kEq);
  }
  search.found.push_back(code.Jump(Op::kJumpIfNonZero));
  code.Get(left);
  code.AddImm(~uint64_t{0});
  code.Set(left);
  code.Get(left);
  search.missing.push_back(code.Jump(Op::kJumpIfZero));
  code.Get(search.node);
  if (search.view.kind == ViewKind::kTree) {
    code.Emit(Op::kTreeNext, search.view.left, search.view.right, search.view.parent);
  } else {
    code.AddImm(search.view.left);
    code.Load(8, false);
  }
  code.Set(search.node);
  code.Loop(top);
  return code;
}

// Where the hash of a key is its number: the chain of its bucket, as _Hashtable does it. The bucket
// points to the node before its first; its end is a node of another bucket.
Result<Fragment> Compiler::SearchBucket(Search& search) {
  Fragment code;
  const View& view = search.view;
  SF_ASSIGN_OR_RETURN(const uint8_t count, NewLocal(search.column));
  code.Set(count);  // of buckets; search.node holds the container's address
  code.Get(count);
  code.FailIfZero(Code::kImplausible);
  code.Get(search.node);
  code.Load(8, false);
  code.Get(search.key_cell);
  code.Get(count);
  code.Emit(Op::kModU);
  code.Const(3);
  code.Emit(Op::kShl);
  code.Emit(Op::kAdd);
  code.Load(8, false);
  code.Set(search.node);  // the node before the first
  code.Get(search.node);
  search.missing.push_back(code.Jump(Op::kJumpIfZero));
  const size_t top = code.Here();
  code.Get(search.node);
  code.AddImm(view.left);
  code.Load(8, false);
  code.Set(search.node);
  code.Get(search.node);
  search.missing.push_back(code.Jump(Op::kJumpIfZero));
  SF_ASSIGN_OR_RETURN(const Fragment key, NodeKey(search));
  code.Append(key);
  code.Set(search.cell);
  PushBoth(code, search.cell, search.key_cell);
  code.Emit(Op::kEq);
  search.found.push_back(code.Jump(Op::kJumpIfNonZero));
  for (const uint8_t one : {search.cell, search.key_cell}) {
    code.Get(one);
    code.Get(count);
    code.Emit(Op::kModU);
  }
  code.Emit(Op::kEq);
  search.missing.push_back(code.Jump(Op::kJumpIfZero));
  code.Loop(top);
  return code;
}

Result<Value> Compiler::Lookup(const Value& object, const Value& key, bool only_whether,
                               uint32_t column) {
  Search search;
  search.view = ViewOf(object);
  search.column = column;
  const View& view = search.view;
  const bool multi = (view.keys & kKeysMany) != 0;
  if (!only_whether && (view.key_value == 0 || multi)) {
    return BadExpression(column, Quote(object.type) + " has no []");
  }
  if (object.form != Form::kMemory) {
    return Status(Code::kUnsupportedLocation,
                  "column " + std::to_string(column) + ": the container is not in memory");
  }
  SF_ASSIGN_OR_RETURN(search.key, MakeKey(object, key, column));
  const bool ordered =
      view.kind == ViewKind::kTree && (view.keys & (kKeysLess | kKeysGreater)) != 0;
  // Everything that is computed elsewhere first: only then the locals belong to the search.
  Fragment code = search.key.code;
  code.Append(object.code);
  const uint8_t before = locals_;
  for (uint8_t* local : {&search.node, &search.cell, &search.key_cell, &search.key_length}) {
    SF_ASSIGN_OR_RETURN(*local, NewLocal(column));
  }
  code.Set(search.node);
  if (search.key.is_text && !search.key.literal) code.Set(search.key_length);
  if (!search.key.literal) code.Set(search.key_cell);
  if (!only_whether) {
    if (search.key.is_text && !search.key.literal && !scope_.NameList().empty()) {
      PushBoth(code, search.key_cell, search.key_length);
      FailIfSecretText(code);
    }
    if (!search.key.is_text) FailIfSecretEnumerator(code, search.key_cell, search.key.type);
  }
  const bool by_bucket = (view.keys & kKeysIdentity) != 0 && (view.keys & kKeysEqual) != 0 &&
                         !search.key.is_text && IsHashedByItself(unit_.types[search.key.type].kind);
  if (!ordered) {
    code.Get(search.node);
    code.AddImm(by_bucket ? kBucketCountAt : view.b);
    code.Load(8, false);
  }
  if (!by_bucket) {
    code.Get(search.node);
    const uint32_t root = view.d + (view.layout == kLibcxx ? view.left : view.parent);
    code.AddImm(ordered ? root : view.a);
    code.Load(8, false);
    code.Set(search.node);
  }
  const size_t start = code.Here();
  SF_ASSIGN_OR_RETURN(Fragment loop, ordered     ? SearchTree(search)
                                     : by_bucket ? SearchBucket(search)
                                                 : SearchChain(search));
  code.Append(loop);
  for (std::vector<size_t>* jumps : {&search.found, &search.missing}) {
    for (size_t& jump : *jumps) jump += start;
  }
  locals_ = before;
  // With a comparison of the program's own, nobody but it knows that there is no such key.
  const bool sure = ordered || (view.keys & kKeysEqual) != 0;
  for (const size_t jump : search.missing) code.Bind(jump);
  if (!sure) {
    code.Fail(Code::kUnsupported);
  } else if (!only_whether) {
    code.Fail(Code::kNotFound);
  } else {
    code.Const(0);
  }
  std::optional<size_t> end;
  if (sure && only_whether) end = code.Jump(Op::kJump);
  for (const size_t jump : search.found) code.Bind(jump);
  if (only_whether) {
    code.Const(1);
    if (end) code.Bind(*end);
    return Cell(BoolType(unit_), std::move(code), column);
  }
  const FoundMember second = FindMember(view.element, "second", 0);
  if (second.matches != 1) return BadExpression(column, "the values of this map are not known");
  code.Get(search.node);
  code.AddImm(view.c + second.offset);
  Value value;
  value.form = Form::kMemory;
  value.type = second.member.type;
  value.column = column;
  value.code = std::move(code);
  if (second.redacted) {
    return Status(Code::kRedacted, "column " + std::to_string(column) + ": the value is redacted");
  }
  return Settle(std::move(value));
}

}  // namespace stillframe::expression
