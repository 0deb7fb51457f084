// What callers without a plan may show once they have one. Hit-path contract as in hit.h.
//
// A caller that is met for the first time has no plan: which of its words are variables, and what
// they point to, is found out when the record is decoded, and then the heap has changed. So its
// part of the stack is copied, and what its words and saved registers point to, a few steps far:
// whatever looks like an address of readable memory counts. Nothing of this is ever taken for a
// value by itself: the decoder reads from it what a plan names.
#ifndef STILLFRAME_AGENT_HIT_UNPLANNED_FRAMES_H_
#define STILLFRAME_AGENT_HIT_UNPLANNED_FRAMES_H_

#include <cstdint>

#include "agent/hit/hit.h"
#include "agent/hit/record_writer.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {

SF_HIT_PATH_BEGIN

// Uses the record's scratch space: after everything else. Takes no more than what is left of the
// record's byte limit, and does not mark the record as truncated.
class UnplannedFrames {
 public:
  UnplannedFrames(RecordWriter& record, const UnwindModules* modules, uint64_t deadline_ticks);

  // Frames from the innermost out, while their code, if it has a plan, is not known.
  void Add(const FrameRecord& frame);
  void Run();

 private:
  void Enqueue(uint64_t address, uint32_t size_bytes);
  void Follow(uint64_t word, uint32_t size_bytes);
  bool IsNew(uint64_t address);

  RecordWriter& record_;
  const UnwindModules* modules_;
  uint64_t deadline_ticks_;
  uint64_t stack_start_;  // the slice: it is there already
  uint64_t stack_bytes_;
  uint64_t* seen_;
  uint32_t bytes_left_;
  uint32_t seen_count_ = 0;
  // Words that may be no addresses: each that is none costs a system call.
  uint32_t guesses_left_;  // of this step
  uint32_t wrong_guesses_ = 0;
  uint32_t count_ = 0;
  uint8_t set_ = 0;
};

SF_HIT_PATH_END

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_UNPLANNED_FRAMES_H_
