// Hosts that use signals in every way; the first argument is the mode. "…-wait" modes say "ready"
// and go on when a byte arrives on standard input.
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <vector>

struct Node {
  long value;
  Node* next;
};

__attribute__((noinline)) long Step(long value) {
  asm volatile(".byte 0x0f, 0x1f, 0x44, 0, 0" : "+r"(value));  // mark-step
  return value + 1;
}

__attribute__((noinline)) long Visit(Node* node) {
  asm volatile(".byte 0x0f, 0x1f, 0x44, 0, 0" : "+r"(node) : : "memory");  // mark-visit
  return node->value;
}

static std::atomic<long> g_handled{0};

void OnSignal(int) {
  const long value = Step(0);
  if (value != 1) std::abort();
  ++g_handled;
}

void Handle(int number, void (*handler)(int), int flags = 0) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigaction(number, &action, nullptr);
}

long Work(long rounds) {
  Node second{2, nullptr}, first{1, &second};
  long sum = 0;
  for (long i = 0; i < rounds; ++i) sum += Step(i) + Visit(&first);
  return sum;
}

// Several threads send while one works: the handler interrupts hits at every instruction.
int Storm(void (*handler)(int)) {
  Handle(SIGUSR1, handler, SA_RESTART);
  std::atomic<bool> stop{false};
  const pthread_t self = pthread_self();
  std::thread sender([&] {
    while (!stop) {
      pthread_kill(self, SIGUSR1);
      usleep(30);
    }
  });
  long rounds = 0, wrong = 0;
  const std::time_t deadline = std::time(nullptr) + 30;
  while (rounds < 20 || (g_handled < 300 && std::time(nullptr) < deadline)) {
    wrong += Work(10000) != 50015000;
    ++rounds;
  }
  stop = true;
  sender.join();
  std::printf("wrong %ld handled %s\n", wrong, g_handled >= 300 ? "many" : "few");
  return 0;
}

void Profile(int) {
  void* frames[32];
  const int count = backtrace(frames, 32);
  if (count < 1) std::abort();
  ++g_handled;
}

int Profiler() {
  void* warm[4];
  backtrace(warm, 4);  // loads libgcc_s now, not in the handler
  return Storm(&Profile);
}

int main(int argc, char** argv);
static std::atomic<long> g_lost{0};

// A sampling profiler's stack must lead from wherever it interrupted to main.
void Sample(int) {
  bool reached = false;
  _Unwind_Backtrace(
      [](_Unwind_Context* context, void* out) {
        *static_cast<bool*>(out) |=
            _Unwind_GetRegionStart(context) == reinterpret_cast<_Unwind_Ptr>(&main);
        return _URC_NO_REASON;
      },
      &reached);
  if (!reached) ++g_lost;
  ++g_handled;
}

int Samples() {
  Sample(0);  // resolves what is resolved lazily now, not in the handler
  const int failed = Storm(&Sample);
  std::printf("lost %ld\n", g_lost.load());
  return failed;
}

// Every signal is blocked in every thread.
int Blocked() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  long sums[4] = {};
  std::vector<std::thread> threads;
  for (long& sum : sums) threads.emplace_back([&sum] { sum = Work(20000); });
  for (auto& thread : threads) thread.join();
  sigset_t pending;
  kill(getpid(), SIGTERM);
  kill(getpid(), SIGABRT);
  sigpending(&pending);
  std::printf("sums %ld %ld %ld %ld, pending %d %d\n", sums[0], sums[1], sums[2], sums[3],
              sigismember(&pending, SIGTERM), sigismember(&pending, SIGABRT));
  int number = 0;
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGTERM);
  sigwait(&wanted, &number);
  std::printf("waited for %d\n", number);
  return 0;
}

// ---- null checks as a virtual machine makes them: the handler knows the faulting pc ----

extern "C" const char null_check_load[], null_check_resume[];
static std::atomic<long> g_unknown{0};

