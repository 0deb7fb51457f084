// libdw and libelf, loaded when the first tracepoint arrives.
//
// The symbolizer calls libdw by its ordinary names. In the agent these names are hidden jumps
// through a table that LoadDw() fills, so that libstillframe.so does not need libdw to load and an
// idle agent does not pay for it.
#ifndef STILLFRAME_AGENT_DW_STUBS_DW_STUBS_H_
#define STILLFRAME_AGENT_DW_STUBS_DW_STUBS_H_

#include "base/status.h"

namespace stillframe::agent {

// Loads both libraries; must succeed before the symbolizer is used. kUnavailable names what is
// missing; every call then goes to a function that returns null, and modules have no debug
// information. Agent thread; may be called again.
Status LoadDw();

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_DW_STUBS_DW_STUBS_H_
