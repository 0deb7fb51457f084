#include "agent/tick_clock.h"

#include <ctime>

#include "agent/hit/hit.h"
#include "base/ticks.h"

namespace stillframe::agent {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr int64_t kMinimumNs = 20'000'000;  // a preemption of 20 µs is then an error of 0.1 %

int64_t Now(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<int64_t>(now.tv_sec) * kNanosPerSecond + now.tv_nsec;
}

}  // namespace

int64_t MonotonicNanos() { return Now(CLOCK_MONOTONIC); }
int64_t RealtimeNanos() { return Now(CLOCK_REALTIME); }

void TickClock::Start() {
  start_monotonic_ns_ = MonotonicNanos();
  start_ticks_ = hit::ReadTicks();
}

uint64_t TickClock::Calibrate() {
  int64_t elapsed = MonotonicNanos() - start_monotonic_ns_;
  if (elapsed < kMinimumNs) {
    const timespec rest{0, kMinimumNs - elapsed};
    nanosleep(&rest, nullptr);
    elapsed = MonotonicNanos() - start_monotonic_ns_;
  }
  const uint64_t ticks = hit::ReadTicks() - start_ticks_;
  ticks_per_second_ = static_cast<uint64_t>(static_cast<double>(ticks) * kNanosPerSecond /
                                            static_cast<double>(elapsed));
  return ticks_per_second_;
}

uint64_t TickClock::Nanos(uint64_t tick_count) const {
  return TicksToNanos(tick_count, ticks_per_second_);
}

int64_t TickClock::UnixNanos(uint64_t ticks) const {
  const uint64_t now = hit::ReadTicks();
  // Counters of two cores may differ by a little: a record from "the future" is from now.
  const uint64_t age = now > ticks ? now - ticks : 0;
  return RealtimeNanos() - static_cast<int64_t>(Nanos(age));
}

}  // namespace stillframe::agent
