// Threads that run a line again and again until somebody kills the process. What they have done
// stands in a file that is mapped shared, so that the test can read it afterwards.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

namespace {

std::atomic<uint64_t>* g_done;  // by thread

__attribute__((noinline)) uint64_t Work(uint64_t thread, uint64_t run) {
  std::string text = "run " + std::to_string(run) + " of " + std::to_string(thread);
  std::string password = "hunter2-" + std::to_string(run);
  // In memory, so that they are there at the line.
  volatile uint64_t n = run, of = thread, twice = run * 2;
  asm volatile("" : : "r"(&text), "r"(&password) : "memory");
  return n + of + twice + text.size() + password.size();  // mark-work
}

void Loop(uint64_t thread, int pause_us) {
  uint64_t sum = 0;
  for (uint64_t run = 1;; ++run) {
    sum += Work(thread, run);
    g_done[thread].store(run);
    if (pause_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(pause_us));
  }
  std::printf("%llu\n", static_cast<unsigned long long>(sum));
}

}  // namespace

// killed FILE PAUSE_US MODE: "run", "fork" (children run the line, too), "raw" (the same by a bare
// system call), "exec" (replaces itself by another program), "once N" (N times, then waits), "die N" (N times, then is killed).
int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
  if (fd < 0 || ftruncate(fd, 4096) != 0) return 1;
  g_done = static_cast<std::atomic<uint64_t>*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  const int pause_us = std::atoi(argv[2]);
  const std::string mode = argv[3];
  std::puts("ready");
  std::fflush(stdout);
  if (mode == "once" || mode == "die") {
    const uint64_t runs = std::strtoull(argv[4], nullptr, 10);
    for (uint64_t run = 1; run <= runs; ++run) {
      Work(0, run);
      g_done[0].store(run);
    }
    if (mode == "die") kill(getpid(), SIGKILL);
    pause();
  }
  if (mode == "exec") {
    Work(0, 1);
    execl("/bin/sleep", "sleep", "60", nullptr);
    return 1;
  }
  if (mode == "fork" || mode == "raw") {
    // The children hit the line while the parent does; what they leave is nobody's.
    for (int child = 0; child < 2; ++child) {
      const pid_t pid =
          mode == "fork" ? fork() : static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
      if (pid == 0) {
        for (uint64_t run = 1; run <= 3000; ++run) {
          Work(100 + static_cast<uint64_t>(child), run);
          g_done[100 + child].store(run);
        }
        _exit(0);
      }
    }
  }
  std::thread first(Loop, 0, pause_us), second(Loop, 1, pause_us);
  if (mode == "fork" || mode == "raw") {
    while (wait(nullptr) > 0) {
    }
    g_done[200].store(1);
  }
  first.join();
}
