// A program that runs lines at given rates and tells what they took: its own processor time, which is
// that of the thread that hits.
//
// load SECONDS RATE WHAT: WHAT is "declined", "captured", "logged" or "span".
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

int64_t Now(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

struct Item {
  int64_t id;
  double price;
  std::string name;
};

__attribute__((noinline)) int64_t Step(volatile Item& item, int64_t run) {
  volatile int64_t n = run;
  volatile int64_t id = item.id;
  asm volatile("" : : : "memory");
  return n + id;  // mark-step
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const double seconds = std::atof(argv[1]);
  const double rate = std::atof(argv[2]);
  Item item{17, 99.5, "a thing of some length, not short"};
  std::puts("ready");
  std::fflush(stdout);
  // Bursts of a millisecond, so that waiting costs little.
  const auto a_burst = static_cast<int64_t>(rate / 1000) > 0 ? static_cast<int64_t>(rate / 1000) : 1;
  const auto burst_ns = static_cast<int64_t>(1e9 * static_cast<double>(a_burst) / rate);
  const int64_t begin = Now(CLOCK_MONOTONIC);
  const auto end = begin + static_cast<int64_t>(seconds * 1e9);
  int64_t next = begin, runs = 0, sum = 0, busy_ns = 0;
  while (next < end) {
    const int64_t started = Now(CLOCK_THREAD_CPUTIME_ID);
    for (int64_t i = 0; i < a_burst; ++i) sum += Step(item, ++runs);
    busy_ns += Now(CLOCK_THREAD_CPUTIME_ID) - started;
    next += burst_ns;
    const timespec until{next / 1'000'000'000, next % 1'000'000'000};
    if (Now(CLOCK_MONOTONIC) < next) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
  }
  const double took = static_cast<double>(Now(CLOCK_MONOTONIC) - begin) * 1e-9;
  std::printf("runs %lld seconds %.3f busy %.6f sum %lld\n", static_cast<long long>(runs), took,
              static_cast<double>(busy_ns) * 1e-9, static_cast<long long>(sum));
  std::fflush(stdout);
  char line[8];
  return std::fgets(line, sizeof line, stdin) == nullptr ? 0 : 0;
}
