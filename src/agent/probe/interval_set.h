// A set of addresses kept as sorted, disjoint, maximal intervals. Every step costs O(log n), a
// search O(log n + the intervals between the wished-for place and the one found).
#ifndef STILLFRAME_AGENT_PROBE_INTERVAL_SET_H_
#define STILLFRAME_AGENT_PROBE_INTERVAL_SET_H_

#include <cstdint>
#include <map>
#include <optional>

#include "agent/probe/arch/arch.h"

namespace stillframe::probe {

struct Interval {
  uint64_t start = 0;
  uint64_t end = 0;  // exclusive
  friend bool operator==(const Interval&, const Interval&) = default;
};

class IntervalSet {
 public:
  // Joined with what touches or overlaps it. Empty intervals change nothing.
  void Add(Interval interval);
  void Remove(Interval interval);
  bool Contains(Interval interval) const;
  bool Intersects(Interval interval) const;
  // The member of `set` nearest to `near` such that [a, a + size_bytes) is in this set.
  std::optional<uint64_t> FindNearest(const arch::AddressSet& set, uint64_t size_bytes,
                                      uint64_t near) const;

  size_t size() const { return intervals_.size(); }
  bool empty() const { return intervals_.empty(); }
  auto begin() const { return intervals_.begin(); }
  auto end() const { return intervals_.end(); }

 private:
  std::map<uint64_t, uint64_t> intervals_;  // start -> end
};

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_INTERVAL_SET_H_
