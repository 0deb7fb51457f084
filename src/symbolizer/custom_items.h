// What users' formatters say of a type's items, as views (plan/type_table.h), for
// container_custom.cc.
#ifndef STILLFRAME_SYMBOLIZER_CUSTOM_ITEMS_H_
#define STILLFRAME_SYMBOLIZER_CUSTOM_ITEMS_H_

#include <vector>

#include "plan/type_table.h"
#include "symbolizer/formatters.h"

namespace stillframe::dwarf {

class TypeBuilder;

// Adds the views of the items to the unit; `first` is the index of the one to begin with, 0 for no
// items. False: the type lacks a member or a type that they name, or has it in another form.
bool AddItems(TypeBuilder& types, TypeId id, const std::vector<FormatterItems>& items,
              uint32_t& first);

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_CUSTOM_ITEMS_H_
