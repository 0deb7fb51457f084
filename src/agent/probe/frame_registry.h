// Tells the program's unwinder about trampolines.
#ifndef STILLFRAME_AGENT_PROBE_FRAME_REGISTRY_H_
#define STILLFRAME_AGENT_PROBE_FRAME_REGISTRY_H_

#include <cstdint>
#include <string>
#include <vector>

namespace stillframe::probe {

// __register_frame of the libgcc_s that the program uses, where that does it no harm.
//
// Before GCC 13 one registered frame makes every lookup of every unwind take a global lock. Then a
// profiler's signal handler that unwinds while its thread throws waits for itself: measured with
// GCC 12, hung within three seconds each time, and never without a registered frame. From GCC 13 on
// lookups are lock-free, but for the first one in a section, which sorts it: Add makes that one
// itself. LLVM's libunwind has a function of the same name that takes something else; it carries no
// symbol version and is not found.
//
// Agent thread only. Takes the loader's lock (dlvsym).
class FrameRegistry {
 public:
  static FrameRegistry Find();

  bool usable() const { return register_ != nullptr; }
  // Why not; "" when usable.
  const std::string& reason() const { return reason_; }

  // The .eh_frame of one range of code, with the range's address; before any thread runs it.
  // libgcc files sections by [lowest, highest) address and wants these disjoint: one range a call.
  // Nothing is ever taken back, as trampolines are not.
  void Add(std::vector<uint8_t> eh_frame, uint64_t address);

 private:
  void (*register_)(void* eh_frame) = nullptr;
  const void* (*find_)(void* pc, void* bases) = nullptr;
  std::string reason_;
};

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_FRAME_REGISTRY_H_
