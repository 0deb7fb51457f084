// Percentiles from the hit path's power-of-two histogram of ticks.
#ifndef STILLFRAME_AGENT_HIT_TIMES_H_
#define STILLFRAME_AGENT_HIT_TIMES_H_

#include <cstdint>

#include "agent/hit/hit.h"

namespace stillframe::agent {

// Upper bound in nanoseconds of the bucket that holds the quantile; 0 when there were no hits.
inline uint32_t HitNanos(const hit::CounterSums& sums, double quantile, uint64_t ticks_per_second) {
  uint64_t total = 0;
  for (uint64_t count : sums.histogram) total += count;
  if (total == 0 || ticks_per_second == 0) return 0;
  const auto wanted = static_cast<uint64_t>(static_cast<double>(total) * quantile);
  uint64_t seen = 0;
  int bucket = 0;
  for (; bucket < 31; ++bucket) {
    seen += sums.histogram[bucket];
    if (seen > wanted) break;
  }
  const double ticks = static_cast<double>(uint64_t{1} << (bucket + 1));
  return static_cast<uint32_t>(ticks * 1e9 / static_cast<double>(ticks_per_second));
}

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_HIT_TIMES_H_
