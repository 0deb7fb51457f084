// Call frame information of the code that we made, by address.
//
// Written by the agent thread only; looked up by any thread, in signal handlers too, while it is
// being written: no lock, no allocation. A range that a thread's pc or a return address of it lies
// in must not be removed, which the rules for the code itself imply (ProbeCodeArena, trampolines).
#ifndef STILLFRAME_AGENT_PROBE_FRAME_TABLE_H_
#define STILLFRAME_AGENT_PROBE_FRAME_TABLE_H_

#include <cstdint>
#include <vector>

namespace stillframe::probe {

struct FoundFrames {
  uint64_t start = 0;  // the range that holds the pc
  uint64_t size_bytes = 0;
  const uint8_t* header = nullptr;  // as of an .eh_frame_hdr section (LSB); lives on after Remove
};

// `eh_frame` is the contents of an .eh_frame section for [start, start + size_bytes) with absolute
// addresses. What was there before is replaced. Without memory for it the code has no frames.
// Agent thread.
void AddFrames(uint64_t start, uint32_t size_bytes, const std::vector<uint8_t>& eh_frame);
// Nobody runs that code any more. Nothing when there is none. Agent thread.
void RemoveFrames(uint64_t start);
// False when the pc is in none of the ranges. Any thread, async-signal-safe.
bool FindFrames(uint64_t pc, FoundFrames& found);
// Ranges that are known now. Agent thread.
uint32_t FrameCount();

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_FRAME_TABLE_H_
