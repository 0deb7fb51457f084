// std::any: the types that the module puts into one, found by the functions that manage them.
#include <string>

#include "symbolizer/class_index.h"
#include "symbolizer/container_fields.h"
#include "symbolizer/container_rules.h"
#include "symbolizer/type_builder.h"

namespace stillframe::dwarf {

std::optional<View> DetectAny(TypeBuilder& types, TypeId id) {
  const auto manager = FindEither(types, id, {{"_M_manager"}, {"__h_"}});
  const auto storage = FindEither(types, id, {{"_M_storage"}, {"__s_"}});
  if (!manager || !storage || !IsPointer(types, manager->type)) return std::nullopt;
  View view = MakeView(ViewKind::kAny);
  view.a = manager->offset;
  view.b = storage->offset;
  DefinitionFinder* const finder = types.finder();
  ClassIndex* const classes = finder == nullptr ? nullptr : finder->classes();
  const Dwarf_Die* die = types.DieOf(id);
  if (classes == nullptr || die == nullptr) return view;
  const Dwarf_Die near = *die;
  std::vector<Derived> held;
  for (const ClassRange& range : classes->AnyManagers()) {
    const std::optional<Dwarf_Die> handler = finder->FindClass(near, range.class_name);
    if (!handler || held.size() >= kMaxDerived) continue;
    const std::vector<Dwarf_Die> arguments = TemplateTypes(*handler);
    if (arguments.empty()) continue;
    const bool on_heap = range.class_name.find("_Manager_external<") != std::string::npos ||
                         range.class_name.find("_LargeHandler<") != std::string::npos;
    if (types.Node(types.Complete(arguments[0], id)).kind == TypeKind::kReference) continue;
    held.push_back(
        {range.start.value, range.end.value, types.Complete(arguments[0], id), on_heap ? 1u : 0u});
  }
  types.SetDerived(id, std::move(held));
  return view;
}

}  // namespace stillframe::dwarf
