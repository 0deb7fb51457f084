// Writes an instruction so that it does at another address what it does at its own.
#ifndef STILLFRAME_AGENT_PROBE_ARCH_X86_64_RELOCATOR_H_
#define STILLFRAME_AGENT_PROBE_ARCH_X86_64_RELOCATOR_H_

#include "agent/probe/arch/x86_64/code_buffer.h"
#include "agent/probe/arch/x86_64/site.h"
#include "base/status.h"

namespace stillframe::probe::arch {

// Appends the site's instruction and the way back to the one behind it. The state on entry is the
// state at the site, but for a direct call, which the site itself has made already: its return
// address is on the stack and only the jump to the callee remains. No register, no flag and no
// live stack byte is used for it. buffer.in_reach() says whether every target could be reached.
void Relocate(const X86Site& site, CodeBuffer& buffer);

}  // namespace stillframe::probe::arch

#endif  // STILLFRAME_AGENT_PROBE_ARCH_X86_64_RELOCATOR_H_
