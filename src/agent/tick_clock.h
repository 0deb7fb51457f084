// Time stamp counter <-> wall clock. Agent thread.
#ifndef STILLFRAME_AGENT_TICK_CLOCK_H_
#define STILLFRAME_AGENT_TICK_CLOCK_H_

#include <cstdint>

namespace stillframe::agent {

class TickClock {
 public:
  // Notes the counter and CLOCK_MONOTONIC; calibrated against a later reading.
  void Start();
  // Ticks per second, measured over the time since Start: sleeps until that is at least 20 ms.
  uint64_t Calibrate();
  uint64_t ticks_per_second() const { return ticks_per_second_; }

  // Wall-clock time of an earlier reading of the counter.
  int64_t UnixNanos(uint64_t ticks) const;
  uint64_t Nanos(uint64_t tick_count) const;

 private:
  uint64_t start_ticks_ = 0;
  int64_t start_monotonic_ns_ = 0;
  uint64_t ticks_per_second_ = 0;
};

int64_t MonotonicNanos();
int64_t RealtimeNanos();

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_TICK_CLOCK_H_
