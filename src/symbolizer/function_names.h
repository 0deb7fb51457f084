// How people name functions: parts of demangled names.
#ifndef STILLFRAME_SYMBOLIZER_FUNCTION_NAMES_H_
#define STILLFRAME_SYMBOLIZER_FUNCTION_NAMES_H_

#include <string>
#include <string_view>

namespace stillframe {

// "shop::Max<int>(int, int)" of "int shop::Max<int>(int, int) [clone .isra.0]": without the return
// type that template instances have, ABI tags and clone marks.
std::string PlainFunctionName(std::string_view demangled);
// The last component without template arguments: "Max"; "operator<" of operators.
std::string_view LastComponent(std::string_view wanted);
// Whether the function is named like its class: "Cart<int>::Cart(int)", "Cart::~Cart()". The ABI
// makes several functions of one such.
bool IsConstructorOrDestructor(std::string_view full_name);
// Coroutines are cut into parts, which the debug information calls by the coroutine's name (Clang)
// or by the name of their own argument (GCC); `symbol` is the demangled one. "f(int) [resumed]":
// what runs when it is resumed; [destroyed]; [cleaned up], destroyed without giving back its
// memory. `function` itself when it is no such part.
std::string NameCoroutinePart(std::string_view function, std::string_view symbol);
// A part that the compiler split off, not the function's beginning.
bool IsSplitPart(std::string_view demangled);
// What virtual calls through another base come by on their way to the function.
bool IsThunk(std::string_view demangled);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_FUNCTION_NAMES_H_
