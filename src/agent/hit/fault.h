// A fault as a hit: the probes on its signal see the thread where it stands. Hit-path contract as
// in hit.h, in the handler of the signal.
#ifndef STILLFRAME_AGENT_HIT_FAULT_H_
#define STILLFRAME_AGENT_HIT_FAULT_H_

#include <cstdint>

#include "agent/hit/hit.h"

namespace stillframe::hit {

inline constexpr uint8_t kStackPointer = 7;  // rsp in RegisterFile

struct CaptureContext {
  const void* vectors;  // the 16 XMM registers, 256 bytes, as at the fault
  uint64_t address;     // that the kernel names; 0 = none
  uint32_t signal;
};

// The interrupted thread's registers from a signal handler's ucontext_t. False when the kernel did
// not save the vector registers. Implemented by the architecture.
bool ReadFault(const void* context, RegisterFile& registers, const void*& vectors);

// stillframe_hit at `site` with what the fault adds. Its own signal is blocked in the handler, so
// nothing is read in a way that may fault.
void HitFault(SiteRuntime& site, RegisterFile& registers, const CaptureContext& fault);

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_FAULT_H_
