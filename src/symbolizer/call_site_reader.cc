#include "symbolizer/call_site_reader.h"

#include <dwarf.h>

#include <span>

#include "symbolizer/dwarf_util.h"
#include "symbolizer/location_compiler_expression.h"

namespace stillframe::dwarf {
namespace {

constexpr int kMaxDepth = 64;
constexpr size_t kMaxDies = 200'000;  // of one function

bool IsCallSite(int tag) { return tag == DW_TAG_call_site || tag == DW_TAG_GNU_call_site; }
bool IsParameter(int tag) {
  return tag == DW_TAG_call_site_parameter || tag == DW_TAG_GNU_call_site_parameter;
}
bool MayHoldCallSites(int tag) {
  return tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine ||
         tag == DW_TAG_try_block || tag == DW_TAG_catch_block;
}

bool IsTailCall(const Dwarf_Die& site) {
  return Flag(site, DW_AT_call_tail_call, false) || Flag(site, DW_AT_GNU_tail_call, false);
}

// Calls visit(site) for each call site of the function, until it returns false.
template <typename Visit>
bool ForEachCallSite(const Dwarf_Die& scope, int depth, size_t& left, Visit visit) {
  bool go_on = true;
  ForEachChild(scope, [&](const Dwarf_Die& child) {
    if (left == 0) return go_on = false;
    --left;
    const int tag = Tag(child);
    if (IsCallSite(tag)) return go_on = visit(child);
    if (MayHoldCallSites(tag) && depth < kMaxDepth) {
      go_on = ForEachCallSite(child, depth + 1, left, visit);
    }
    return go_on;
  });
  return go_on;
}

// The expression of the first of the two attributes that there is, as a program for its value.
Program ReadProgram(Dwarf_Die die, unsigned standard, unsigned gnu, const LocationContext& context,
                    PlanTables& tables) {
  Dwarf_Attribute attribute;
  Dwarf_Op* ops = nullptr;
  size_t count = 0;
  if ((dwarf_attr(&die, standard, &attribute) == nullptr &&
       dwarf_attr(&die, gnu, &attribute) == nullptr) ||
      dwarf_getlocation(&attribute, &ops, &count) != 0) {
    return {};
  }
  ExpressionCompiler compiler(context);
  if (compiler.Run(attribute, std::span<const Dwarf_Op>(ops, count)) != Code::kOk) return {};
  return tables.AddProgram(compiler.TakeProgram());
}

// The argument register that the parameter's location names; kEntryCells when it is another place.
uint8_t RegisterCellOf(Dwarf_Die parameter) {
  Dwarf_Attribute location;
  Dwarf_Op* ops = nullptr;
  size_t count = 0;
  if (dwarf_attr(&parameter, DW_AT_location, &location) == nullptr ||
      dwarf_getlocation(&location, &ops, &count) != 0 || count != 1) {
    return kEntryCells;
  }
  if (ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31) {
    return EntryCellOf(ops[0].atom - DW_OP_reg0);
  }
  return ops[0].atom == DW_OP_regx ? EntryCellOf(ops[0].number) : kEntryCells;
}

// Of what is passed at a call site; kAllEntryCells when it is neither in a register nor told to be
// a parameter that the callee does without.
uint8_t CellOf(const Dwarf_Die& site, const Dwarf_Die& passed) {
  if (const uint8_t cell = RegisterCellOf(passed); cell < kEntryCells) return cell;
  const bool gnu = Tag(passed) == DW_TAG_GNU_call_site_parameter;
  const auto parameter =
      Reference(passed, gnu ? DW_AT_abstract_origin : DW_AT_call_parameter, false);
  const auto callee = Reference(site, gnu ? DW_AT_abstract_origin : DW_AT_call_origin, false);
  return parameter && callee ? CellOfParameter(*callee, *parameter) : kAllEntryCells;
}

}  // namespace

uint8_t CellOfParameter(const Dwarf_Die& function, const Dwarf_Die& parameter) {
  const Dwarf_Die wanted = Origin(parameter);
  // The abstract instance has them all, in the order of the declaration that it specifies.
  Dwarf_Die abstract = function;
  for (int i = 0; i < kMaxDepth; ++i) {
    const auto origin = Reference(abstract, DW_AT_abstract_origin, false);
    if (!origin) break;
    abstract = *origin;
  }
  uint8_t cell = kAllEntryCells;
  uint64_t position = 0;
  ForEachChild(abstract, [&](const Dwarf_Die& child) {
    if (Tag(child) != DW_TAG_formal_parameter) return true;
    if (Origin(child).addr == wanted.addr) cell = ParameterCellOf(position);
    ++position;
    return cell == kAllEntryCells;
  });
  return cell;
}

std::optional<Dwarf_Die> FindCallSite(const Dwarf_Die& function, LinkAddress address) {
  std::optional<Dwarf_Die> found;
  size_t left = kMaxDies;
  ForEachCallSite(function, 0, left, [&](Dwarf_Die site) {
    const bool gnu = Tag(site) == DW_TAG_GNU_call_site;
    Dwarf_Attribute attribute;
    Dwarf_Addr value = 0;
    if (!IsTailCall(site) &&
        dwarf_attr(&site, gnu ? DW_AT_low_pc : DW_AT_call_return_pc, &attribute) != nullptr &&
        dwarf_formaddr(&attribute, &value) == 0 && value == address.value) {
      found = site;
    }
    return !found.has_value();
  });
  return found;
}

void AddCallParameters(const Dwarf_Die& site, const LocationContext& context, PlanTables& tables,
                       FramePlan& frame) {
  std::vector<CallParameter>& parameters = tables.unit().call_parameters;
  frame.first_parameter = static_cast<uint32_t>(parameters.size());
  ForEachChild(site, [&](const Dwarf_Die& child) {
    if (!IsParameter(Tag(child))) return true;
    CallParameter parameter;
    parameter.cell = CellOf(site, child);
    if (parameter.cell >= kAllEntryCells) return true;
    parameter.program =
        ReadProgram(child, DW_AT_call_value, DW_AT_GNU_call_site_value, context, tables);
    if (!parameter.program.empty()) parameters.push_back(parameter);
    return true;
  });
  frame.parameter_count = static_cast<uint32_t>(parameters.size()) - frame.first_parameter;
  frame.callee = ReadProgram(site, DW_AT_call_target, DW_AT_GNU_call_site_target, context, tables);
}

uint64_t NameHash(std::string_view linkage_name) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : linkage_name) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  }
  return hash | 1;
}

