// C++ expressions over variables -> bytecode. A subset without calls or side effects:
//   || && ! == != < <= > >= + - * / % & | ^ ~ << >> unary - * &  . -> [] ( ) ?:
//   integers (dec, hex, octal, binary, suffixes, ' separators), floats, chars, strings, true,
//   false, nullptr, enumerators by (qualified) name, `this`,
//   .size() .length() .empty() of strings and containers, .has_value() of optional,
//   .get() of smart pointers, front()/back() of sequences, [] of arrays, pointers, vectors, arrays.
//   String comparison == != of std::string, string_view, char* with literals.
// Members reach through references, smart pointers (->, *), optional (->, *) and anonymous unions.
// C++ arithmetic conversions apply (int promotion, signed/unsigned, double).
#ifndef STILLFRAME_SYMBOLIZER_EXPRESSION_H_
#define STILLFRAME_SYMBOLIZER_EXPRESSION_H_

#include <string_view>

#include "base/status.h"
#include "plan/plan.h"
#include "symbolizer/scope.h"

namespace stillframe {

// Longest accepted text, in bytes (Google's limit).
inline constexpr size_t kMaxExpressionBytes = 2048;

// Appends to unit.code a program that leaves 0 or 1. Errors: kBadExpression ("column 7: …", columns
// from 1, in bytes), kUnknownVariable ("column 1: no variable 'custmer' here; near: customer"),
// kRedacted, kOptimizedOut and other reasons of a variable that is unavailable at this place.
Result<Program> CompileCondition(std::string_view text, Scope& scope, PlanUnit& unit);

// Compiles a watch: a Variable whose name is the text. An lvalue keeps its location and type so
// that containers and structs can be shown whole; anything else is a kValue. The same errors.
Result<Variable> CompileWatch(std::string_view text, Scope& scope, PlanUnit& unit);

// Syntax only: OK or kBadExpression.
Status CheckExpressionSyntax(std::string_view text);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_EXPRESSION_H_
