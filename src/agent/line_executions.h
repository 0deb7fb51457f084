// Which sites of a line count its executions.
//
// A line has several statement addresses where its parts are apart (a call's arguments and the
// call, the three parts of a `for`) and where the compiler copied it (unrolled and peeled loops).
// One execution of the line is one hit: of its parts only those are probed that begin one.
#ifndef STILLFRAME_AGENT_LINE_EXECUTIONS_H_
#define STILLFRAME_AGENT_LINE_EXECUTIONS_H_

#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include "agent/code_graph.h"
#include "base/address.h"
#include "plan/plan.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::agent {

struct LinePart {
  uint64_t address = 0;
  uint32_t part = 0;
};

// A function's code, and where it runs other lines.
struct FunctionCode {
  uint64_t entry = 0;
  std::vector<CodePart> parts;
  std::set<uint64_t> without_return;  // see CodeGraph::Build
  std::vector<uint64_t> other_lines;  // addresses where statements of other lines begin
  // Ascending: from where on instructions belong to other lines, and to the line itself.
  std::vector<uint64_t> other_rows, own_rows;
  // Whether statements are told from other code of a line. GCC forgets in functions that it clones
  // with link-time optimization.
  bool marks_statements = true;
};

// For each site whether it is to be probed: not when, whichever way control came there, another
// site of the line ran before in the same execution. One ends where the site itself runs again, or
// its part in another copy once control has been on another line (line_copies.h). Where statements
// are not marked, what leads to a loop's executions on every way was computed ahead. Of runs of
// rows beside statements (plan/line_part.h) those begin one that no statement precedes or follows
// on any way. What is not understood (code that cannot be decoded, a site outside of the parts, too
// much of it) is probed, but for those. Pure.
std::vector<bool> BeginExecutions(const FunctionCode& code, std::span<const LinePart> sites);

// Takes the sites that begin no execution out of the plan and returns their addresses.
std::vector<LinkAddress> DropContinuations(SymbolModule& module, ProbePlan& plan);

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_LINE_EXECUTIONS_H_
