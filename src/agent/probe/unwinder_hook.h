// Lets the program's unwinders find the frames of our code (frame_table.h): exceptions out of
// signal handlers, thread cancellation, profilers and crash handlers then get through a trampoline.
//
// libgcc's unwinder (GCC 12 and newer with glibc 2.35 and newer) asks _dl_find_object(3) for the
// frame information of each pc, through its import of that function. Such imports of the modules
// of the process are made to lead to a function of ours, which answers for our code and asks the C
// library about everything else. It takes no lock and may run in a signal handler, as the original.
//
// Why not __register_frame: before GCC 13 one registered frame makes every lookup of every unwind
// take a global lock, and a profiler's handler that unwinds while its thread throws waits for
// itself (measured with GCC 12: hung within three seconds, each time). Why not a function of that
// name in the agent: it would be there in every process that only carries the agent, and where the
// agent is loaded late it would not be found.
//
// Other unwinders are not reached: those that ask dl_iterate_phdr (libunwind, libgcc on older C
// libraries) and those that read files only (perf with DWARF stacks) stop at a trampoline, as at
// any code made at run time. Frame pointers lead through.
#ifndef STILLFRAME_AGENT_PROBE_UNWINDER_HOOK_H_
#define STILLFRAME_AGENT_PROBE_UNWINDER_HOOK_H_

#include <cstdint>

#include "base/status.h"

namespace stillframe::probe {

// Redirects the imports of all modules that are loaded now and were not looked at yet, and those
// that the lazy loader has resolved meanwhile. To be called before the first probe and whenever a
// module was loaded. kUnsupported with the reason where there is no such function. Takes the
// loader's lock. Agent thread, under LoaderGuard.
Status HookUnwinders();
// Puts the imports back as they were. The same thread and locks.
void UnhookUnwinders();
// Imports that lead to us.
uint32_t HookedImports();

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_UNWINDER_HOOK_H_
