// Every way a process ends, with hits until the last moment; the first argument is the mode.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

__attribute__((noinline)) long Step(long value) {
  asm volatile(".byte 0x0f, 0x1f, 0x44, 0, 0" : "+r"(value));  // mark-step
  return value + 1;
}

long Steps(long count) {
  long value = 0;
  for (long i = 0; i < count; ++i) value = Step(value);
  return value;
}

void Say(const char* what, long value) {
  std::printf("%s %ld\n", what, value);
  std::fflush(stdout);
}

struct Static {
  ~Static() { Say("static destructor", Steps(10)); }
};
Static g_static;
struct Local {
  ~Local() { Say("thread destructor", Steps(10)); }
};
thread_local Local t_local;

void AtExit() { Say("atexit", Steps(10)); }
void AtQuickExit() { Say("at_quick_exit", Steps(10)); }
__attribute__((destructor)) void Fini() { Say("fini", Steps(10)); }

void* HitForever(void*) {
  for (long value = 0;;) value = Step(value) % 1000;
}

void HitInBackground(int threads) {
  for (int i = 0; i < threads; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, nullptr, &HitForever, nullptr) != 0) std::abort();
    pthread_detach(thread);
  }
}

void* FinishLater(void*) {
  usleep(700000);
  Say("last thread", Steps(10));
  return nullptr;
}

void ExitInHandler(int) {
  Steps(10);
  _exit(9);
}

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  std::atexit(&AtExit);
  std::at_quick_exit(&AtQuickExit);
  (void)&t_local;
  Say("start", Steps(10));
  if (mode == "return") return 5;
  if (mode == "exit") std::exit(6);
  if (mode == "exit-busy") {
    HitInBackground(4);
    usleep(20000);
    std::exit(6);
  }
  if (mode == "exit-from-thread") {
    HitInBackground(2);
    std::thread([] { std::exit(7); }).join();
  }
  if (mode == "quick-exit") {
    HitInBackground(2);
    std::quick_exit(8);
  }
  if (mode == "_exit") {
    HitInBackground(2);
    _exit(9);
  }
  if (mode == "abort") {
    HitInBackground(2);
    std::abort();
  }
  if (mode == "kill") {
    HitInBackground(2);
    raise(SIGKILL);
  }
  if (mode == "terminate") {
    HitInBackground(2);
    raise(SIGTERM);
  }
  if (mode == "exit-in-handler") {
    signal(SIGALRM, &ExitInHandler);
    alarm(1);
    HitForever(nullptr);
  }
  // The process lives on until its last thread ends, and then exits with 0.
  if (mode == "main-leaves") {
    pthread_t thread;
    if (pthread_create(&thread, nullptr, &FinishLater, nullptr) != 0) return 1;
    pthread_detach(thread);
    pthread_exit(nullptr);
  }
  return 2;
}
