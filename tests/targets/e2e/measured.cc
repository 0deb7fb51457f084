// Numbers of several types at one line each, whose statistics it prints itself.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

struct Request {
  int bytes;
  double seconds;
  unsigned char retries;
};

struct Sums {
  long count = 0;
  double sum = 0, min = 1e300, max = -1e300;
  void Add(double value) {
    ++count, sum += value;
    min = std::min(min, value);
    max = std::max(max, value);
  }
};

[[gnu::noinline]] long Serve(const Request& request, const Request* next) {
  long result = request.bytes;
  asm volatile("" : "+r"(result) : "r"(next) : "memory");  // mark-serve
  return result + 1;
}

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 1000;
  Sums bytes, seconds;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([rounds, t] {
      for (int i = 0; i < rounds; ++i) {
        const Request request{(i * 37 + t) % 1000 - 200, (i % 50) / 8.0,
                              static_cast<unsigned char>(i % 7)};
        Serve(request, i % 10 == 0 ? nullptr : &request);
      }
    });
    for (int i = 0; i < rounds; ++i) {
      bytes.Add((i * 37 + t) % 1000 - 200);
      seconds.Add((i % 50) / 8.0);
    }
  }
  for (std::thread& thread : threads) thread.join();
  std::printf("%ld %.17g %.17g %.17g\n", bytes.count, bytes.sum, bytes.min, bytes.max);
  std::printf("%ld %.17g %.17g %.17g\n", seconds.count, seconds.sum, seconds.min, seconds.max);
}
