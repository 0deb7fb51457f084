// Compiled under two names, with WORK_NAMESPACE=probed and =plain (see work.h). What is compiled in
// (SFBENCH_…) is for the peers that need it, and is in the probed copy only.
#include "work.h"

#ifdef SFBENCH_LTTNG
#include "lttng_events.h"
#endif

namespace WORK_NAMESPACE {

__attribute__((noipa)) int64_t Work(int64_t id, int64_t count, double price,
                                    const std::string& name, Order* order) {
  const int64_t total = id + count;
#if defined(SFBENCH_LTTNG)
  lttng_ust_tracepoint(sfbench, hit, id, count, price, name.c_str(), order->quantity);
#elif defined(SFBENCH_NOP5)
  asm volatile(".globl sfbench_nop5\nsfbench_nop5: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00");
#elif defined(SFBENCH_PUSH)
  asm volatile("" ::: "rbx");
#elif defined(SFBENCH_INT3)
  asm volatile("int3");
#endif
  order->last = id;  // probe here
  return total + static_cast<int64_t>(price) + static_cast<int64_t>(name.size()) + order->quantity;
}

__attribute__((noipa)) int64_t Loop(int64_t hits, int64_t first_id, const std::string& name,
                                    Order* order) {
  int64_t sum = 0;
  for (int64_t i = first_id; i < first_id + hits; ++i) {
    sum += Work(i, 3 * i, static_cast<double>(i), name, order);
  }
  return sum;
}

}  // namespace WORK_NAMESPACE
