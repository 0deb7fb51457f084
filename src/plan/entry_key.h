// What tells that a value is secret though its own name does not: the first of a pair, the name
// beside the value, {"password", "..."}.
#ifndef STILLFRAME_PLAN_ENTRY_KEY_H_
#define STILLFRAME_PLAN_ENTRY_KEY_H_

#include <string_view>

#include "plan/plan.h"

namespace stillframe {

struct EntryNames {
  std::string_view value, key;
};
inline constexpr EntryNames kEntryNames[] = {{"second", "first"},  {"value", "name"},
                                             {"value", "key"},     {"value_", "name_"},
                                             {"value_", "key_"},   {"m_value", "m_name"},
                                             {"m_value", "m_key"}, {"val", "name"},
                                             {"val", "key"},       {"v", "k"}};

// The member beside the one called `name` that is its key; nullptr: there is none.
inline const Member* KeyMemberOf(const PlanUnit& unit, const TypeNode& node,
                                 std::string_view name) {
  for (const EntryNames& names : kEntryNames) {
    if (name != names.value) continue;
    for (uint64_t i = node.first_member; i < uint64_t{node.first_member} + node.member_count; ++i) {
      if (i >= unit.members.size()) break;
      const Member& member = unit.members[i];
      if (member.name < unit.strings.size() && unit.strings[member.name] == names.key)
        return &member;
    }
  }
  return nullptr;
}

// Whether values of the type can tell what something else is: texts and enumerators, not numbers.
inline bool MayName(const PlanUnit& unit, TypeId type) {
  if (unit.types[type].kind == TypeKind::kReference) type = unit.types[type].target;
  switch (unit.types[type].kind) {
    case TypeKind::kBool:
    case TypeKind::kSigned:
    case TypeKind::kUnsigned:
    case TypeKind::kFloat:
      return false;
    default:
      return true;
  }
}

// The variable of a source-level frame that is the key of its `index`-th; nullptr: there is none.
// Of a structured binding the first name is the others' key.
inline const Variable* KeyVariableOf(const PlanUnit& unit, const VirtualFrame& frame,
                                     uint32_t index) {
  const Variable* const variables = unit.variables.data() + frame.first_variable;
  if ((variables[index].flags & kVariableBinds) != 0) {
    for (uint32_t i = index; i-- != 0;) {
      if ((variables[i].flags & kVariableBindsFirst) != 0) return variables + i;
    }
  }
  for (const EntryNames& names : kEntryNames) {
    if (unit.strings[variables[index].name] != names.value) continue;
    for (uint32_t i = 0; i < frame.variable_count; ++i) {
      if (unit.strings[variables[i].name] == names.key) return variables + i;
    }
  }
  return nullptr;
}

}  // namespace stillframe

#endif  // STILLFRAME_PLAN_ENTRY_KEY_H_
