// One record of one hit. Hit-path contract as in hit.h.
#ifndef STILLFRAME_AGENT_HIT_CAPTURE_H_
#define STILLFRAME_AGENT_HIT_CAPTURE_H_

#include <cstdint>

#include "agent/hit/hit.h"
#include "agent/hit/memory.h"
#include "agent/ring/hit_path.h"
#include "agent/ring/ring.h"

namespace stillframe::hit {

SF_HIT_PATH_BEGIN

struct CaptureRequest {
  const ProbeRuntime* probe;
  uint32_t site_index;
  const RegisterFile* registers;
  uint64_t start_ticks;
  uint64_t span_ticks;  // of the span that ends here; else 0
  uint64_t* cells;      // as EvaluateWithStack wants them
};
// Fills the slot's record completely but for `sequence`.
void Capture(const CaptureRequest& request, FastReader& reader, const ring::Slot& slot);

// Overwrites what a capture left in a slot, before it is released: memory was copied whole, with
// secrets in it that the decoder leaves out. Agent thread.
void WipeRecord(const ring::Slot& slot);

SF_HIT_PATH_END

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_CAPTURE_H_
