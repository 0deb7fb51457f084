// Users' formatters as views: every path is looked up in the type table, and a type that does not
// have the members is shown as if there were no formatter.
#include "symbolizer/container_rules.h"
#include "symbolizer/custom_items.h"
#include "symbolizer/custom_paths.h"
#include "symbolizer/type_builder.h"
#include "symbolizer/type_builder_simplify.h"

namespace stillframe::dwarf {
namespace {

bool AddMember(TypeBuilder& types, TypeId id, const std::string& name, const MemberPath& path,
               uint8_t flags, std::vector<Member>& out) {
  const auto field = FindMember(types, id, id, path);
  if (!field) return false;
  Member member = MemberOf(types, name, *field);
  member.flags |= flags;
  if (RedactsPath(types, path) || RedactsPath(types, {name})) member.flags |= kMemberRedacted;
  out.push_back(member);
  return true;
}

}  // namespace

const Formatter* FindFormatter(const TypeBuilder& types, std::string_view raw_name) {
  const DefinitionFinder* finder = types.finder();
  const Formatters* formatters = finder == nullptr ? nullptr : finder->formatters();
  if (formatters == nullptr || formatters->empty()) return nullptr;
  return formatters->Find(SimplifyTypeName(raw_name));
}

std::optional<View> DetectCustom(TypeBuilder& types, TypeId id, const Formatter& formatter) {
  if (formatter.raw) return View{};
  View view = MakeView(ViewKind::kCustom);
  std::vector<Member> members;
  for (const MemberPath& path : formatter.summary_paths) {
    if (!AddMember(types, id, path.back(), path, kMemberInSummary, members)) return std::nullopt;
  }
  for (const Formatter::Child& child : formatter.children) {
    if (!AddMember(types, id, child.name, child.path, 0, members)) return std::nullopt;
  }
  if (!AddItems(types, id, formatter.items, view.b)) return std::nullopt;
  view.a = types.tables().Intern(formatter.summary);
  AppendMembers(types, members, view);
  return view;
}

}  // namespace stillframe::dwarf
