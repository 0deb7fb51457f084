#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "symbolizer/data_imports.h"
#include "symbolizer/dwarf_util.h"
#include "symbolizer/location_compiler.h"
#include "symbolizer/location_compiler_expression.h"

namespace stillframe::dwarf {
namespace {

constexpr uint64_t kMaxPlaceBytes = 16;  // of an expression: a constant and an operation

// What a symbol's value would be: an address, or an offset into the module's thread-local block.
struct StaticPlace {
  uint64_t value;
  bool is_thread_local;
  bool is_indexed;  // not by the expression itself
};

// Of an operation that pushes a number which the file gives.
std::optional<uint64_t> ConstantOf(Dwarf_Attribute& attribute, const Dwarf_Op& op) {
  if (op.atom == DW_OP_addr || (op.atom >= DW_OP_const1u && op.atom <= DW_OP_consts)) {
    return op.number;
  }
  return IndexedNumber(attribute, op);
}

std::optional<StaticPlace> PlaceOf(Dwarf_Die variable, DataImports& imports) {
  Dwarf_Attribute attribute;
  Dwarf_Op* ops = nullptr;
  size_t count = 0;
  Dwarf_Block block;
  if (dwarf_attr_integrate(&variable, DW_AT_location, &attribute) == nullptr ||
      dwarf_formblock(&attribute, &block) != 0 || block.length > kMaxPlaceBytes) {
    return std::nullopt;  // libdw is not asked for more: it keeps what it has read
  }
  if (dwarf_getlocation(&attribute, &ops, &count) != 0 || count == 0) return std::nullopt;
  std::optional<uint64_t> value = ConstantOf(attribute, ops[0]);
  const bool is_thread_local = count == 2 && (ops[1].atom == DW_OP_form_tls_address ||
                                              ops[1].atom == DW_OP_GNU_push_tls_address);
  const bool is_address = ops[0].atom == DW_OP_addr || ops[0].atom == DW_OP_addrx ||
                          ops[0].atom == DW_OP_GNU_addr_index;
  const bool is_indexed = ops[0].atom == DW_OP_constx || ops[0].atom == DW_OP_GNU_const_index;
  if (value && is_thread_local && is_indexed) value = imports.ThreadLocalOffset(*value);
  if (!value || (!is_thread_local && !is_address)) return std::nullopt;
  return StaticPlace{*value, is_thread_local, is_indexed};
}

bool IsDeclared(const Dwarf_Die& variable) {
  return Flag(variable, DW_AT_declaration, false) && Flag(variable, DW_AT_external);
}

// How the module's code comes to the object.
std::vector<Insn> CodeOf(const DataImports::Place& place) {
  const Insn first = MakeInsn(Op::kModuleAddress, static_cast<int64_t>(place.address.value));
  const Insn load = MakeInsn(Op::kLoad, 0, 8);
  switch (place.kind) {
    case DataImports::PlaceKind::kObject:
      return {first, MakeInsn(Op::kReturn)};
    case DataImports::PlaceKind::kPointer:
      return {first, load, MakeInsn(Op::kReturn)};
    case DataImports::PlaceKind::kThreadOffset:
      return {first, load, MakeInsn(Op::kThreadOffset), MakeInsn(Op::kReturn)};
    case DataImports::PlaceKind::kThreadIndex:
      break;
  }
  const Insn second = MakeInsn(Op::kModuleAddress, static_cast<int64_t>(place.address.value + 8));
  return {first,
          load,
          MakeInsn(Op::kThreadBlock),
          second,
          load,
          MakeInsn(Op::kAdd),
          MakeInsn(Op::kReturn)};
}

// The object's address as the loader gave it to the module; nullopt when the module's code does not
// ask for it.
std::optional<Program> LoadedAddress(const Dwarf_Die& variable,
                                     const std::optional<StaticPlace>& own_place,
                                     DataImports& imports, PlanTables& tables) {
  const Dwarf_Die origin = Origin(variable);
  const std::string linkage(LinkageName(origin));
  const std::string own = linkage.empty() ? std::string(Name(origin)) : linkage;
  std::vector<std::string> names{own};
  if (!IsDeclared(variable)) {
    if (!own_place) return std::nullopt;
    names = own_place->is_thread_local ? imports.ThreadLocalsAt(own_place->value)
                                       : imports.ExportedAt(LinkAddress(own_place->value));
    const bool is_named = std::find(names.begin(), names.end(), own) != names.end();
    // A function's static variable has a symbol, but no linkage name.
    if (is_named || !linkage.empty()) names = {own};
  }
  std::optional<DataImports::Place> place;
  for (const std::string& name : names) {
    const auto found = imports.Find(name);
    if (!found) continue;
    if (place) return std::nullopt;  // two names for one object here may be two objects elsewhere
    place = found;
  }
  if (!place) return std::nullopt;
  return tables.AddProgram(CodeOf(*place));
}

bool MayBePreempted(const std::optional<StaticPlace>& place, DataImports& imports) {
  return place && imports.MayBePreempted(place->value, place->is_thread_local);
}

}  // namespace

bool MayBePreempted(const Dwarf_Die& variable, DataImports* imports) {
  return imports != nullptr && MayBePreempted(PlaceOf(variable, *imports), *imports);
}

void FollowLoader(const Dwarf_Die& variable, DataImports* imports, PlanTables& tables,
                  Location& location) {
  const bool is_missing = location.kind == LocationKind::kUnavailable && IsDeclared(variable);
  const auto place = imports == nullptr ? std::nullopt : PlaceOf(variable, *imports);
  const bool is_indexed = place && place->is_thread_local && place->is_indexed;
  const bool is_preempted = (location.kind == LocationKind::kMemory || is_indexed) && place &&
                            MayBePreempted(place, *imports);
  if (!is_missing && !is_preempted && !is_indexed) return;
  std::optional<Program> address;
  if (is_indexed && !is_preempted) {
    address = tables.AddProgram(std::vector<Insn>{
        MakeInsn(Op::kThreadLocal, static_cast<int64_t>(place->value)), MakeInsn(Op::kReturn)});
  } else if (imports != nullptr) {
    address = LoadedAddress(variable, place, *imports, tables);
  }
  location = Location{};
  location.reason = Code::kUnsupportedLocation;
  if (!address) return;
  location.kind = LocationKind::kMemory;
  location.reason = Code::kOk;
  location.program = *address;
}

}  // namespace stillframe::dwarf
