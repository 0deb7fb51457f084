#include "symbolizer/array_bounds.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "symbolizer/dwarf_util.h"
#include "symbolizer/location_compiler_expression.h"

namespace stillframe::dwarf {
namespace {

Insn Make(Op op, int64_t imm, uint8_t a = 0, uint8_t b = 0) {
  Insn insn;
  insn.op = op;
  insn.imm = imm;
  insn.a = a;
  insn.b = b;
  return insn;
}

ElementCount Failed(Code code) { return {code, {}}; }

// The artificial variable that holds it: Clang's "__vla_expr0", GCC's where it optimizes.
ElementCount FromVariable(const Dwarf_Die& variable, const LocationContext& context,
                          LocationCompiler& locations, PlanTables& tables) {
  std::optional<Dwarf_Die> type = TypeOf(variable);
  Dwarf_Word size_bytes = 0;
  if (!type || dwarf_aggregate_size(&*type, &size_bytes) != 0) {
    return Failed(Code::kUnsupportedLocation);
  }
  if (size_bytes != 4 && size_bytes != 8) return Failed(Code::kUnsupportedLocation);
  const auto size = static_cast<uint8_t>(size_bytes);
  const Location location = locations.Compile(variable, context, {size_bytes, false});
  if (location.kind == LocationKind::kUnavailable) return Failed(location.reason);
  ElementCount count{Code::kOk, {}};
  if (location.kind == LocationKind::kBytes) {
    int64_t number = 0;
    const std::string& bytes = tables.String(location.bytes);
    std::memcpy(&number, bytes.data(), std::min<size_t>(bytes.size(), size));
    count.program = {Make(Op::kConst, number), Make(Op::kReturn, 0)};
    return count;
  }
  const bool in_memory = location.kind == LocationKind::kMemory;
  if (!in_memory && location.kind != LocationKind::kValue) {
    return Failed(Code::kUnsupportedLocation);
  }
  const auto first = tables.unit().code.begin() + location.program.first;
  count.program.assign(first, first + location.program.count);
  // Programs of locations end in their only kReturn.
  const Insn last = in_memory ? Make(Op::kLoad, 0, size, 1) : Make(Op::kExtend, 0, size, 1);
  count.program.insert(count.program.end() - 1, last);
  return count;
}

// Such an expression holds wherever the array is in scope, so it may only ask the frame: GCC also
// writes registers there that are long overwritten.
bool AsksRegisters(std::span<const Dwarf_Op> ops) {
  return std::any_of(ops.begin(), ops.end(), [](const Dwarf_Op& op) {
    return (op.atom >= DW_OP_reg0 && op.atom <= DW_OP_breg31) || op.atom == DW_OP_regx ||
           op.atom == DW_OP_bregx || op.atom == DW_OP_regval_type ||
           op.atom == DW_OP_GNU_regval_type;
  });
}

ElementCount FromExpression(Dwarf_Attribute& attribute, const LocationContext& context) {
  Dwarf_Op* ops = nullptr;
  size_t size = 0;
  if (dwarf_getlocation(&attribute, &ops, &size) != 0) return Failed(Code::kUnsupportedLocation);
  const std::span<const Dwarf_Op> all(ops, size);
  if (AsksRegisters(all)) return Failed(Code::kUnsupportedLocation);
  ExpressionCompiler compiler(context);
  const Code code = compiler.Run(attribute, all);
  if (code != Code::kOk) return Failed(code);
  return {Code::kOk, compiler.TakeProgram()};
}

}  // namespace

bool IsComputedBound(Dwarf_Die subrange) {
  const auto computed = [&subrange](unsigned name) {
    return dwarf_hasattr(&subrange, name) != 0 && !Unsigned(subrange, name);
  };
  return computed(DW_AT_count) || computed(DW_AT_upper_bound);
}

ElementCount CompileElementCount(const Dwarf_Die& array, const LocationContext& context,
                                 LocationCompiler& locations, PlanTables& tables) {
  std::optional<Dwarf_Die> subrange;
  ForEachChild(array, [&](const Dwarf_Die& child) {
    if (Tag(child) == DW_TAG_subrange_type) subrange = child;
    return !subrange.has_value();
  });
  if (!subrange) return Failed(Code::kUnsupportedLocation);
  Dwarf_Attribute attribute;
  const bool is_count = dwarf_attr(&*subrange, DW_AT_count, &attribute) != nullptr;
  if (!is_count && dwarf_attr(&*subrange, DW_AT_upper_bound, &attribute) == nullptr) {
    return Failed(Code::kUnsupportedLocation);
  }
  Dwarf_Die variable;
  ElementCount count = dwarf_formref_die(&attribute, &variable) != nullptr
                           ? FromVariable(variable, context, locations, tables)
                           : FromExpression(attribute, context);
  if (count.code == Code::kOk && !is_count) {
    count.program.insert(count.program.end() - 1, Make(Op::kAddImm, 1));
  }
  return count;
}

}  // namespace stillframe::dwarf
