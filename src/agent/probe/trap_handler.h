// The handler of SIGTRAP behind probes that are an int3. Off unless a tracepoint asks for it.
//
// A trap costs microseconds a hit and can kill: in a thread that blocks SIGTRAP, or in a handler
// whose mask holds it, the kernel does not deliver but ends the process (measured). So the whole
// process is looked at first, again right after arming, and now and then while a trap is armed.
// What cannot be seen is refused by asking for opt-in: a thread that blocks SIGTRAP later, and a
// hit with less stack left than a signal frame needs, where no alternate stack is set.
//
// The handler stands in front of the host's: what is not ours goes on to it, with its flags and
// mask. It sends the thread on to the site's trampoline, so a hit is the same code as with a jump.
//
// Agent thread only, but for the handler itself.
#ifndef STILLFRAME_AGENT_PROBE_TRAP_HANDLER_H_
#define STILLFRAME_AGENT_PROBE_TRAP_HANDLER_H_

#include <cstdint>

#include "base/status.h"

namespace stillframe::probe {

// kUnsafeSite with the reason when a trap could kill now: a thread that blocks SIGTRAP (named), a
// signal handler that would, SIGTRAP ignored, a debugger attached.
Status CheckTrapIsSafe();

// From now on a trap at `address` continues at `trampoline`. Never forgotten again: a thread may be
// on its way into the handler for any time. Installs the handler if it is not in force. kOverLimit:
// too many addresses. kNotPermitted: the program replaced our handler by its own.
Status RouteTrap(uint64_t address, uint64_t trampoline);
// Takes the handler out if no trap is armed (`armed`), if the last one went more than a second
// before now_ns, and if no thread has a SIGTRAP waiting. Call now and then.
void ReleaseTraps(bool armed, int64_t now_ns);
// The host's handler stands where ours did: traps would go astray.
bool TrapHandlerIsLost();

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_TRAP_HANDLER_H_
