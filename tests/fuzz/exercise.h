// Everything that the agent and the command line ask of a module, asked of a hostile one.
#ifndef STILLFRAME_TESTS_FUZZ_EXERCISE_H_
#define STILLFRAME_TESTS_FUZZ_EXERCISE_H_

#include "symbolizer/symbolizer.h"

namespace stillframe::fuzz {

void Exercise(SymbolModule& module);

}  // namespace stillframe::fuzz

#endif  // STILLFRAME_TESTS_FUZZ_EXERCISE_H_
