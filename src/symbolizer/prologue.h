// Whether a function's parameters can be read at its very first instruction.
#ifndef STILLFRAME_SYMBOLIZER_PROLOGUE_H_
#define STILLFRAME_SYMBOLIZER_PROLOGUE_H_

#include <elfutils/libdw.h>

namespace stillframe {

// True for code built without optimization: its parameters have one location for the whole
// function, the stack slot that the prologue stores them to, and are garbage before it has run.
// Optimized code describes each address by location lists, which hold at the entry too.
bool NeedsPrologueSkip(Dwarf_Die* unit, Dwarf_Die* function);

// Whether the line table marks a statement once for each copy of it, however its code was moved
// about: GCC's statement frontiers. Else whoever reads the marks sees where rows change.
bool MarksEachStatement(Dwarf_Die* unit);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_PROLOGUE_H_
