// The two clocks: monotonic for deadlines, wall time for labels and expiry.
#ifndef STILLFRAME_SERVER_CLOCK_H_
#define STILLFRAME_SERVER_CLOCK_H_

#include <chrono>
#include <cstdint>

namespace stillframe::server {

inline int64_t MonotonicMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}
inline int64_t WallMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace stillframe::server

#endif  // STILLFRAME_SERVER_CLOCK_H_
