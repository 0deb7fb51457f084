// Which member of a pair, or of a structure of a name and a value, tells what another one is:
// {"password", "..."}.
#ifndef STILLFRAME_PLAN_ENTRY_KEY_H_
#define STILLFRAME_PLAN_ENTRY_KEY_H_

#include <string_view>

#include "plan/plan.h"

namespace stillframe {

struct EntryNames {
  std::string_view value, key;
};
inline constexpr EntryNames kEntryNames[] = {
    {"second", "first"}, {"value", "name"},     {"value", "key"},    {"value_", "name_"},
    {"value_", "key_"},  {"m_value", "m_name"}, {"m_value", "m_key"}};

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

}  // namespace stillframe

#endif  // STILLFRAME_PLAN_ENTRY_KEY_H_