void OnFault(int, siginfo_t*, void* raw) {
  auto* context = static_cast<ucontext_t*>(raw);
  auto& pc = context->uc_mcontext.gregs[REG_RIP];
  if (pc == reinterpret_cast<greg_t>(null_check_load)) {
    pc = reinterpret_cast<greg_t>(null_check_resume);
    context->uc_mcontext.gregs[REG_RAX] = -1;
    ++g_handled;
    return;
  }
  static const char kUnknown[] = "a fault at a pc that the program does not know\n";
  (void)!write(STDERR_FILENO, kUnknown, sizeof kUnknown - 1);
  _exit(86);
}

__attribute__((noinline)) long Load(const long* pointer) {
  long value;
  asm volatile("null_check_load:\n\tmovq (%1), %0\nnull_check_resume:"  // mark-load
               : "=a"(value) : "D"(pointer) : "memory");
  return value;
}

void InstallFaultHandler(bool alternate_stack) {
  static char stack[65536];
  if (alternate_stack) {
    const stack_t alternate{stack, 0, sizeof stack};
    sigaltstack(&alternate, nullptr);
  }
  struct sigaction action {};
  action.sa_sigaction = &OnFault;
  action.sa_flags = SA_SIGINFO | (alternate_stack ? SA_ONSTACK : 0);
  sigaction(SIGSEGV, &action, nullptr);
}

int NullChecks() {
  long sum = 0;
  long seven = 7;
  for (int i = 0; i < 5000; ++i) {
    sum += Load(i % 3 == 0 ? nullptr : &seven);
    sum += Step(i);
    Node node{i, nullptr};
    sum += Visit(&node);
  }
  std::printf("sum %ld null %ld\n", sum, g_handled.load());
  return 0;
}

void Ready() {
  std::printf("ready\n");
  std::fflush(stdout);
  char byte;
  if (read(STDIN_FILENO, &byte, 1) != 1) std::exit(3);
}

// The handler that was there before ours chains to whatever was installed in front of it.
static struct sigaction g_previous;
void Chained(int number, siginfo_t* info, void* context) {
  ++g_handled;
  if ((g_previous.sa_flags & SA_SIGINFO) != 0) {
    g_previous.sa_sigaction(number, info, context);
  } else if (g_previous.sa_handler == SIG_DFL) {
    signal(number, SIG_DFL);
  }
}

int ChainAndDie() {
  struct sigaction action {};
  action.sa_sigaction = &Chained;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, &g_previous);
  std::printf("sum %ld\n", Work(1000));
  std::fflush(stdout);
  *static_cast<volatile int*>(nullptr) = 1;
  return 0;
}

// Handlers on an alternative stack, with hits in them and under them.
int AlternateStack() {
  static char stack[32768];
  const stack_t alternate{stack, 0, sizeof stack};
  sigaltstack(&alternate, nullptr);
  Handle(SIGUSR1, &OnSignal, SA_ONSTACK | SA_RESTART);
  long sum = 0;
  for (int i = 0; i < 20000; ++i) {
    raise(SIGUSR1);
    sum += Step(i);
  }
  std::printf("sum %ld handled %ld\n", sum, g_handled.load());
  return 0;
}

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "handlers") return Storm(&OnSignal);
  if (mode == "profiler") return Profiler();
  if (mode == "samples") return Samples();
  if (mode == "blocked") return Blocked();
  if (mode == "alternate") return AlternateStack();
  if (mode == "chain") return ChainAndDie();
  if (mode == "fault") {
    std::printf("sum %ld\n", Work(1000));
    std::fflush(stdout);
    *static_cast<volatile int*>(nullptr) = 1;
  }
  // The handler is there before the agent's…
  if (mode == "null-before" || mode == "null-before-alternate") {
    InstallFaultHandler(mode != "null-before");
    Ready();
    return NullChecks();
  }
  // …or comes later and takes its place.
  if (mode == "null-after") {
    Ready();
    InstallFaultHandler(false);
    return NullChecks();
  }
  return 2;
}
