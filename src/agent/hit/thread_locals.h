// Where a thread's thread-local variables are. Hit-path contract: no allocation, lock, lazy TLS,
// logging, exception; no call out of hit/; bounded loops; general registers only.
#ifndef STILLFRAME_AGENT_HIT_THREAD_LOCALS_H_
#define STILLFRAME_AGENT_HIT_THREAD_LOCALS_H_

#include <cstdint>

#include "agent/hit/interpreter.h"
#include "base/status.h"

namespace stillframe::hit {

// The block of the frame's thread for the module with that number. What __tls_get_addr would do for
// a block that is not there yet, allocating it, is not done: kThreadLocalNotAllocated, also where
// what the thread has is a block of another module that had the number before.
// kUnsupportedLocation: the module has none, or the thread is not known. kUnreadable.
Code ThreadLocalBlock(const FrameContext& frame, uint64_t module, const MemoryReader& memory,
                      uint64_t& block);

// What stands `offset` from the thread pointer (initial-exec model). Blocks are below it (psABI
// §3.4.1 "variant II"): another offset is what stays for a weak symbol that nobody defines,
// kThreadLocalNotAllocated.
Code ThreadLocalAt(const FrameContext& frame, uint64_t offset, uint64_t& address);

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_THREAD_LOCALS_H_
