// Arguments that are overwritten before the marked lines, in functions whose callers tell nothing.
// Each call prints the truth about them first, under a number that the marked line's snapshot shows,
// too.
#include "entry_stash.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace {

std::atomic<long> g_serial{0};

// The compiler may keep nothing over this line but what is in memory.
#define FORGET() asm volatile("" ::: "rbx", "r12", "r13", "r14", "r15", "memory")

template <typename... Values>
[[gnu::noinline]] void Say(long serial, const char* format, Values... values) {
  char text[256];
  int at = std::snprintf(text, sizeof text, "truth %ld ", serial);
  at += std::snprintf(text + at, sizeof text - at, format, values...);
  text[at++] = '\n';
  if (write(1, text, at) != at) std::abort();
}

[[gnu::noinline]] long Called(long key, long other, double rate) {
  volatile long serial = ++g_serial;
  Say(serial, "key=%ld other=%ld rate=%.17g", key, other, rate);
  FORGET();
  serial = serial + 0;  // mark-called
  return serial;
}

[[gnu::noinline]] long Inner(long value) {
  volatile long serial = ++g_serial;
  Say(serial, "value=%ld", value);
  FORGET();
  serial = serial + 0;  // mark-inner
  return serial;
}

// The tracepoint is in the function that it calls.
[[gnu::noinline]] long Outer(long first, long second, double third) {
  volatile long serial = ++g_serial;
  Say(serial, "first=%ld second=%ld third=%.17g", first, second, third);
  FORGET();
  return Inner(serial) + serial;
}

[[gnu::noinline]] int CompareLongs(const void* left, const void* right) {
  volatile long serial = ++g_serial;
  Say(serial, "left=%p right=%p", left, right);
  volatile int order = *static_cast<const long*>(left) < *static_cast<const long*>(right) ? -1 : 1;
  FORGET();
  serial = serial + 0;  // mark-compare
  return order;
}

[[gnu::noinline]] bool Less(long one, long two) {
  volatile long serial = ++g_serial;
  Say(serial, "one=%ld two=%ld", one, two);
  volatile bool less = one < two;
  FORGET();
  serial = serial + 0;  // mark-less
  return less;
}

// Each call has its own arguments, and they are asked for on the way back as well: by then the
// deeper calls have stashed theirs.
[[gnu::noinline]] long Recurse(long left, long key) {
  volatile long serial = ++g_serial;
  volatile long result = 0;
  Say(serial, "left=%ld key=%ld", left, key);
  if (left > 0) result = Descend(&Recurse, left, key);
  FORGET();
  serial = serial + 0;  // mark-recurse
  return result;
}

[[gnu::noinline]] void* Work(void* argument) {
  volatile long serial = ++g_serial;
  Say(serial, "argument=%p", argument);
  FORGET();
  serial = serial + 0;  // mark-work
  return nullptr;
}

[[gnu::noinline]] void OnSignal(int number, siginfo_t* info, void* context) {
  volatile long serial = ++g_serial;
  Say(serial, "number=%d info=%p context=%p", number, (void*)info, context);
  FORGET();
  serial = serial + 0;  // mark-signal
}

// The loop's head is the function's entry: a probe there sees every round, and from the second one on
// other values in the registers. (Truth is told by who calls it.)
[[gnu::noinline]] void Spin(volatile long* sum, long rounds, long third, long fourth) {
  do {
    const long one = *sum, two = *sum, three = *sum;
    *sum = one * two ^ three;
    --rounds;
  } while (rounds != 0);
  *sum = 0;  // mark-spin
}

// Tail calls Called, which then stands where this function's frame was.
[[gnu::noinline]] long Forward(long key, long other, double rate) {
  return Called(other * 7, key * 7, rate * 7);
}

// Leaves by longjmp and by an exception, over frames whose stashes stay behind.
[[gnu::noinline]] long Throws(long key, long depth) {
  volatile long serial = ++g_serial;
  Say(serial, "key=%ld depth=%ld", key, depth);
  if (depth == 0 && key % 3 == 0) throw key;
  if (depth == 0) return key;
  volatile long result = Throws(key + 1, depth - 1);
  FORGET();
  serial = serial + 0;  // mark-throws
  return result;
}

[[gnu::noinline]] long Catches(long key) {
  volatile long serial = ++g_serial;
  Say(serial, "key=%ld", key);
  volatile long caught = 0;
  try {
    Throws(key, key % 4);
  } catch (long value) {
    caught = value;
  }
  FORGET();
  serial = serial + 0;  // mark-catches
  return caught;
}

// ---- Fibers that begin on one thread and go on on another ----

struct Fiber {
  ucontext_t context;
  ucontext_t* back;
  long rounds;
  char stack[64 * 1024];
};
constexpr int kFibers = 8;
Fiber g_fibers[kFibers];

[[gnu::noinline]] long Step(Fiber* fiber, long key, double rate) {
  volatile long serial = ++g_serial;
  Say(serial, "fiber=%p key=%ld rate=%.17g", (void*)fiber, key, rate);
  swapcontext(&fiber->context, fiber->back);
  FORGET();
  serial = serial + 0;  // mark-step
  return serial;
}

