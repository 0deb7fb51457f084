// Table-driven unwinding (plan/unwind_table.h). Hit-path contract as in hit.h; no
// dl_iterate_phdr, no parsing: only published tables.
#ifndef STILLFRAME_AGENT_HIT_UNWINDER_H_
#define STILLFRAME_AGENT_HIT_UNWINDER_H_

#include <cstdint>

#include "agent/hit/hit.h"
#include "agent/ring/hit_path.h"
#include "plan/record.h"

namespace stillframe::hit {

SF_HIT_PATH_BEGIN

// Stack memory for the unwinder: a slice from the site's stack pointer upward, copied once, and a
// window that moves when frames lie above it (or on another stack, behind a signal frame).
struct StackCopy {
  uint64_t slice_address;
  uint32_t slice_bytes;
  uint32_t window_bytes;
  uint64_t window_address;
  uint8_t* slice;
  uint8_t* window;
  uint32_t window_capacity;
  uint32_t refills_left;  // bounds the system calls of one unwind

  bool Read(uint64_t address, uint64_t& out);
  // The kNearBytes below `cfa` when they were copied already, else nullptr.
  const uint8_t* Below(uint64_t cfa) const;
};

// The pc as in its module's file; the pc itself outside of all modules.
uint64_t RelativePc(const UnwindModules* modules, uint64_t pc);

// nullptr: no module, no row or an undefined one.
const UnwindRule* FindRule(const UnwindModules* modules, uint64_t pc);

// Code of a module, where no variable lies.
bool IsText(const UnwindModules* modules, uint64_t address);

// CFA of the site's frame from a rule that needs no memory or little: kRegisterOffset, kPlt and, by
// `read`, kDerefOffset. false = unknown.
bool SiteCfa(const UnwindRule& rule, const RegisterFile& registers, const MemoryReader& read,
             uint64_t& cfa);

struct UnwindResult {
  uint32_t frame_count;
  bool stopped;  // at a pc without a rule, or at memory that cannot be
};

// Fills frames[0..max_frames). frames[0] is the site's. At least one frame.
UnwindResult Unwind(const UnwindModules* modules, const RegisterFile& registers, StackCopy& stack,
                    FrameRecord* frames, uint32_t max_frames);

SF_HIT_PATH_END

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_UNWINDER_H_
