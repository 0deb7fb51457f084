// What memory of the process is readable, for guarded reads (memory.h). Agent thread only.
#ifndef STILLFRAME_AGENT_HIT_READABLE_RANGES_H_
#define STILLFRAME_AGENT_HIT_READABLE_RANGES_H_

#include <cstdint>

namespace stillframe::hit {

// Reads /proc/self/maps and publishes its readable ranges, when that is due: every half second;
// 20 ms after reads began to miss; never so often that looking takes more than half a percent of
// the thread's time. now_ns: CLOCK_MONOTONIC; 0 = now, whatever is due. Device memory is left out:
// reading it may do something.
void RefreshReadableRanges(int64_t now_ns);

// Withdraws the ranges and frees them. Call when no hit can be using them (WaitForQuiescence).
void FreeReadableRanges();

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_READABLE_RANGES_H_
