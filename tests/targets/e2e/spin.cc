// Threads compute sums whose right values are known, over and over, until a line arrives on
// standard input. "ok" at the end means that no thread ever got a wrong sum.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

std::atomic<bool> g_stop{false};
std::atomic<long> g_wrong{0};

__attribute__((noinline)) uint64_t Mix(uint64_t value, double weight) {
  uint64_t result = value * 0x9e3779b97f4a7c15u;  // probe
  result ^= result >> 29;                         // probe
  if (result & 1) {
    result += static_cast<uint64_t>(weight * 16);  // probe
  }
  asm volatile("" : "+r"(result));
  return result;  // probe
}

__attribute__((noinline)) uint64_t Sum(uint64_t seed) {
  uint64_t sum = 0;
  double weight = 0.5;
  for (uint64_t i = 0; i < 1000; ++i) {
    sum += Mix(seed + i, weight);  // probe
    weight += 0.25;                // probe
  }
  return sum;
}

__attribute__((noinline)) uint64_t Strings(uint64_t seed) {
  std::string text;
  for (int i = 0; i < 50; ++i) {
    text += std::to_string(seed + i);  // probe
  }
  uint64_t hash = 0;
  for (char c : text) hash = hash * 31 + static_cast<unsigned char>(c);  // probe
  return hash;
}

int main() {
  const uint64_t sum = Sum(7);
  const uint64_t strings = Strings(7);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([=] {
      while (!g_stop) {
        if (Sum(7) != sum || Strings(7) != strings) ++g_wrong;
      }
    });
  }
  std::getchar();
  g_stop = true;
  for (auto& thread : threads) thread.join();
  std::printf(g_wrong == 0 ? "ok\n" : "wrong\n");
  return 0;
}
