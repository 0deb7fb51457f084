// The several functions that one constructor or destructor is.
//
// The Itanium C++ ABI makes up to three of each (5.1.4.3: C1, C2, C3, D0, D1, D2), and GCC one more
// that the others call (C4, D4). Some have the source's code themselves, others call one that has:
// the deleting destructor calls the complete one and then operator delete. They too have rows of
// the line where the source's function begins and ends, but do not run it.
#ifndef STILLFRAME_AGENT_VARIANT_CALLS_H_
#define STILLFRAME_AGENT_VARIANT_CALLS_H_

#include <cstdint>
#include <set>
#include <span>

#include "agent/code_graph.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::agent {

// Whether every way through the function from its entry, but those of exceptions, comes by a call
// of one of `functions`, a jump to its beginning, or an instruction at one of `inlined`. False when
// not all of the code is understood. Pure.
bool AlwaysCalls(std::span<const CodePart> parts, uint64_t entry,
                 const std::set<uint64_t>& functions, const std::set<uint64_t>& inlined);

// Whether each run of the site comes, without another in between, with one of the others: they run
// on every way that leads from it, or on every way to it. False when not all of the code is
// understood. Pure.
bool IsNextToOneOf(std::span<const CodePart> parts, uint64_t entry, uint64_t site,
                   const std::set<uint64_t>& others);

// Takes the sites out of the plan that lie in a constructor or destructor which always calls
// another variant of itself, if that has sites too; inlined ones as well.
void DropCallersOfVariants(SymbolModule& module, ProbePlan& plan);

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_VARIANT_CALLS_H_
