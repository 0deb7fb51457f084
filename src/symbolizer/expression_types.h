// C++ type rules over the plan's type table. Internal to the expression compiler.
#ifndef STILLFRAME_SYMBOLIZER_EXPRESSION_TYPES_H_
#define STILLFRAME_SYMBOLIZER_EXPRESSION_TYPES_H_

#include <optional>
#include <string>
#include <string_view>

#include "plan/plan.h"
#include "symbolizer/expression_lexer.h"

namespace stillframe::expression {

// 4 or 8; false for floating point.
uint32_t SizeOf(Number number);
bool IsSigned(Number number);
bool IsFloating(Number number);
// The common type of the usual arithmetic conversions ([expr.arith.conv]).
Number CommonType(Number left, Number right);

// The type after integer promotion ([conv.prom]); nullopt when it is not arithmetic (or too wide:
// 128-bit integers, long double). Scoped enumerations count as their underlying type.
// `bit_size` = width of the bit-field that the value comes from, 0 = none.
std::optional<Number> PromotedType(const PlanUnit& unit, TypeId type, uint32_t bit_size);
// Whether a value of the type is sign-extended when it is read.
bool IsSignedStorage(const PlanUnit& unit, const TypeNode& type);
bool IsScopedEnum(const TypeNode& type);
// Same type but for cv-qualifiers and typedef names, as far as the table tells.
bool IsSameEnum(const PlanUnit& unit, TypeId left, TypeId right);

// Finds the type or appends it. `number` as a type: "int", "unsigned long", "double".
// A type that needs no debug information: "unsigned long", "void", "uint32_t", "std::size_t";
// nullopt for any other name.
std::optional<TypeId> BuiltinType(PlanUnit& unit, std::string_view name);
// The same class but for cv-qualifiers, as far as the table tells.
bool IsSameClass(const PlanUnit& unit, TypeId left, TypeId right);
std::string_view StripQualifiers(std::string_view name);
TypeId NumberType(PlanUnit& unit, Number number);
TypeId BoolType(PlanUnit& unit);
TypeId CharType(PlanUnit& unit);
TypeId ConstCharType(PlanUnit& unit);
TypeId NullptrType(PlanUnit& unit);
TypeId PointerTo(PlanUnit& unit, TypeId target);
TypeId ArrayOf(PlanUnit& unit, TypeId element, uint32_t count);

}  // namespace stillframe::expression

#endif  // STILLFRAME_SYMBOLIZER_EXPRESSION_TYPES_H_
