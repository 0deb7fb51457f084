// Reads of the target that cannot fault. Hit-path contract as in hit.h.
//
// Three ways, from cheap to dear:
//  1. Direct, for the page that holds the probed frame's stack pointer: the trampoline has just
//     pushed there, so it is mapped and readable as long as this thread is in the hit.
//  2. Guarded: a plain copy whose fault a signal handler turns into "unreadable". Only for memory
//     that was readable moments ago: inside a range of the last look at the process's maps (agent
//     thread, readable_ranges_control.cc), or on a page that a system call read within the last
//     second (for what was mapped since). A wild pointer meets neither and goes to way 3.
//  3. A system call: one process_vm_readv for many ranges, or pread of /proc/self/mem.
//
// Why not the cheaper designs: a list of mapped ranges alone is not safe against munmap, and a bare
// guarded copy makes every wild pointer a signal and kills a thread that blocks SIGSEGV. What is
// left for the handler is memory that was unmapped since the last look. The guarded way is taken
// only while the handlers in force are ours (the agent thread asks the kernel every 10 ms) and this
// thread blocks neither signal (asked once per thread and such turn). So a crash would take three
// things at once: a pointer of the program that is stale, its memory unmapped since the last look,
// and a mask or handler changed within the last turn. Asking more often was measured: three system
// calls every millisecond cost a thread with rare hits 3 us for each of them.
#ifndef STILLFRAME_AGENT_HIT_MEMORY_H_
#define STILLFRAME_AGENT_HIT_MEMORY_H_

#include <cstdint>

#include "agent/hit/interpreter.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {

SF_HIT_PATH_BEGIN

struct ReadRequest {
  uint64_t address;
  uint8_t* out;
  uint32_t size_bytes;
  uint32_t done_bytes;  // result: less than size_bytes when the rest is unreadable
};

inline constexpr uint32_t kMaxBatch = 64;

// One system call for all when all are readable; goes on behind each that is not. At most
// kMaxBatch. `iovecs` is room for 2 * kMaxBatch of them (off the application's stack).
struct IoVec {
  uint64_t base;
  uint64_t size_bytes;
};
void ReadBatch(ReadRequest* requests, uint32_t count, IoVec* iovecs);

// Of size_bytes at address, those in the range of the last look that holds the address; all of them
// when no range does. A hint, to ask for no more than is there.
uint32_t ClipToRange(uint64_t address, uint32_t size_bytes);

// How many of size_bytes at address a read may give, by the last look; 0 when the address is in no
// range and not near one, or nobody looked. `is_known`: it is in one; else it may have been mapped
// since (the heap grows). Costs no read, and a miss is no reason for another look.
uint32_t LikelyReadable(uint64_t address, uint32_t size_bytes, bool& is_known);

// Bytes readable from the start, 0..size_bytes.
uint32_t ReadSome(uint64_t address, void* out, uint32_t size_bytes);

// Reader for conditions and node chasing, started anew for each hit.
class FastReader {
 public:
  // stack_pointer: the application's, as at the site. Here, where little of the stack is used yet,
  // and not at a read, the thread finds out whether guarded reads are usable.
  void Start(uint64_t stack_pointer);
  bool Read(uint64_t address, void* out, uint32_t size_bytes);
  MemoryReader reader() { return {&ReadThunk, this}; }

 private:
  static bool ReadThunk(void* self, uint64_t address, void* out, uint32_t size_bytes);
  // Each is a frame of its own, whatever the compiler would rather do.
  __attribute__((noinline)) bool ReadElsewhere(uint64_t address, void* out, uint32_t size_bytes);
  __attribute__((noinline)) bool ReadRange(uint64_t address, void* out, uint32_t size_bytes);
  __attribute__((noinline)) bool ReadProven(uint64_t address, void* out, uint32_t size_bytes);
  __attribute__((noinline)) bool Prove(uint64_t address, void* out, uint32_t size_bytes);

  uint64_t stack_pointer_ = 0;
  uint64_t now_ = 0;  // time stamp, taken at the first read that needs one
};

SF_HIT_PATH_END

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_MEMORY_H_
