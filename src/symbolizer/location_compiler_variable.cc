// What a variable holds, in the middle of an expression: array bounds name variables, and GCC's
// DW_OP_GNU_variable_value asks for one.
#include <cstring>

#include "symbolizer/dwarf_util.h"
#include "symbolizer/location_compiler_expression.h"
#include "symbolizer/location_views.h"

namespace stillframe::dwarf {
namespace {

// Size and sign of an integer, an enumeration or a pointer of up to 8 bytes.
bool IntegerType(const Dwarf_Die& variable, uint8_t& size_bytes, bool& is_signed) {
  std::optional<Dwarf_Die> type = TypeOf(variable);
  Dwarf_Die peeled;
  Dwarf_Word size = 0;
  if (!type || dwarf_peel_type(&*type, &peeled) != 0 || dwarf_aggregate_size(&*type, &size) != 0) {
    return false;
  }
  if (size != 1 && size != 2 && size != 4 && size != 8) return false;
  size_bytes = static_cast<uint8_t>(size);
  const int tag = Tag(peeled);
  if (tag == DW_TAG_pointer_type || tag == DW_TAG_enumeration_type) return true;
  const uint64_t encoding = Unsigned(peeled, DW_AT_encoding).value_or(0);
  is_signed = encoding == DW_ATE_signed || encoding == DW_ATE_signed_char;
  return tag == DW_TAG_base_type && encoding != DW_ATE_float && encoding != DW_ATE_complex_float;
}

}  // namespace

Code ExpressionCompiler::RunVariable(const Dwarf_Die& variable) {
  const Code code = PushVariable(variable);
  is_value_ = code == Code::kOk;
  return code;
}

Code ExpressionCompiler::PushVariable(Dwarf_Die variable) {
  uint8_t size_bytes = 0;
  bool is_signed = false;
  if (depth_ > kMaxDepth || !IntegerType(variable, size_bytes, is_signed)) {
    return Code::kUnsupportedLocation;
  }
  Dwarf_Attribute attribute;
  std::span<const Dwarf_Op> ops;
  if (const int found = FindLocation(variable, context_, attribute, ops); found != kNoLocation) {
    if (found < 0) return Code::kUnsupportedLocation;
    if (found == 0 || ops.empty()) return Code::kOptimizedOut;
    return PushPlace(attribute, ops, size_bytes, is_signed);
  }
  if (dwarf_attr_integrate(&variable, DW_AT_const_value, &attribute) == nullptr) {
    return Code::kOptimizedOut;
  }
  Dwarf_Sword number = 0;
  if (dwarf_formsdata(&attribute, &number) != 0) return Code::kUnsupportedLocation;
  Emit(Op::kConst, 0, 0, number);
  Emit(Op::kExtend, size_bytes, is_signed ? 1 : 0);
  Push({});
  return Code::kOk;
}

Code ExpressionCompiler::PushPlace(Dwarf_Attribute& attribute, std::span<const Dwarf_Op> ops,
                                   uint8_t size_bytes, bool is_signed) {
  const Dwarf_Op& first = ops.front();
  const bool is_numbered = first.atom >= DW_OP_reg0 && first.atom <= DW_OP_reg31;
  if (ops.size() == 1 && (is_numbered || first.atom == DW_OP_regx)) {
    const Code code = PushRegister(is_numbered ? first.atom - DW_OP_reg0 : first.number, 0);
    if (code == Code::kOk) Emit(Op::kExtend, size_bytes, is_signed ? 1 : 0);
    return code;
  }
  ExpressionCompiler nested = Inner();
  const Code code = nested.Run(attribute, ops);
  if (code != Code::kOk) return code;
  const bool is_value = nested.is_value();
  std::vector<Insn> program = nested.TakeProgram();
  program.pop_back();  // kReturn: the value stays on the stack
  code_.insert(code_.end(), program.begin(), program.end());
  Emit(is_value ? Op::kExtend : Op::kLoad, size_bytes, is_signed ? 1 : 0);
  Push({});
  return Code::kOk;
}

}  // namespace stillframe::dwarf
