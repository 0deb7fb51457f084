// C++ expressions over variables -> bytecode: the subset that docs/expressions.md describes. It has
// no side effects and calls no code of the program; what looks like a call is understood here.
#ifndef STILLFRAME_SYMBOLIZER_EXPRESSION_H_
#define STILLFRAME_SYMBOLIZER_EXPRESSION_H_

#include <string_view>

#include "base/status.h"
#include "plan/plan.h"
#include "symbolizer/scope.h"

namespace stillframe {

// Longest accepted text, in bytes (Google's limit).
inline constexpr size_t kMaxExpressionBytes = 2048;

// Appends to unit.code a program that leaves 0 or 1. `items`: how many elements of a range any, all
// and count look at. Errors: kBadExpression ("column 7: …", columns
// from 1, in bytes), kUnknownVariable ("column 1: no variable 'custmer' here; near: customer"),
// kRedacted, kOptimizedOut and other reasons of a variable that is unavailable at this place.
Result<Program> CompileCondition(std::string_view text, Scope& scope, PlanUnit& unit,
                                 uint32_t items = CaptureLimits{}.items);

// Compiles a watch: a Variable whose name is the text. An lvalue keeps its location and type so
// that containers and structs can be shown whole; anything else is a kValue. The same errors.
Result<Variable> CompileWatch(std::string_view text, Scope& scope, PlanUnit& unit,
                              uint32_t items = CaptureLimits{}.items);

// Syntax only: OK or kBadExpression.
Status CheckExpressionSyntax(std::string_view text);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_EXPRESSION_H_
