// Throws of one tracepoint, told apart by a fingerprint: the thrown type and where it was thrown
// from. Each is captured once; what comes again is counted. Hit-path contract as in hit.h.
#ifndef STILLFRAME_AGENT_HIT_THROWS_H_
#define STILLFRAME_AGENT_HIT_THROWS_H_

#include <atomic>
#include <cstdint>

#include "agent/hit/hit.h"

namespace stillframe::hit {

// More kinds of throws than that are not told apart any more, and not captured.
inline constexpr uint32_t kThrowEntries = 256;

struct ThrowEntry {
  std::atomic<uint64_t> fingerprint;  // 0 = free; set once
  std::atomic<uint64_t> count;        // relaxed; partner: agent thread
  std::atomic<uint32_t> captured;     // 1: it is, or is being
};

// kCaptured: the throw of this hit is the first of its kind, and is claimed: it is to be captured,
// or given back. kRateLimited: it was captured before. kRingFull: there is no room to find out.
Counter ClaimThrow(ProbeRuntime& probe);
// It is not captured after all.
void ReturnThrow(ProbeRuntime& probe);

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_THROWS_H_
