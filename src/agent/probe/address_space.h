// Which addresses of this process are free to map, and where the host will want to grow.
#ifndef STILLFRAME_AGENT_PROBE_ADDRESS_SPACE_H_
#define STILLFRAME_AGENT_PROBE_ADDRESS_SPACE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "agent/probe/arch/arch.h"
#include "base/process_maps.h"
#include "base/status.h"

namespace stillframe::probe {

struct Interval {
  uint64_t start = 0;
  uint64_t end = 0;  // exclusive
  friend bool operator==(const Interval&, const Interval&) = default;
};

// Sorted, disjoint intervals in, the same out.
std::vector<Interval> Complement(std::vector<Interval> taken, Interval within);
// `from` without `holes`.
std::vector<Interval> Subtract(const std::vector<Interval>& from, std::vector<Interval> holes);

// Where the host must be able to grow, seen from its mappings: `stack_reserve_bytes` below the main
// stack, `heap_reserve_bytes` above the program break, and everything below `lowest`.
struct GrowthZones {
  uint64_t program_break = 0;
  uint64_t heap_reserve_bytes = 0;
  uint64_t stack_reserve_bytes = 0;
  uint64_t lowest = 0;
};
std::vector<Interval> FreeIntervals(const std::vector<Mapping>& maps, const GrowthZones& zones);
// Of this process, now. Another thread may map something there at any moment: map with
// MAP_FIXED_NOREPLACE.
Result<std::vector<Interval>> ReadFreeIntervals();

// The member of `set` nearest to `near` such that [a, a + size_bytes) lies in one of `intervals`.
std::optional<uint64_t> FindNearest(const std::vector<Interval>& intervals,
                                    const arch::AddressSet& set, uint64_t size_bytes,
                                    uint64_t near);

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_ADDRESS_SPACE_H_
