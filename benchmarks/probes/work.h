// The code that is probed, compiled twice from the same source: `probed`, where each tool puts its
// probe on the marked line, and `plain`, the baseline of the same round.
#ifndef STILLFRAME_BENCHMARKS_PROBES_WORK_H_
#define STILLFRAME_BENCHMARKS_PROBES_WORK_H_

#include <cstdint>
#include <string>
#include <vector>

struct Customer {
  int64_t tier = 3;
};

struct Order {
  int64_t quantity = 5;
  Customer* customer = nullptr;
  std::vector<int> items{1, 2, 3};
  // Far enough from the start that the store to `last` is an instruction of seven bytes: one that
  // every tool can probe (GDB's fast tracepoints need five).
  char padding[256] = {};
  int64_t last = 0;
};

namespace probed {
int64_t Work(int64_t id, int64_t count, double price, const std::string& name, Order* order);
// Calls Work `hits` times, with ids from `first_id` on. Returns something that depends on each.
int64_t Loop(int64_t hits, int64_t first_id, const std::string& name, Order* order);
}  // namespace probed

namespace plain {
int64_t Work(int64_t id, int64_t count, double price, const std::string& name, Order* order);
int64_t Loop(int64_t hits, int64_t first_id, const std::string& name, Order* order);
}  // namespace plain

#endif  // STILLFRAME_BENCHMARKS_PROBES_WORK_H_
