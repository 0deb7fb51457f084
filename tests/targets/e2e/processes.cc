// Processes and threads that come and go; the first argument is the mode.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

// What is executed is no host of the agent.
static char* g_no_environment[] = {nullptr};

__attribute__((noinline)) long Step(long value) {
  asm volatile(".byte 0x0f, 0x1f, 0x44, 0, 0" : "+r"(value));  // mark-step
  return value + 1;
}

long Steps(long count) {
  long value = 0;
  for (long i = 0; i < count; ++i) value = Step(value);
  return value;
}

int Status(pid_t child) {
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

// Threads fork all the time while others hit probes; children hit them too, then leave or exec.
int ForkStorm(int rounds) {
  std::atomic<long> right{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < rounds; ++i) {
        const pid_t child = fork();
        if (child == 0) {
          const long steps = Steps(50);
          std::string text(static_cast<size_t>(steps), 'x');  // malloc works in the child
          if ((i + t) % 3 == 0) execle("/bin/true", "true", nullptr, g_no_environment);
          _exit(text.size() == 50 ? 7 : 8);
        }
        const int status = Status(child);
        right += status == ((i + t) % 3 == 0 ? 0 : 7);
      }
    });
  }
  std::thread worker([&] {
    while (!stop) Steps(1000);
  });
  for (auto& thread : threads) thread.join();
  stop = true;
  worker.join();
  std::printf("right %ld\n", right.load());
  return 0;
}

int Vfork(int rounds) {
  long right = 0;
  for (int i = 0; i < rounds; ++i) {
    const pid_t child = vfork();
    if (child == 0) {
      Steps(3);
      execle("/bin/true", "true", nullptr, g_no_environment);
      _exit(9);
    }
    right += Status(child) == 0;
  }
  Steps(10);
  std::printf("right %ld\n", right);
  return 0;
}

int Spawn(int rounds) {
  long right = 0;
  for (int i = 0; i < rounds; ++i) {
    pid_t child = -1;
    char name[] = "true";
    char* arguments[] = {name, nullptr};
    Steps(3);
    if (posix_spawn(&child, "/bin/true", nullptr, nullptr, arguments, g_no_environment) != 0) continue;
    right += Status(child) == 0;
    right += WEXITSTATUS(std::system("exit 3")) == 3;
  }
  std::printf("right %ld\n", right);
  return 0;
}

// A child made behind the C library's back runs no fork handlers; it ends by exit().
int RawFork(int rounds) {
  long right = 0, slow = 0;
  for (int i = 0; i < rounds; ++i) {
    Steps(10);
    const auto start = std::chrono::steady_clock::now();
    const auto child = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    if (child == 0) {
      const long steps = Steps(100);
      std::exit(steps == 100 ? 7 : 8);
    }
    right += Status(child) == 7;
    slow += std::chrono::steady_clock::now() - start > std::chrono::milliseconds(400);
  }
  std::printf("right %ld slow %ld\n", right, slow);
  return 0;
}

// The child goes on as a service of its own and ends by exit handlers.
int ForkAndExit() {
  Steps(10);
  std::fflush(stdout);
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) {
    std::thread thread([] { Steps(1000); });
    thread.join();
    std::printf("child %ld\n", Steps(100));
    std::exit(7);
  }
  const int status = Status(child);
  const bool slow = std::chrono::steady_clock::now() - start > std::chrono::milliseconds(400);
  std::printf("status %d %s\n", status, slow ? "slow" : "fast");
  return 0;
}

int ThreadChurn(int rounds) {
  std::atomic<long> sum{0};
  for (int i = 0; i < rounds; ++i) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) threads.emplace_back([&] { sum += Steps(20); });
    for (auto& thread : threads) thread.join();
  }
  std::printf("sum %ld\n", sum.load());
  return 0;
}

// Needs a process of one thread: documented as what an agent that is on takes away.
int NewUserNamespace() {
  const int result = unshare(CLONE_NEWUSER);
  std::printf("unshare %d %s\n", result, result == 0 ? "" : std::strerror(errno));
  return 0;
}

int SetUserId() {
  Steps(10);
  if (setuid(65534) != 0) return 4;
  Steps(10);
  // Every thread of the process has changed, the agent's too.
  char command[128];
  std::snprintf(command, sizeof command,
                "cat /proc/%d/task/*/status | grep ^Uid | sort | uniq -c | wc -l", getpid());
  std::fflush(stdout);
  return WEXITSTATUS(std::system(command));
}

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 100;
  if (mode == "fork-storm") return ForkStorm(rounds);
  if (mode == "vfork") return Vfork(rounds);
  if (mode == "spawn") return Spawn(rounds);
  if (mode == "raw-fork") return RawFork(rounds);
  if (mode == "fork-exit") return ForkAndExit();
  if (mode == "churn") return ThreadChurn(rounds);
  if (mode == "user-namespace") return NewUserNamespace();
  if (mode == "setuid") return SetUserId();
  return 2;
}
