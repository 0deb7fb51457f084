// Frames that end in every way but by returning: exceptions, longjmp, cancellation, pthread_exit.
// The first argument is the mode, the second the number of rounds.
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

static long g_cleaned = 0;  // destructors that ran

struct Guard {
  explicit Guard(long weight) : weight(weight) {}
  ~Guard() { g_cleaned += weight; }
  long weight;
};

struct Odd : std::runtime_error {
  explicit Odd(int value) : std::runtime_error("odd " + std::to_string(value)) {}
};

__attribute__((noinline)) int MayThrow(int value) {
  Guard guard(1);
  if (value % 2 == 1) {
    throw Odd(value);  // mark-throw
  }
  asm volatile(".byte 0x0f, 0x1f, 0x44, 0, 0" : "+r"(value));
  return value + 1;
}

struct Base {
  virtual ~Base() = default;
  virtual int Call(int value) = 0;
};
struct Derived final : Base {
  int Call(int value) override { return MayThrow(value); }
};
// Volatile, so that no call is made direct.
Base* volatile g_object = new Derived;
int (*volatile g_function)(int) = &MayThrow;

__attribute__((noinline)) int Direct(int value) {
  Guard guard(10);
  int result = MayThrow(value);  // mark-direct
  asm volatile("" : "+r"(result));
  return result + 1;
}

__attribute__((noinline)) int Indirect(int value) {
  Guard guard(100);
  int result = g_function(value);  // mark-indirect
  asm volatile("" : "+r"(result));
  return result + 1;
}

__attribute__((noinline)) int Virtual(int value) {
  Guard guard(1000);
  int result = g_object->Call(value);  // mark-virtual
  asm volatile("" : "+r"(result));
  return result + 1;
}

__attribute__((noinline)) int Rethrow(int value) {
  try {
    return Direct(value) + Indirect(value);
  } catch (const Odd&) {
    asm volatile(".byte 0x0f, 0x1f, 0x44, 0, 0");  // mark-catch
    throw;                // mark-rethrow
  }
}

int Exceptions(int rounds) {
  long sum = 0, caught = 0;
  for (int i = 0; i < rounds; ++i) {
    for (auto function : {&Direct, &Indirect, &Virtual, &Rethrow}) {
      try {
        sum += function(i);
      } catch (const Odd& error) {
        caught += error.what()[0] == 'o';
      }
    }
  }
  std::printf("sum %ld caught %ld cleaned %ld\n", sum, caught, g_cleaned);
  return 0;
}

// ---- longjmp ----

static jmp_buf g_place;
static sigjmp_buf g_signal_place;

__attribute__((noinline)) int Deep(int depth) {
  asm volatile(".byte 0x0f, 0x1f, 0x44, 0, 0" : "+r"(depth));  // mark-deep
  if (depth == 0) longjmp(g_place, 1);
  int result = Deep(depth - 1);  // mark-recursion
  asm volatile("" : "+r"(result));
  return result + 1;
}

int LongJump(int rounds) {
  volatile long jumps = 0;
  for (volatile int i = 0; i < rounds; i = i + 1) {
    if (setjmp(g_place) == 0) {
      Deep(20);
    } else {
      jumps = jumps + 1;
    }
  }
  std::printf("jumps %ld\n", jumps);
  return 0;
}

__attribute__((noinline)) long Step(long value) {
  asm volatile(".byte 0x0f, 0x1f, 0x44, 0, 0" : "+r"(value));  // mark-step
  return value + 1;
}

void JumpOut(int) {
  Step(0);
  siglongjmp(g_signal_place, 1);
}

