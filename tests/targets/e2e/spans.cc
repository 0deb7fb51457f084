// Work whose times it prints itself: nested, recursive, left by exceptions, on several threads.
#include <stillframe/trace.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <vector>

namespace shop {

void Wait(int microseconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(microseconds);
  while (std::chrono::steady_clock::now() < end) {
  }
}

[[gnu::noinline]] int Pay(int microseconds) {
  if (microseconds < 0) throw std::runtime_error("no payment");
  Wait(microseconds);
  return microseconds + 1;
}

[[gnu::noinline]] int Walk(int depth) {
  Wait(300);
  int result = depth;
  if (depth > 0) result += Walk(depth - 1);
  asm volatile("" : "+r"(result));
  return result;
}

[[gnu::noinline]] int Handle(int microseconds) {
  int result = 0;
  asm volatile("" : "+r"(result));  // mark-begin
  try {
    result += Pay(microseconds);
  } catch (const std::runtime_error&) {
    result -= 1;
  }
  Wait(200);
  asm volatile("" : "+r"(result));  // mark-end
  return result;
}

}  // namespace shop

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  std::vector<std::thread> running;
  int sum = 0;
  {
    const stillframe::TraceScope scope("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    for (const int time : {1000, -1, 3000}) sum += shop::Handle(time);
    sum += shop::Walk(2);
  }
  for (int i = 1; i < threads; ++i) running.emplace_back([] { shop::Handle(500); });
  for (std::thread& thread : running) thread.join();
  std::printf("%d\n", sum);
}
