// What only a hit can tell to be a secret: a value whose key reads like one.
#include "base/name_list.h"
#include "plan/entry_key.h"
#include "symbolizer/expression_compiler.h"

namespace stillframe::expression {

void Compiler::FailIfSecretText(Fragment& code) {
  code.Emit(Op::kNameTest, 0, 0, static_cast<int64_t>(InternString(unit_, scope_.NameList())));
  code.Emit(Op::kLogicalNot);
  code.FailIfZero(Code::kRedacted);
}

void Compiler::FailIfSecretEnumerator(Fragment& code, uint8_t cell, TypeId type) {
  const TypeNode node = unit_.types[type];
  if (node.kind != TypeKind::kEnum) return;
  for (uint32_t i = 0; i < node.member_count; ++i) {
    const Enumerator& enumerator = unit_.enumerators[node.first_member + i];
    if (!scope_.RedactsName(unit_.strings[enumerator.name])) continue;
    code.Get(cell);
    code.Const(static_cast<uint64_t>(enumerator.value));
    code.Emit(Op::kNe);
    code.FailIfZero(Code::kRedacted);
  }
}

Result<Fragment> Compiler::CheckKey(const Value& key) {
  Fragment code;
  const TypeKind kind = TypeOf(key).kind;
  if (kind == TypeKind::kEnum) {
    SF_ASSIGN_OR_RETURN(const uint8_t cell, NewLocal(key.column));
    --locals_;  // nothing else runs while it is in use
    SF_ASSIGN_OR_RETURN(const Value number, Load(key));
    code = number.code;
    code.Set(cell);
    FailIfSecretEnumerator(code, cell, key.type);
    return code;
  }
  if (!IsText(key) || scope_.NameList().empty()) return code;
  if (kind != TypeKind::kPointer) {
    SF_ASSIGN_OR_RETURN(code, PushText(key));
    FailIfSecretText(code);
    return code;
  }
  SF_ASSIGN_OR_RETURN(const Value pointer, Load(key));
  code = pointer.code;
  const size_t null = code.Jump(Op::kJumpIfZero);
  code.Append(pointer.code);
  code.Emit(Op::kDup);
  code.Emit(Op::kTextLength, 0, 1, kMaxHitNameBytes);  // of a longer one the beginning
  FailIfSecretText(code);
  code.Bind(null);
  return code;
}

Result<Value> Compiler::GuardByKey(const Value& object, std::string_view name, Value member) {
  for (const EntryNames& names : kEntryNames) {
    if (names.value != name) continue;
    const FoundMember key = FindMember(object.type, names.key, 0);
    if (key.matches != 1 || key.in_virtual_base || key.redacted) continue;
    const FoundMember wanted = FindMember(object.type, name, 0);
    SF_ASSIGN_OR_RETURN(const bool guarded, GuardBy(object, {key.offset, key.member.type},
                                                    {wanted.offset, wanted.member.type}, member));
    if (guarded) break;
  }
  return member;
}

Result<Value> Compiler::GuardByFirst(const Value& object, const Member& wanted, Value element) {
  const Member first = unit_.members[ViewOf(object).first_member];
  if ((first.flags & kMemberRedacted) != 0) return element;
  const Result<bool> guarded = GuardBy(object, {first.offset_bytes, first.type},
                                       {wanted.offset_bytes, wanted.type}, element);
  if (!guarded.ok()) return guarded.status();
  return element;
}

Result<bool> Compiler::GuardBy(const Value& object, const PartOf& by, const PartOf& wanted,
                               Value& member) {
  if (unevaluated_) return false;
  Value whole = object;
  SF_ASSIGN_OR_RETURN(const uint8_t address, NewLocal(member.column));
  if (object.form == Form::kMemory) {
    whole.code = Fragment();
    whole.code.Get(address);
  }
  SF_ASSIGN_OR_RETURN(const Value key, Part(whole, by.offset, by.type));
  SF_ASSIGN_OR_RETURN(Fragment code, CheckKey(key));
  --locals_;
  if (code.insns().empty()) return false;
  if (object.form == Form::kMemory) {
    Fragment first = object.code;
    first.Set(address);
    first.Append(code);
    first.Get(address);
    whole.code = std::move(first);
  } else {
    whole.code = std::move(code);
  }
  const uint32_t column = member.column;
  SF_ASSIGN_OR_RETURN(member, Part(whole, wanted.offset, wanted.type));
  member.column = column;
  return true;
}

Result<Value> Compiler::GuardByVariable(const std::string& key, Value value) {
  const std::optional<ScopeVariable> found = unevaluated_ ? std::nullopt : scope_.Find(key);
  if (!found || (found->flags & kVariableRedacted) != 0) return value;
  if (found->location.kind == LocationKind::kUnavailable) {
    if (!MayName(unit_, found->type)) return value;
    return Status(Code::kRedacted, "column " + std::to_string(value.column) + ": '" + key +
                                       "', which may name a secret, has no value here");
  }
  Node node;
  node.text = key;
  node.column = value.column;
  ScopeVariable alone = *found;
  alone.key.clear();
  SF_ASSIGN_OR_RETURN(const Value shown, FromVariable(alone, node));
  SF_ASSIGN_OR_RETURN(Fragment code, CheckKey(shown));
  if (code.insns().empty()) return value;
  code.Append(value.code);
  value.code = std::move(code);
  value.variable.reset();
  return value;
}

Status Compiler::CheckRawMemory(uint32_t column) const {
  if (scope_.AllowsRawMemory()) return Status();
  return {Code::kRedacted, "column " + std::to_string(column) +
                               ": the operator's policy does not allow to compute pointers"};
}

}  // namespace stillframe::expression
