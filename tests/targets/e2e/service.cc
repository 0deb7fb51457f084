// A program that runs its probed line over and over until it is told to stop: the stand-in for a
// service. Prints a checksum at the end, so that a disturbed register shows.
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "stillframe/trace.h"

volatile sig_atomic_t g_stop = 0;

struct Request {
  long id;
  std::string path;
  std::vector<int> sizes;
  std::string apiKey;
};

__attribute__((noinline)) uint64_t Handle(const Request& request, uint64_t sum) {
  uint64_t result = sum;
  for (int size : request.sizes) result = result * 31 + static_cast<uint64_t>(size);
  asm volatile("" : "+r"(result) : "r"(&request) : "memory");
  return result ^ request.path.size();  // mark-handle
}

int main() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_stop = 1; };
  sigaction(SIGTERM, &action, nullptr);
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([t] {
      uint64_t sum = 0;
      long id = t;
      while (!g_stop) {
        const stillframe::TraceScope scope(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        Request request{id, "/orders/" + std::to_string(id % 100), {1, 2, 3}, "k-123"};
        sum = Handle(request, sum);
        id += 2;
        const timespec rest{0, 1'000'000};
        nanosleep(&rest, nullptr);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::printf("stopped\n");
  return 0;
}
