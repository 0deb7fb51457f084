// Two threads run one line at a given rate for a given number of times, and the program says at the
// end how often it ran: what a LOG or COUNTER at the line must account for.
//   logging RUNS_PER_THREAD RUNS_PER_SECOND [wait]
// With `wait` the threads begin when a line arrives on standard input, and the program goes on
// until the next.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

enum class Tier { kBasic, kGold };

struct Order {
  long id;
  std::string customer;
  std::vector<int> sizes;
  Tier tier;
  std::string password;
};

std::atomic<long> g_runs{0};
std::atomic<int> g_working{2};
std::atomic<bool> g_end{false};

__attribute__((noinline)) void Handle(const Order& order, int worker) {
  asm volatile("" : : "r"(&order), "r"(worker) : "memory");
  g_runs.fetch_add(1, std::memory_order_relaxed);  // mark-log
  asm volatile("" : : "r"(&order), "r"(worker) : "memory");
}

void Work(int worker, long runs, double per_second) {
  using Clock = std::chrono::steady_clock;
  Order order{0, "eve \"x\"\n\x1b[31m", {1, 2, 3}, Tier::kGold, "hunter2"};
  const auto began = Clock::now();
  for (long i = 0; i < runs; ++i) {
    order.id = i;
    Handle(order, worker);
    const std::chrono::duration<double> due((i + 1) / per_second);
    if (i % 8 == 7) std::this_thread::sleep_until(began + due);
  }
  --g_working;
  g_working.notify_all();
  g_end.wait(false);  // a thread that is gone has no name
}

int main(int argc, char** argv) {
  const long runs = argc > 1 ? std::atol(argv[1]) : 100;
  const double per_second = argc > 2 ? std::atof(argv[2]) : 1000;
  const bool waits = argc > 3 && std::strcmp(argv[3], "wait") == 0;
  if (waits) std::getchar();
  std::vector<std::thread> threads;
  for (int worker = 0; worker < 2; ++worker) threads.emplace_back(Work, worker, runs, per_second);
  for (int left = g_working; left != 0; left = g_working) g_working.wait(left);
  std::printf("runs %ld\n", g_runs.load());
  std::fflush(stdout);
  if (waits) std::getchar();
  g_end = true;
  g_end.notify_all();
  for (auto& thread : threads) thread.join();
  return 0;
}
