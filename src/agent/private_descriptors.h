// The agent thread's own table of file descriptors.
//
// A host may close every descriptor it does not know (close_range(3, ~0)) and get the numbers again
// for its own files: a library that keeps descriptors in the shared table then writes into, reads
// from or closes a stranger's (HAZARDS D2). It may also be out of descriptors (D10), check that it
// leaks none, or wait for the end of a pipe that a copy of ours would hold open. None of that can
// happen while the agent's thread has a table of its own, which begins empty: not even 0 to 2 are
// kept (they lead nowhere). What is the host's is fetched from the host's table when it is needed.
//
// Where the system does not allow it (before Linux 5.9, sandboxes) the table stays shared, and the
// callers' own checks of a descriptor's identity are what is left.
#ifndef STILLFRAME_AGENT_PRIVATE_DESCRIPTORS_H_
#define STILLFRAME_AGENT_PRIVATE_DESCRIPTORS_H_

#include "base/unique_fd.h"

namespace stillframe::agent {

// Gives the calling thread a table of its own, and makes log lines of this thread go to what the
// host's standard error is at that moment. Agent thread, first thing. False: it stays shared.
bool UsePrivateDescriptors();

// Whether it did. Any thread.
bool HasPrivateDescriptors();

// A duplicate, close-on-exec, of what number `fd` is in the host's table now. Not valid when it is
// closed there, or when the system does not let us have it. Agent thread.
UniqueFd HostDescriptor(int fd);

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_PRIVATE_DESCRIPTORS_H_
