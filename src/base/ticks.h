// Time stamp counter to time.
#ifndef STILLFRAME_BASE_TICKS_H_
#define STILLFRAME_BASE_TICKS_H_

#include <algorithm>
#include <cstdint>

namespace stillframe {

// Nanoseconds, rounded down. 0 when the rate is not known (0); at most INT64_MAX, whatever a
// damaged record says. Signal-safe.
inline uint64_t TicksToNanos(uint64_t ticks, uint64_t ticks_per_second) {
  constexpr uint64_t kNanosPerSecond = 1'000'000'000;
  constexpr uint64_t kMost = INT64_MAX;
  if (ticks_per_second == 0) return 0;
  const uint64_t seconds = ticks / ticks_per_second;
  if (seconds >= kMost / kNanosPerSecond) return kMost;
  const double rest = static_cast<double>(ticks % ticks_per_second) * kNanosPerSecond /
                      static_cast<double>(ticks_per_second);
  return seconds * kNanosPerSecond +
         std::min(static_cast<uint64_t>(rest), uint64_t{kNanosPerSecond - 1});
}

}  // namespace stillframe

#endif  // STILLFRAME_BASE_TICKS_H_
