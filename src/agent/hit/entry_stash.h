// What argument registers held when a function was entered: written by a probe at its first
// instruction, read when a frame of that call is captured. Hit-path contract as in hit.h.
//
// One table for the process, not one per thread: fibers move between threads, and a thread's own
// table would keep an ended call's values for a stack that another thread has used since.
//
// A stash is found by three things: the id of the arming, which names the function, too, and is
// never used again; the canonical frame address; and the return address. While a call is alive no
// other call of the function has its frame address, and every call that begins while the probe is
// in the text writes: so what is found is of this call. A call that began before has nothing under
// this arming's id. The return address is for stacks that are copied about, where two calls take
// turns at one address.
//
// Slots are guarded by a sequence word, odd while one is written. A writer takes the slot of its
// own key, or else any that nobody writes, and then whatever stood there is gone: nothing older
// than the last call stays under a key, even where that call finds no room. A signal handler that
// leaves a writer by longjmp leaves its slot odd for ever: one of kStashSlots is lost.
#ifndef STILLFRAME_AGENT_HIT_ENTRY_STASH_H_
#define STILLFRAME_AGENT_HIT_ENTRY_STASH_H_

#include <atomic>
#include <cstdint>

#include "agent/hit/interpreter.h"
#include "agent/ring/hit_path.h"
#include "plan/record.h"

namespace stillframe::hit {

// A function whose entries are stashed for a tracepoint, or should be and are not. Agent thread
// writes, hits read; it lives as long as the probes that name it.
struct StashedFunction {
  uint64_t entry = 0;   // runtime address
  uint64_t probed = 0;  // of the probed instruction: the entry or a few instructions behind it
  // Of the arming; 0: it is not in force. Partner: hits, which may see it late but never early:
  // probes are in the text before it is set and leave it after it was cleared.
  std::atomic<uint64_t> id{0};
  uint32_t cells = 0;  // entry cells that are wanted, one bit each; of kStashCells
  int32_t cfa_offset = 0;
  uint8_t cfa_register = 0;  // DWARF number; CFA = register + offset at `probed`
  std::atomic<Code> absent{Code::kEntryNotProbed};  // why a frame of it has no stash; relaxed
};

struct ProbeRuntime;  // hit.h

inline constexpr uint32_t kStashWays = 4;
inline constexpr uint32_t kStashSets = 1024;
inline constexpr uint32_t kStashSlots = kStashWays * kStashSets;

SF_HIT_PATH_BEGIN

// The probed instruction is about to run. From any thread, also in a handler that interrupted a
// hit: no state but the table's is used.
void StashEntry(const StashedFunction& function, const RegisterFile& registers);

// The stash of the call with that frame, into cells, valid and stashed of `out`; what is there
// already is replaced. False: there is none.
bool ReadStash(const StashedFunction& function, uint64_t cfa, uint64_t return_address,
               EntryValues& out);

// The same for a frame of the function that begins at `entry`, when its entries are stashed for the
// probe; else nothing is changed and it is nullptr. Without a stash `absent` says why. `pc`: where
// the frame stands; where the entry has yet to be stashed there is none.
const StashedFunction* ReadFrameStash(const ProbeRuntime& probe, uint64_t entry, uint64_t pc,
                                      uint64_t cfa, uint64_t return_address, EntryValues& out);

// The same for the probe's site, as all that is known of it: `out` is cleared first.
void ReadSiteStash(const ProbeRuntime& probe, uint32_t site_index, uint64_t pc, uint64_t cfa,
                   const MemoryReader& memory, EntryValues& out);

SF_HIT_PATH_END

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_ENTRY_STASH_H_
