#include "agent/probe/interval_set.h"

#include <algorithm>
#include <iterator>

namespace stillframe::probe {
namespace {

uint64_t Distance(uint64_t a, uint64_t b) { return a > b ? a - b : b - a; }

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

void IntervalSet::Add(Interval interval) {
  if (interval.start >= interval.end) return;
  if (intervals_.empty() || intervals_.rbegin()->second < interval.start) {
    intervals_.emplace_hint(intervals_.end(), interval.start, interval.end);
    return;
  }
  auto it = intervals_.upper_bound(interval.start);
  if (it != intervals_.begin() && std::prev(it)->second >= interval.start) {
    --it;
    interval.start = it->first;
  }
  while (it != intervals_.end() && it->first <= interval.end) {
    interval.end = std::max(interval.end, it->second);
    it = intervals_.erase(it);
  }
  intervals_.emplace_hint(it, interval.start, interval.end);
}

void IntervalSet::Remove(Interval interval) {
  if (interval.start >= interval.end) return;
  auto it = intervals_.upper_bound(interval.start);
  if (it != intervals_.begin()) --it;
  while (it != intervals_.end() && it->first < interval.end) {
    const Interval old{it->first, it->second};
    if (old.end <= interval.start) {
      ++it;
      continue;
    }
    it = intervals_.erase(it);
    if (old.start < interval.start) intervals_.emplace(old.start, interval.start);
    if (old.end > interval.end) it = intervals_.emplace(interval.end, old.end).first;
  }
}

bool IntervalSet::Contains(Interval interval) const {
  auto it = intervals_.upper_bound(interval.start);
  if (it == intervals_.begin()) return false;
  return std::prev(it)->second >= interval.end;
}

bool IntervalSet::Intersects(Interval interval) const {
  auto it = intervals_.lower_bound(interval.end);
  if (it == intervals_.begin()) return false;
  return std::prev(it)->second > interval.start;
}

std::optional<uint64_t> IntervalSet::FindNearest(const arch::AddressSet& set, uint64_t size_bytes,
                                                 uint64_t near) const {
  std::optional<uint64_t> best;
  if (set.count == 0) return best;
  const uint64_t last = set.last();
  const uint64_t centre = std::clamp(near, set.first, last);
  auto consider = [&](uint64_t start, uint64_t end) {
    if (end - start < size_bytes) return;
    const auto found = NearestMember(set, start, end - size_bytes, near);
    if (found && (!best || Distance(*found, near) < Distance(*best, near))) best = found;
  };
  const auto middle = intervals_.upper_bound(centre);
  for (auto it = middle; it != intervals_.begin();) {
    --it;
    if (it->second <= set.first) break;
    if (best && it->second <= near && near - it->second >= Distance(*best, near)) break;
    consider(it->first, it->second);
  }
  for (auto it = middle; it != intervals_.end(); ++it) {
    if (it->first > last) break;
    if (best && it->first >= near && it->first - near >= Distance(*best, near)) break;
    consider(it->first, it->second);
  }
  return best;
}

}  // namespace stillframe::probe
