// The text of this process as a batch of patches will leave it: what stands there now, read once a
// page, under what has been planned. Agent thread only; lives as long as the batch.
#ifndef STILLFRAME_AGENT_PROBE_TEXT_VIEW_H_
#define STILLFRAME_AGENT_PROBE_TEXT_VIEW_H_

#include <array>
#include <cstdint>
#include <map>
#include <span>

#include "agent/probe/text_system.h"
#include "base/status.h"

namespace stillframe::probe {

class TextView {
 public:
  explicit TextView(TextSystem& system) : system_(system) {}
  // kModuleUnloaded: not mapped.
  Status Read(uint64_t address, std::span<uint8_t> out);
  // From now on these bytes are seen there.
  Status Overlay(uint64_t address, std::span<const uint8_t> bytes);

 private:
  static constexpr uint64_t kPageBytes = 4096;
  using Page = std::array<uint8_t, kPageBytes>;
  Result<Page*> PageAt(uint64_t address);

  TextSystem& system_;
  std::map<uint64_t, Page> pages_;
};

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_TEXT_VIEW_H_
