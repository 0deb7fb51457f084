// Light records of LOG tracepoints: the way for hits that compiled code does not serve. Hit-path
// contract as in hit.h.
#ifndef STILLFRAME_AGENT_HIT_LIGHT_H_
#define STILLFRAME_AGENT_HIT_LIGHT_H_

#include <cstdint>

#include "agent/hit/hit.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {

SF_HIT_PATH_BEGIN

// Writes the record of site `site_index`; `ticks` is its time. The thread's context must be set up
// for the site (FrameContext, reader). kCaptured: the record waits to be committed by CommitLight,
// once it has been counted. kRingFull: there is no room for it.
Counter WriteLight(const ProbeRuntime& probe, uint32_t site_index, uint64_t ticks,
                   uint8_t*& record);

SF_HIT_PATH_END

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_LIGHT_H_
