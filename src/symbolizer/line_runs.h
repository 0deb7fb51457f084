// Which runs of a line's rows stand for statements that the compiler did not mark.
#ifndef STILLFRAME_SYMBOLIZER_LINE_RUNS_H_
#define STILLFRAME_SYMBOLIZER_LINE_RUNS_H_

#include <vector>

#include "symbolizer/line_sites.h"

namespace stillframe {

// GCC marks no statements in instances of templates, while the line may be marked elsewhere: at the
// function's first instruction, in a lambda, in another instance. And of a statement whose code it
// moved, the mark may stay behind on another way.
//
// `sites` are a line's statements and runs (LinePartBits::kRun). Of the runs those stay that lie in
// a copy of the code, a function or an inlined call, without any statement of the line; and, if
// `stray`, those in a copy of which all statements are empty. Of the latter it takes the code to
// tell which are the statement's only trace on their way.
void DropMarkedRuns(ModuleDebug& debug, std::vector<LineSite>& sites, bool stray);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_LINE_RUNS_H_