// The timer interrupts the loop anywhere: in a trampoline and in the agent's code most of the time.
int SignalJump(int rounds) {
  struct sigaction action {};
  action.sa_handler = &JumpOut;
  sigaction(SIGALRM, &action, nullptr);
  volatile int jumps = 0;
  const itimerval every{{0, 200}, {0, 200}};
  if (sigsetjmp(g_signal_place, 1) != 0) jumps = jumps + 1;
  setitimer(ITIMER_REAL, &every, nullptr);
  while (jumps < rounds) {
    long value = 0;
    for (int i = 0; i < 1000; ++i) value = Step(value);
    if (value != 1000) std::abort();
  }
  const itimerval never{};
  setitimer(ITIMER_REAL, &never, nullptr);
  signal(SIGALRM, SIG_IGN);
  // The line still counts after all that.
  long value = 0;
  for (int i = 0; i < 1000; ++i) value = Step(value);
  std::printf("jumps %s, then %ld\n", jumps >= rounds ? "enough" : "lost", value);
  return 0;
}

// ---- cancellation and pthread_exit ----

static std::atomic<long> g_popped{0};
static std::atomic<long> g_destroyed{0};
struct Counted {
  ~Counted() { ++g_destroyed; }
};
void Pop(void*) { ++g_popped; }

__attribute__((noinline)) void UntilCancelled(std::atomic<int>* started) {
  Counted counted;
  for (long i = 0;; ++i) {
    i = Step(i) - 1;
    *started = 1;
    pthread_testcancel();  // mark-testcancel
  }
}

void* Deferred(void* started) {
  pthread_cleanup_push(&Pop, nullptr);
  UntilCancelled(static_cast<std::atomic<int>*>(started));
  pthread_cleanup_pop(0);
  return nullptr;
}

__attribute__((noinline)) void SpinForever(std::atomic<int>* started) {
  for (long i = 0;;) {
    i = Step(i);
    *started = 1;
  }
}

// Volatile: a call that the compiler knows not to throw is in no call-site table, and cancelling
// it would end the process.
void (*volatile g_spin)(std::atomic<int>*) = &SpinForever;

void* Asynchronous(void* started) {
  pthread_cleanup_push(&Pop, nullptr);
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
  g_spin(static_cast<std::atomic<int>*>(started));
  pthread_cleanup_pop(0);
  return nullptr;
}

__attribute__((noinline)) void Leave(int depth) {
  Counted counted;
  asm volatile(".byte 0x0f, 0x1f, 0x44, 0, 0" : "+r"(depth));  // mark-leave
  if (depth == 0) pthread_exit(reinterpret_cast<void*>(42));  // mark-exit
  Leave(depth - 1);  // mark-leaving
  asm volatile(".byte 0x0f, 0x1f, 0x44, 0, 0");
}

void* Exits(void* started) {
  pthread_cleanup_push(&Pop, nullptr);
  *static_cast<std::atomic<int>*>(started) = 1;
  Leave(10);
  pthread_cleanup_pop(0);
  return nullptr;
}

int Cancel(void* (*body)(void*), bool cancel, int rounds) {
  long cancelled = 0, left = 0;
  for (int i = 0; i < rounds; ++i) {
    pthread_t thread;
    std::atomic<int> started{0};
    if (pthread_create(&thread, nullptr, body, &started) != 0) return 1;
    while (started == 0) sched_yield();
    if (cancel) pthread_cancel(thread);
    void* result = nullptr;
    pthread_join(thread, &result);
    cancelled += result == PTHREAD_CANCELED;
    left += result == reinterpret_cast<void*>(42);
  }
  std::printf("cancelled %ld left %ld popped %ld destroyed %ld\n", cancelled, left,
              g_popped.load(), g_destroyed.load());
  long value = 0;
  for (int i = 0; i < 1000; ++i) value = Step(value);
  std::printf("then %ld\n", value);
  return 0;
}

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 100;
  if (mode == "exceptions") return Exceptions(rounds);
  if (mode == "longjmp") return LongJump(rounds);
  if (mode == "signal-jump") return SignalJump(rounds);
  if (mode == "deferred") return Cancel(&Deferred, true, rounds);
  if (mode == "asynchronous") return Cancel(&Asynchronous, true, rounds);
  if (mode == "exit") return Cancel(&Exits, false, rounds);
  return 2;
}