uint64_t ExternalNameHash(const Dwarf_Die& function) {
  if (!Flag(function, DW_AT_external)) return 0;
  const std::string_view linkage = LinkageName(function);
  const std::string_view name = linkage.empty() ? Name(function) : linkage;
  return name.empty() ? 0 : NameHash(name);
}

std::vector<TailCall> TailCalls(const Dwarf_Die& function) {
  std::vector<TailCall> calls;
  size_t left = kMaxDies;
  ForEachCallSite(function, 0, left, [&](const Dwarf_Die& site) {
    if (!IsTailCall(site)) return true;
    const bool gnu = Tag(site) == DW_TAG_GNU_call_site;
    const auto address = [&site](unsigned name) {
      Dwarf_Attribute attribute;
      Dwarf_Addr value = 0;
      Dwarf_Die die = site;
      const bool found =
          dwarf_attr(&die, name, &attribute) != nullptr && dwarf_formaddr(&attribute, &value) == 0;
      return LinkAddress(found ? value : 0);
    };
    calls.push_back({Reference(site, gnu ? DW_AT_abstract_origin : DW_AT_call_origin, false),
                     gnu ? LinkAddress() : address(DW_AT_call_pc),
                     address(gnu ? DW_AT_low_pc : DW_AT_call_return_pc)});
    return true;
  });
  return calls;
}

}  // namespace stillframe::dwarf
