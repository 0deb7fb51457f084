// The plan for throws: a site in the C++ runtime's __cxa_throw, which gets the object and its type.
#ifndef STILLFRAME_SYMBOLIZER_THROW_PLAN_H_
#define STILLFRAME_SYMBOLIZER_THROW_PLAN_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "plan/plan.h"
#include "symbolizer/elf_file.h"
#include "symbolizer/symbol_table.h"

namespace stillframe {

// Watches that the plan has, in this order: the type's name as std::type_info::name() gives it, and
// what() of what derives from std::logic_error or std::runtime_error of libstdc++.
inline constexpr std::string_view kThrowTypeWatch = "type";
inline constexpr std::string_view kThrowWhatWatch = "what()";

// `types`: mangled names, as std::type_info::name(), of the types that match; so does what derives
// from them by first bases. Empty: every throw. kFunctionNotFound when the module is not the one
// that defines __cxa_throw.
// `as_is`: only what begins with its base, so that the object's address is that of the base, too;
// what has it elsewhere is an error of the condition.
Result<ProbePlan> CompileThrow(const ElfFile& module, const SymbolTable& symbols,
                               const std::vector<std::string>& types, bool as_is,
                               const CaptureLimits& limits);
// The site through which every std::terminate goes, with the same watches for the exception that is
// being handled, where the runtime's code tells where it keeps it. `read_code`: from the module.
using CodeReader = std::function<std::vector<uint8_t>(LinkAddress, uint32_t)>;
Result<ProbePlan> CompileTerminate(const ElfFile& module, const SymbolTable& symbols,
                                   const CodeReader& read_code, const CaptureLimits& limits);

// What "shop::Error" may be called by std::type_info::name(): what the symbol table has as its
// typeinfo name, and how plain nested names are mangled.
std::vector<std::string> TypeInfoNames(const SymbolTable& symbols, std::string_view type);
std::string PlainTypeInfoName(std::string_view type);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_THROW_PLAN_H_
