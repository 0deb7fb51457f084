// Behaviours of a host that an agent must not disturb; the mode is the first argument.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

__attribute__((noinline)) int Work(int value) {
  std::string text = "value " + std::to_string(value);
  const int size = static_cast<int>(text.size());
  asm volatile("" : : "r"(&text) : "memory");
  return value * 3 + size;  // mark-work
}

__attribute__((noinline)) int Throws(int value) {
  if (value % 2 == 1) {
    throw std::runtime_error("odd " + std::to_string(value));  // mark-throw
  }
  return value;
}

int Fork() {
  int sum = Work(1);
  const pid_t child = fork();
  if (child == 0) {
    int threads = 0;
    char path[64];
    std::snprintf(path, sizeof path, "ls /proc/%d/task | wc -l", getpid());
    // The child runs the probed line too: it must neither hang nor report.
    for (int i = 0; i < 1000; ++i) sum += Work(i);
    (void)threads;
    std::fflush(stdout);
    _exit(sum > 0 ? 7 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  std::printf("child %d\n", WEXITSTATUS(status));
  return 0;
}

int Exec(char** argv) {
  const pid_t child = vfork();
  if (child == 0) {
    execl("/bin/true", "true", static_cast<char*>(nullptr));
    _exit(9);
  }
  int status = 0;
  waitpid(child, &status, 0);
  std::printf("%s exec %d work %d\n", argv[1], WEXITSTATUS(status), Work(5));
  return 0;
}

int Exceptions() {
  int caught = 0;
  for (int i = 0; i < 1000; ++i) {
    try {
      Throws(i);
    } catch (const std::runtime_error& error) {
      caught += std::strlen(error.what()) > 0;
    }
  }
  std::printf("caught %d\n", caught);
  return 0;
}

int Threads() {
  std::vector<std::thread> threads;
  std::vector<long> sums(8);
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&sums, t] {
      for (int i = 0; i < 20000; ++i) sums[t] += Work(i);
    });
  }
  for (auto& thread : threads) thread.join();
  long total = 0;
  for (long sum : sums) total += sum;
  std::printf("total %ld\n", total);
  return 0;
}

volatile sig_atomic_t g_signals = 0;
void OnSignal(int) { g_signals = g_signals + Work(0) / Work(0); }

int Signals() {
  struct sigaction action {};
  action.sa_handler = OnSignal;
  sigaction(SIGUSR1, &action, nullptr);
  long sum = 0;
  for (int i = 0; i < 2000; ++i) {
    raise(SIGUSR1);
    sum += Work(i);
  }
  std::printf("signals %d sum %ld\n", static_cast<int>(g_signals), sum);
  return 0;
}

struct AtExit {
  ~AtExit() { std::printf("static destructor %d\n", Work(100)); }
} g_at_exit;

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "plain";
  if (mode == "fork") return Fork();
  if (mode == "exec") return Exec(argv);
  if (mode == "exceptions") return Exceptions();
  if (mode == "threads") return Threads();
  if (mode == "signals") return Signals();
  if (mode == "abort") {
    Work(1);
    std::abort();
  }
  if (mode == "quick") {
    std::printf("quick %d\n", Work(2));
    std::fflush(stdout);
    _exit(5);
  }
  std::printf("plain %d\n", Work(3));
  return 3;
}
