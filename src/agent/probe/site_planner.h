// Makes room for a jump by moving the instructions behind it first. Pure computation.
#ifndef STILLFRAME_AGENT_PROBE_SITE_PLANNER_H_
#define STILLFRAME_AGENT_PROBE_SITE_PLANNER_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "agent/probe/arch/arch.h"

namespace stillframe::probe {

// Where an island could be put.
class IslandSpace {
 public:
  virtual ~IslandSpace() = default;
  // The member of `set` nearest to `near` with room for size_bytes.
  virtual std::optional<uint64_t> Find(const arch::AddressSet& set, uint32_t size_bytes,
                                       uint64_t near) const = 0;
};

// At most so many instructions behind a site are moved.
inline constexpr size_t kMaxEvicted = 3;
inline constexpr size_t kEvictionTextBytes = (kMaxEvicted + 2) * arch::kPatchWindowBytes;

struct PlacedOption {
  arch::PatchOption option;
  uint64_t island = 0;
};

// A site whose bytes allow no jump as they are, and the instructions behind it. These are diverted
// first (to trampolines that only run them), from the last to the first: their new bytes are part
// of the displacement of the one before. This is successor eviction (Duck, Gao, Roychoudhury:
// "Binary Rewriting without Control Flow Recovery", PLDI 2020, tactic T2). Each of the patches
// still overwrites one instruction.
//
// chain[0] is the site, the others stand one behind the other. `text` is what stands there from the
// site on. The result is parallel to `chain`.
std::optional<std::vector<PlacedOption>> PlanEviction(
    std::span<const arch::SiteAnalysis* const> chain, std::span<const uint8_t> text,
    const IslandSpace& space);

// May the instruction behind be touched? Where control never falls to may lie data, so only filler.
bool MayEvict(const arch::SiteAnalysis& site, const arch::SiteAnalysis& successor);

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_SITE_PLANNER_H_
