#include "symbolizer/array_bounds.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "symbolizer/dwarf_util.h"
#include "symbolizer/location_compiler_expression.h"
#include "symbolizer/type_builder.h"

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

struct ElementCount {
  Code code = Code::kUnsupportedLocation;
  std::vector<Insn> program;
};

ElementCount Failed(Code code) { return {code, {}}; }

// The artificial variable that holds it: Clang's "__vla_expr0", GCC's where it optimizes. It is as
// wide as size_t, but optimized code describes it by where the int is that it was made from, of
// which only the lower half is sure: no array has more elements than that can say.
ElementCount FromVariable(Dwarf_Die variable, const LocationContext& context) {
  ExpressionCompiler compiler(context);
  const Code code = compiler.RunVariable(variable);
  if (code != Code::kOk) return Failed(code);
  ElementCount count{Code::kOk, compiler.TakeProgram()};
  Dwarf_Attribute attribute;
  const unsigned form = dwarf_attr_integrate(&variable, DW_AT_location, &attribute) == nullptr
                            ? 0
                            : dwarf_whatform(&attribute);
  if (form != DW_FORM_exprloc && form != DW_FORM_block1 && form != 0) {
    count.program.insert(count.program.end() - 1, Make(Op::kExtend, 0, 4, 1));
  }
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

bool IsRbpSlot(std::span<const Dwarf_Op> ops) {
  return ops.size() == 2 && ops[0].atom == DW_OP_breg6 && static_cast<int64_t>(ops[0].number) < 0 &&
         ops[1].atom == DW_OP_deref;
}

ElementCount FromExpression(Dwarf_Attribute& attribute, const LocationContext& context,
                            bool has_rbp_slots) {
  Dwarf_Op* ops = nullptr;
  size_t size = 0;
  if (dwarf_getlocation(&attribute, &ops, &size) != 0) return Failed(Code::kUnsupportedLocation);
  const std::span<const Dwarf_Op> all(ops, size);
  if (AsksRegisters(all) && !(has_rbp_slots && IsRbpSlot(all))) {
    return Failed(Code::kUnsupportedLocation);
  }
  ExpressionCompiler compiler(context);
  const Code code = compiler.Run(attribute, all);
  if (code != Code::kOk) return Failed(code);
  return {Code::kOk, compiler.TakeProgram()};
}

std::optional<Dwarf_Die> SubrangeOf(const TypeBuilder::Dimension& dimension) {
  std::optional<Dwarf_Die> subrange;
  size_t index = 0;
  ForEachChild(dimension.array, [&](const Dwarf_Die& child) {
    if (Tag(child) == DW_TAG_subrange_type && index++ == dimension.index) subrange = child;
    return !subrange.has_value();
  });
  return subrange;
}

ElementCount CompileElementCount(std::optional<Dwarf_Die> subrange, const LocationContext& context,
                                 bool has_rbp_slots) {
  Dwarf_Attribute attribute;
  if (!subrange) return Failed(Code::kUnsupportedLocation);
  std::optional<uint64_t> constant = Unsigned(*subrange, DW_AT_count);
  if (const auto upper = Unsigned(*subrange, DW_AT_upper_bound); !constant && upper) {
    constant = *upper + 1;
  }
  if (constant) {
    return {Code::kOk, {Make(Op::kConst, static_cast<int64_t>(*constant)), Make(Op::kReturn, 0)}};
  }
  const bool is_count = dwarf_attr(&*subrange, DW_AT_count, &attribute) != nullptr;
  if (!is_count && dwarf_attr(&*subrange, DW_AT_upper_bound, &attribute) == nullptr) {
    return Failed(Code::kOptimizedOut);  // GCC: of an inner dimension, whose variable is gone
  }
  Dwarf_Die variable;
  ElementCount count = dwarf_formref_die(&attribute, &variable) != nullptr
                           ? FromVariable(variable, context)
                           : FromExpression(attribute, context, has_rbp_slots);
  if (count.code == Code::kOk && !is_count) {
    count.program.insert(count.program.end() - 1, Make(Op::kAddImm, 1));
  }
  return count;
}

}  // namespace

bool IsComputedBound(Dwarf_Die subrange) {
  const auto computed = [&subrange](unsigned name) {
    return dwarf_hasattr(&subrange, name) != 0 && !Unsigned(subrange, name);
  };
  return computed(DW_AT_count) || computed(DW_AT_upper_bound);
}

bool IsVariableArray(const Dwarf_Die& type) {
  Dwarf_Die array, next = type;
  for (int i = 0; i < kMaxChain; ++i) {
    if (dwarf_peel_type(&next, &array) != 0 || Tag(array) != DW_TAG_array_type) return false;
    bool varies = false;
    ForEachChild(array, [&varies](const Dwarf_Die& child) {
      varies = varies || (Tag(child) == DW_TAG_subrange_type && !Unsigned(child, DW_AT_count) &&
                          !Unsigned(child, DW_AT_upper_bound));
      return !varies;
    });
    const std::optional<Dwarf_Die> element = TypeOf(array);
    if (varies || !element) return varies;
    next = *element;
  }
  return false;
}

Extents CompileExtents(TypeId array, const LocationContext& context, const TypeBuilder& types,
                       PlanTables& tables, bool has_rbp_slots) {
  Extents extents;
  const auto is_counted = [&](TypeId type) {
    return (types.Node(type).flags & kFlagCountedByVariable) != 0;
  };
  for (; is_counted(array) && extents.programs.size() < kMaxExtents;
       array = types.Node(array).target) {
    const auto dimension = types.DimensionOf(array);
    ElementCount count = dimension
                             ? CompileElementCount(SubrangeOf(*dimension), context, has_rbp_slots)
                             : Failed(Code::kUnsupportedType);
    // What is inside is of no size at all.
    const TypeNode& element = types.Node(types.Node(array).target);
    if (count.code == Code::kOk && !is_counted(types.Node(array).target) &&
        element.size_bytes == 0) {
      count.code =
          (element.flags & kFlagUncounted) != 0 ? Code::kIncompleteType : Code::kUnsupportedType;
    }
    if (count.code != Code::kOk)
      count.program = {Make(Op::kFail, 0, static_cast<uint8_t>(count.code))};
    if (extents.code == Code::kOk) extents.code = count.code;
    extents.programs.push_back(tables.AddProgram(count.program));
  }
  if (is_counted(array)) return {Code::kUnsupportedType, {}};
  return extents;
}

}  // namespace stillframe::dwarf
