// A program that uses the C library hard from several threads; probes are put into the library.
#include <pthread.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

std::mutex g_mutex;
long g_shared = 0;

long Work(int rounds) {
  long sum = 0;
  std::vector<char*> blocks;
  for (int i = 0; i < rounds; ++i) {
    auto* block = static_cast<char*>(std::malloc(16 + i % 2000));
    std::memset(block, i & 0x7f, 16);
    blocks.push_back(block);
    char copy[64];
    std::memcpy(copy, block, 16);
    sum += copy[3];
    if (blocks.size() > 20) {
      for (char* old : blocks) std::free(old);
      blocks.clear();
    }
    pthread_mutex_lock(g_mutex.native_handle());
    ++g_shared;
    pthread_mutex_unlock(g_mutex.native_handle());
    char text[32];
    std::snprintf(text, sizeof text, "%d", i);
    sum += static_cast<long>(std::strlen(text));
  }
  for (char* old : blocks) std::free(old);
  return sum;
}

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 20000;
  long sums[4] = {};
  std::vector<std::thread> threads;
  for (long& sum : sums) threads.emplace_back([&sum, rounds] { sum = Work(rounds); });
  for (auto& thread : threads) thread.join();
  std::printf("%ld %ld %ld %ld shared %ld\n", sums[0], sums[1], sums[2], sums[3], g_shared);
  (void)!write(1, "written\n", 8);
  return 0;
}
