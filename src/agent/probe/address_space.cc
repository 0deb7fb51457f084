#include "agent/probe/address_space.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

namespace stillframe::probe {
namespace {

constexpr uint64_t kUserEnd = 0x7FFFFFFFF000;
constexpr uint64_t kLowest = 0x10000;  // as vm.mmap_min_addr usually is
// A mapping in the way of the program break makes malloc fall back to mmap for good.
constexpr uint64_t kHeapReserveBytes = 64ull << 20;
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

// The member of the progression that is nearest to `near` within [low, high].
std::optional<uint64_t> NearestMember(const arch::AddressSet& set, uint64_t low, uint64_t high,
                                      uint64_t near) {
  low = std::max(low, set.first);
  high = std::min(high, set.last());
  if (low > high) return std::nullopt;
  const uint64_t wanted = std::clamp(near, low, high);
  const uint64_t below = set.first + (wanted - set.first) / set.stride * set.stride;
  const uint64_t above = below == wanted ? below : below + set.stride;
  const bool below_fits = below >= low;
  const bool above_fits = above <= high && above >= below;
  if (below_fits && (!above_fits || wanted - below <= above - wanted)) return below;
  if (above_fits) return above;
  return std::nullopt;
}

}  // namespace

std::vector<Interval> Complement(std::vector<Interval> taken, Interval within) {
  std::sort(taken.begin(), taken.end(),
            [](const Interval& a, const Interval& b) { return a.start < b.start; });
  std::vector<Interval> free;
  uint64_t position = within.start;
  for (const Interval& interval : taken) {
    if (interval.start > position) {
      free.push_back({position, std::min(interval.start, within.end)});
    }
    position = std::max(position, interval.end);
    if (position >= within.end) break;
  }
  if (position < within.end) free.push_back({position, within.end});
  std::erase_if(free, [](const Interval& i) { return i.start >= i.end; });
  return free;
}

std::vector<Interval> Subtract(const std::vector<Interval>& from, std::vector<Interval> holes) {
  std::vector<Interval> result;
  const std::vector<Interval> kept = Complement(std::move(holes), {0, UINT64_MAX});
  for (const Interval& interval : from) {
    auto it = std::partition_point(kept.begin(), kept.end(),
                                   [&](const Interval& k) { return k.end <= interval.start; });
    for (; it != kept.end() && it->start < interval.end; ++it) {
      result.push_back({std::max(it->start, interval.start), std::min(it->end, interval.end)});
    }
  }
  return result;
}

std::vector<Interval> FreeIntervals(const std::vector<Mapping>& maps, const GrowthZones& zones) {
  std::vector<Interval> taken;
  for (const Mapping& map : maps) {
    uint64_t start = map.start.value;
    if (map.path == "[stack]") start -= std::min(start, zones.stack_reserve_bytes);
    taken.push_back({start, map.end.value});
  }
  if (zones.program_break != 0) {
    taken.push_back({zones.program_break, zones.program_break + zones.heap_reserve_bytes});
  }
  return Complement(std::move(taken), {zones.lowest, kUserEnd});
}

Result<std::vector<Interval>> ReadFreeIntervals() {
  SF_ASSIGN_OR_RETURN(const auto maps, ReadProcessMaps());
  GrowthZones zones;
  zones.program_break = reinterpret_cast<uint64_t>(sbrk(0));
  zones.heap_reserve_bytes = kHeapReserveBytes;
  zones.stack_reserve_bytes = StackReserveBytes();
  zones.lowest = kLowest;
  return FreeIntervals(maps, zones);
}

std::optional<uint64_t> FindNearest(const std::vector<Interval>& intervals,
                                    const arch::AddressSet& set, uint64_t size_bytes,
                                    uint64_t near) {
  std::optional<uint64_t> best;
  uint64_t best_distance = 0;
  if (set.count == 0) return best;
  for (const Interval& interval : intervals) {
    if (interval.end - interval.start < size_bytes) continue;
    const auto found = NearestMember(set, interval.start, interval.end - size_bytes, near);
    if (!found) continue;
    const uint64_t distance = *found > near ? *found - near : near - *found;
    if (!best || distance < best_distance) {
      best = found;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace stillframe::probe
