// Threads compute what is known to be right, until a line arrives on standard input; the wall clock
// of the program can be made to jump, and malloc to fail, by files in the folder given.
#include <dlfcn.h>
#include <pthread.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

// ---- the program's own clock: interposed for the whole process ----
static std::atomic<long> g_clock_offset_seconds{0};

extern "C" int clock_gettime(clockid_t clock, timespec* out) noexcept {
  static const auto real =
      reinterpret_cast<int (*)(clockid_t, timespec*)>(dlsym(RTLD_NEXT, "clock_gettime"));
  const int result = real(clock, out);
  if (clock == CLOCK_REALTIME) out->tv_sec += g_clock_offset_seconds;
  return result;
}

static std::atomic<bool> g_stop{false};
static std::atomic<long> g_wrong{0};
static std::atomic<long> g_steps{0};

__attribute__((noinline)) long Step(long value) {
  asm volatile(".byte 0x0f, 0x1f, 0x44, 0, 0" : "+r"(value));  // mark-step
  return value + 1;
}

void Work() {
  while (!g_stop) {
    long value = 0;
    for (int i = 0; i < 1000; ++i) value = Step(value);
    g_wrong += value != 1000;
    ++g_steps;
  }
}

// Commands on standard input: "clock SECONDS", "steps" (answers whether the threads got on), "stop".
int main() {
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) threads.emplace_back(&Work);
  char line[128];
  std::printf("ready\n");
  std::fflush(stdout);
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    const std::string command = line;
    if (command.rfind("clock ", 0) == 0) g_clock_offset_seconds = std::atol(line + 6);
    if (command.rfind("stop", 0) == 0) break;
    if (command.rfind("steps", 0) == 0) {
      const long before = g_steps;
      for (int i = 0; i < 1000 && g_steps == before; ++i) usleep(10000);
      std::printf("%s\n", g_steps > before ? "going" : "stuck");
    } else {
      std::printf("done\n");
    }
    std::fflush(stdout);
  }
  g_stop = true;
  for (auto& thread : threads) thread.join();
  std::printf("wrong %ld\n", g_wrong.load());
  return 0;
}