void RunFiber(int index) {
  Fiber& fiber = g_fibers[index];
  while (fiber.rounds-- > 0) Step(&fiber, fiber.rounds * 10 + index, fiber.rounds * 0.25);
  swapcontext(&fiber.context, fiber.back);
}

// Any thread takes any fiber: the lock hands them over.
std::mutex g_lock;
std::atomic<long> g_left;

void* RunFibers(void*) {
  ucontext_t here;
  for (unsigned next = 0; g_left > 0; next = next * 5 + 3) {
    static std::atomic<bool> taken[kFibers];
    const int index = next % kFibers;
    if (taken[index].exchange(true)) continue;
    Fiber& fiber = g_fibers[index];
    if (fiber.rounds >= 0) {
      fiber.back = &here;
      swapcontext(&here, &fiber.context);
      --g_left;
    }
    taken[index] = false;
  }
  return nullptr;
}

void Fibers(long rounds) {
  for (int i = 0; i < kFibers; ++i) {
    Fiber& fiber = g_fibers[i];
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = sizeof fiber.stack;
    fiber.context.uc_link = nullptr;
    fiber.rounds = rounds;
    makecontext(&fiber.context, reinterpret_cast<void (*)()>(&RunFiber), 1, i);
  }
  g_left = kFibers * (rounds + 1);
  pthread_t threads[3];
  for (pthread_t& thread : threads) pthread_create(&thread, nullptr, &RunFibers, nullptr);
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
}

// ---- Calls that began before the tracepoint was armed ----

[[gnu::noinline]] long Waits(long key) {
  volatile long serial = ++g_serial;
  Say(serial, "key=%ld", key);
  char line[64];
  // The test arms the tracepoint, or takes it out, before it answers.
  while (std::fgets(line, sizeof line, stdin) != nullptr && std::strcmp(line, "go\n") != 0) {
  }
  FORGET();
  serial = serial + 0;  // mark-waits
  return serial;
}

// ---- Load: every call keeps a copy of the truth in memory ----

std::atomic<bool> g_stop;

[[gnu::noinline]] long Checked(long key, long other, double rate) {
  volatile long kept_key = key;
  volatile long kept_other = other;
  volatile double kept_rate = rate;
  if (key % 7 == 3 && other > 0) {
    kept_key = kept_key + 0 * Descend([](long left, long at) { return Checked(at, -left, 2.5); }, other % 100, key);
  }
  FORGET();
  kept_key = kept_key + 0;  // mark-checked
  return kept_other + static_cast<long>(kept_rate);
}

void OnTimer(int) {
  static std::atomic<long> turn;
  CallBack(&Checked, ++turn * 1000003, 0.75 * turn);
}

void* Load(void* argument) {
  const long first = reinterpret_cast<long>(argument);
  for (long i = first; !g_stop; ++i) CallBack(&Checked, i, i * 0.5);
  return nullptr;
}

void RunLoad() {
  struct sigaction action = {};
  action.sa_handler = &OnTimer;
  action.sa_flags = SA_RESTART;
  sigaction(SIGPROF, &action, nullptr);
  const itimerval often{{0, 1000}, {0, 1000}};
  setitimer(ITIMER_PROF, &often, nullptr);
  pthread_t threads[3];
  for (long i = 0; i < 3; ++i) {
    pthread_create(&threads[i], nullptr, &Load, reinterpret_cast<void*>(i << 40));
  }
  while (std::getchar() != EOF) {
  }
  g_stop = true;
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  std::puts("ok");
}

}  // namespace

int main(int argc, char** argv) {
  const long rounds = argc > 2 ? std::atol(argv[2]) : 5;
  if (argc > 1 && std::strcmp(argv[1], "waits") == 0) {
    long (*volatile waits)(long) = &Waits;
    for (long i = 0; i < rounds; ++i) waits(1000 + i);
    return 0;
  }
  if (argc > 1 && std::strcmp(argv[1], "load") == 0) {
    RunLoad();
    return 0;
  }
  volatile long sum = 0;
  long (*volatile called)(long, long, double) = &Called;
  long (*volatile forward)(long, long, double) = &Forward;
  void (*volatile spin)(volatile long*, long, long, long) = &Spin;
  long (*volatile catches)(long) = &Catches;
  for (long i = 0; i < rounds; ++i) {
    sum = sum + CallBack(called, 100 + i, 1.5 + i) + called(i, -i, i * 0.125) + forward(i, 2, 3.5);
    sum = sum + CallBack(&Outer, 7 * i, 0.75 * i);
    long values[] = {5, 3, 9, 1, 7};
    Sort(values, 5, &CompareLongs);
    SortStd(values, 5, &Less);
    Descend(&Recurse, 6, 10 * i);
    pthread_t thread;
    pthread_create(&thread, nullptr, &Work, reinterpret_cast<void*>(0x1000 + i));
    pthread_join(thread, nullptr);
    spin(&sum, i + 3, 33, 44);
    catches(i);
  }
  struct sigaction action = {};
  action.sa_sigaction = &OnSignal;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGUSR1, &action, nullptr);
  for (long i = 0; i < rounds; ++i) raise(SIGUSR1);
  Fibers(rounds);
  return 0;
}
