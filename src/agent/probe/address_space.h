// Which addresses of this process are free to map, and where the host will want to grow.
#ifndef STILLFRAME_AGENT_PROBE_ADDRESS_SPACE_H_
#define STILLFRAME_AGENT_PROBE_ADDRESS_SPACE_H_

#include <cstdint>
#include <vector>

#include "agent/probe/interval_set.h"
#include "base/process_maps.h"

namespace stillframe::probe {

// A mapping in the way of the program break makes malloc fall back to mmap for good.
inline constexpr uint64_t kHeapReserveBytes = 64ull << 20;
inline constexpr uint64_t kLowestMappable = 0x10000;  // as vm.mmap_min_addr usually is
inline constexpr uint64_t kUserEnd = 0x7FFFFFFFF000;

// Where the host must be able to grow, seen from its mappings: `stack_reserve_bytes` below the main
// stack, `heap_reserve_bytes` above the program break, and everything below `lowest`.
struct GrowthZones {
  uint64_t program_break = 0;
  uint64_t heap_reserve_bytes = 0;
  uint64_t stack_reserve_bytes = 0;
  uint64_t lowest = 0;
};
// Of this process: where its break and its stack's limit are now.
GrowthZones ReadGrowthZones();
// What could be mapped, seen from `maps`. Another thread may map something there at any moment: map
// with MAP_FIXED_NOREPLACE.
IntervalSet FreeIntervals(const std::vector<Mapping>& maps, const GrowthZones& zones);

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_ADDRESS_SPACE_H_
