// Is there an instruction at a site, or does one begin before it and end behind it?
#ifndef STILLFRAME_AGENT_PROBE_SITE_BOUNDARY_H_
#define STILLFRAME_AGENT_PROBE_SITE_BOUNDARY_H_

#include <cstdint>
#include <span>

#include "base/status.h"

namespace stillframe::probe {

// More than this is not decoded to find out (5 ms).
inline constexpr uint64_t kMaxBoundaryBytes = 1 << 20;

// Line tables say where statements begin; damaged or mismatched ones lie, and a jump written into
// the middle of an instruction is the worst that a probe can do. So the instructions are counted
// off from an address that something else vouches for: `text` stands at `text_address`, where an
// instruction is known to begin (the start of the function, or of any row of its unwind table,
// which begins behind an instruction), and reaches beyond the site.
//
// kUnsafeSite: the site is inside an instruction, the bytes before it cannot all be decoded, or it
// is farther away than kMaxBoundaryBytes. kInvalidArgument: the site is not in `text`. Pure; any
// thread.
Status CheckInstructionBoundary(std::span<const uint8_t> text, uint64_t text_address,
                                uint64_t site);

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_SITE_BOUNDARY_H_
