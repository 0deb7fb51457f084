#include "agent/probe/address_space.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

namespace stillframe::probe {
namespace {

// The kernel keeps stack_guard_gap (256 pages) free below a growing stack.
constexpr uint64_t kStackGuardBytes = 1ull << 20;
constexpr uint64_t kMinStackReserveBytes = 64ull << 20;
constexpr uint64_t kMaxStackReserveBytes = 1ull << 30;

uint64_t StackReserveBytes() {
  rlimit limit{};
  if (getrlimit(RLIMIT_STACK, &limit) != 0) return kMaxStackReserveBytes;
  return std::clamp<uint64_t>(limit.rlim_cur, kMinStackReserveBytes, kMaxStackReserveBytes) +
         kStackGuardBytes;
}

}  // namespace

GrowthZones ReadGrowthZones() {
  GrowthZones zones;
  zones.program_break = reinterpret_cast<uint64_t>(sbrk(0));
  zones.heap_reserve_bytes = kHeapReserveBytes;
  zones.stack_reserve_bytes = StackReserveBytes();
  zones.lowest = kLowestMappable;
  return zones;
}

IntervalSet FreeIntervals(const std::vector<Mapping>& maps, const GrowthZones& zones) {
  // Mappings are sorted, so the gaps between them come in order; what is not mapped but reserved is
  // taken out afterwards.
  IntervalSet free;
  uint64_t position = zones.lowest;
  uint64_t stack = 0;
  for (const Mapping& map : maps) {
    if (map.path == "[stack]") stack = map.start.value;
    if (map.start.value > position) free.Add({position, std::min(map.start.value, kUserEnd)});
    position = std::max(position, map.end.value);
  }
  if (position < kUserEnd) free.Add({position, kUserEnd});
  if (stack != 0) free.Remove({stack - std::min(stack, zones.stack_reserve_bytes), stack});
  if (zones.program_break != 0) {
    free.Remove({zones.program_break, zones.program_break + zones.heap_reserve_bytes});
  }
  return free;
}

}  // namespace stillframe::probe
