#include "symbolizer/expression.h"

#include <memory>
#include <utility>

#include "plan/verifier.h"
#include "symbolizer/expression_compiler.h"

namespace stillframe {
namespace expression {

Result<Variable> Compiler::ToVariable(Value value) {
  Variable out;
  out.type = value.type;
  if (value.variable) {  // as it is, a reference included
    out.type = value.variable->type;
    out.location = value.variable->location;
  } else if (value.form == Form::kMemory && value.bit_size == 0) {
    out.location.kind = LocationKind::kMemory;
    SF_ASSIGN_OR_RETURN(out.location.program, Finish(unit_, std::move(value.code)));
    if (value.filter) {
      SF_ASSIGN_OR_RETURN(out.filter, Finish(unit_, *std::move(value.filter), kFilterLocals));
    }
  } else if (value.form == Form::kPlaced && value.bit_size == 0 && value.code.insns().empty()) {
    SF_ASSIGN_OR_RETURN(out.location, Slice(value));
  } else {
    SF_ASSIGN_OR_RETURN(Value cell, Load(value));
    const TypeNode& type = TypeOf(cell);
    if (type.kind == TypeKind::kFloat && type.size_bytes == 4) cell.code.Emit(Op::kF64ToF32);
    out.type = cell.type;
    out.location.kind = LocationKind::kValue;
    SF_ASSIGN_OR_RETURN(out.location.program, Finish(unit_, std::move(cell.code)));
  }
  out.recovered = InternString(unit_, recovered_);
  return out;
}

}  // namespace expression

Result<Program> CompileCondition(std::string_view text, Scope& scope, PlanUnit& unit,
                                 uint32_t items) {
  SF_ASSIGN_OR_RETURN(const std::unique_ptr<expression::Node> tree, expression::Parse(text));
  expression::Compiler compiler(scope, unit, items);
  SF_ASSIGN_OR_RETURN(const expression::Value value, compiler.Compile(*tree));
  SF_ASSIGN_OR_RETURN(expression::Fragment code, compiler.ToBool(value));
  return expression::Finish(unit, std::move(code));
}

Result<Variable> CompileWatch(std::string_view text, Scope& scope, PlanUnit& unit, uint32_t items) {
  SF_ASSIGN_OR_RETURN(const std::unique_ptr<expression::Node> tree, expression::Parse(text));
  expression::Compiler compiler(scope, unit, items);
  SF_ASSIGN_OR_RETURN(expression::Value value, compiler.Compile(*tree));
  SF_ASSIGN_OR_RETURN(Variable variable, compiler.ToVariable(std::move(value)));
  variable.name = expression::InternString(unit, text);
  SF_RETURN_IF_ERROR(scope.AddExtents(variable));
  return variable;
}

Status CheckExpressionSyntax(std::string_view text) { return expression::Parse(text).status(); }

}  // namespace stillframe
