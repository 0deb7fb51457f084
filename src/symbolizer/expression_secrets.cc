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
  if (unevaluated_) return member;
  for (const EntryNames& names : kEntryNames) {
    if (names.value != name) continue;
    const FoundMember found = FindMember(object.type, names.key, 0);
    if (found.matches != 1 || found.in_virtual_base || found.redacted) continue;
    Value whole = object;
    SF_ASSIGN_OR_RETURN(const uint8_t address, NewLocal(member.column));
    if (object.form == Form::kMemory) {
      whole.code = Fragment();
      whole.code.Get(address);
    }
    SF_ASSIGN_OR_RETURN(const Value key, Part(whole, found.offset, found.member.type));
    SF_ASSIGN_OR_RETURN(Fragment code, CheckKey(key));
    --locals_;
    if (code.insns().empty()) continue;
    if (object.form == Form::kMemory) {
      Fragment first = object.code;
      first.Set(address);
      first.Append(code);
      first.Get(address);
      whole.code = std::move(first);
    } else {
      whole.code = std::move(code);
    }
    const FoundMember wanted = FindMember(object.type, name, 0);
    const uint32_t column = member.column;
    SF_ASSIGN_OR_RETURN(member, Part(whole, wanted.offset, wanted.member.type));
    member.column = column;
    return member;
  }
  return member;
}

Status Compiler::CheckRawMemory(uint32_t column) const {
  if (scope_.AllowsRawMemory()) return Status();
  return {Code::kRedacted, "column " + std::to_string(column) +
                               ": the operator's policy does not allow to compute pointers"};
}

}  // namespace stillframe::expression
