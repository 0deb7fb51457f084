// Room for code that is made for one probe and thrown away with it (arch::EmitProbeCode). Agent
// thread only.
//
// Unlike trampolines, which live for ever, this code is freed and its room used again: only after
// WaitForQuiescence, which every thread that could run it has announced itself to, and with a core
// sync before the new code can be reached, so that no processor runs what it fetched before.
#ifndef STILLFRAME_AGENT_PROBE_PROBE_CODE_ARENA_H_
#define STILLFRAME_AGENT_PROBE_PROBE_CODE_ARENA_H_

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "agent/probe/code_memory.h"
#include "agent/probe/text_writer.h"
#include "base/status.h"

namespace stillframe::probe {

class ProbeCodeArena {
 public:
  // Both must outlive this object.
  ProbeCodeArena(CodeMemory& memory, TextWriter& writer) : memory_(memory), writer_(writer) {}

  // Room for size_bytes within reach of `near`. kUnsafeSite, kOverLimit, kNotPermitted as
  // CodeMemory::Reserve.
  Result<uint64_t> Allocate(uint32_t size_bytes, uint64_t near);
  // Fills what Allocate gave, before anything leads there.
  Status Write(uint64_t address, std::span<const uint8_t> code);
  // Nobody runs it any more and nothing leads there.
  void Free(uint64_t address);

  uint32_t used_bytes() const { return used_bytes_; }

 private:
  struct Region {
    uint64_t start = 0;
    std::map<uint64_t, uint64_t> free;  // start -> end, neighbours joined
    uint64_t fresh = 0;                 // nothing from here on was ever used
  };
  uint64_t AllocateIn(Region& region, uint32_t size_bytes, bool& reused);
  Result<Region*> AddRegion(uint64_t near);

  CodeMemory& memory_;
  TextWriter& writer_;
  std::vector<Region> regions_;
  struct Block {
    uint32_t size_bytes = 0;
    bool reused = false;  // other code stood there before
  };
  std::map<uint64_t, Block> blocks_;  // in use, by address
  uint32_t used_bytes_ = 0;
};

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_PROBE_CODE_ARENA_H_
