// The program that all tools probe: `workload IN OUT` reads commands from one named pipe and
// answers each with one line of JSON on the other. (Not stdin and stdout: debuggers sit there.)
//
//   run THREADS PAIRS BURST_US MAX_HITS PAUSE_US   bursts of the plain and the probed loop in turn
//   hit COUNT ID                                   COUNT hits with this id, unmeasured
//   stack                                          bytes below the caller's stack that a hit writes
//   quit
//
// A run's answer: for each thread and pair, in nanoseconds, the plain burst's thread CPU time and
// wall time, and the probed burst's start, CPU time and wall time. A thread's first pair warms up
// and is left out. Every probed call counts in "total".
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "stillframe/trace.h"
#include "work.h"

namespace {

std::atomic<int64_t> g_total{0};
std::atomic<int64_t> g_traps{0};
volatile int64_t g_sink;

int64_t Now(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Spins: the threads of a run must be in the probed loop at the same time.
class Barrier {
 public:
  explicit Barrier(int threads) : threads_(threads) {}
  void Wait() {
    const int turn = turn_.load();
    if (waiting_.fetch_add(1) + 1 == threads_) {
      waiting_.store(0);
      turn_.store(turn + 1);
      return;
    }
    while (turn_.load() == turn) __builtin_ia32_pause();
  }

 private:
  const int threads_;
  std::atomic<int> waiting_{0};
  std::atomic<int> turn_{0};
};

struct Cost {
  int64_t start = 0;  // wall, nanoseconds
  int64_t cpu = 0;
  int64_t wall = 0;
};

struct Pair {
  Cost plain;
  Cost probed;
};

struct Span {
  int64_t cpu = Now(CLOCK_THREAD_CPUTIME_ID);
  int64_t wall = Now(CLOCK_MONOTONIC);
};

template <typename Loop>
Cost Time(Loop loop, int64_t hits, const std::string& name, Order* order) {
  const Span start;
  g_sink = loop(hits, 1, name, order);
  const Span end;
  return {start.wall, end.cpu - start.cpu, end.wall - start.wall};
}

struct Plan {
  int threads = 1;
  int pairs = 10;
  int64_t burst_us = 1000;
  int64_t max_hits = 1'000'000;
  int64_t pause_us = 0;
};

constexpr int64_t kWarmUpHits = 100'000;
// Of every probed thread, as one that serves a request has.
constexpr char kTraceParent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

// Each thread has data of its own, as services have.
struct Worker {
  Order order;
  Customer customer;
  std::string name = "a customer's name";
  std::vector<Pair> pairs;

  Worker() { order.customer = &customer; }
};

void PinTo(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
  // Others use this machine: bursts should not be cut short. Refused without the privilege.
  const sched_param priority{1};
  if (sched_setscheduler(0, SCHED_FIFO, &priority) != 0) {
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), -19);
  }
}

// As many as take the time wanted; with a pause, which lets a tool empty its buffers, as many as
// fit these, whatever time they take.
int64_t HitsOfBurst(const Plan& plan, Worker& worker) {
  if (plan.pause_us > 0) return plan.max_hits;
  int64_t hits = 1;
  while (hits < plan.max_hits) {
    const int64_t start = Now(CLOCK_MONOTONIC);
    g_sink = probed::Loop(hits, 1, worker.name, &worker.order);
    g_total.fetch_add(hits);
    const int64_t took = std::max<int64_t>(Now(CLOCK_MONOTONIC) - start, 1);
    if (took * 4 > plan.burst_us * 1000) {
      hits = std::max<int64_t>(hits * plan.burst_us * 1000 / took, 1);
      break;
    }
    hits *= 2;
  }
  return std::min(hits, plan.max_hits);
}

void RunWorker(const Plan& plan, int index, Worker& worker, Barrier& barrier,
               std::atomic<int64_t>& hits) {
  PinTo(index % static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
  const stillframe::TraceScope trace(kTraceParent);
  if (index == 0) hits = HitsOfBurst(plan, worker);
  for (int pair = 0; pair <= plan.pairs; ++pair) {
    if (plan.pause_us > 0) {
      usleep(static_cast<useconds_t>(plan.pause_us));
      // What a core does slowly after a rest must not be the first burst's cost, whichever it is.
      g_sink = plain::Loop(kWarmUpHits, 1, worker.name, &worker.order);
    }
    Pair now;
    for (int turn = 0; turn < 2; ++turn) {
      barrier.Wait();
      const bool is_probed = (turn + pair) % 2 == 0;  // neither is always first
      (is_probed ? now.probed : now.plain) =
          Time(is_probed ? &probed::Loop : &plain::Loop, hits, worker.name, &worker.order);
    }
    g_total.fetch_add(hits);
    if (pair > 0) worker.pairs.push_back(now);
  }
  barrier.Wait();
}

void PrintPairs(FILE* out, const Worker& worker) {
  const char* separator = "[";
  for (const Pair& pair : worker.pairs) {
    std::fprintf(out, "%s[%ld,%ld,%ld,%ld,%ld]", separator, pair.plain.cpu, pair.plain.wall,
                 pair.probed.start, pair.probed.cpu, pair.probed.wall);
    separator = ",";
  }
  std::fprintf(out, "]");
}

void Run(const Plan& plan, FILE* out) {
  std::vector<Worker> workers(static_cast<size_t>(plan.threads));
  Barrier barrier(plan.threads);
  std::atomic<int64_t> hits{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < plan.threads; ++i) {
    threads.emplace_back([&, i] { RunWorker(plan, i, workers[size_t(i)], barrier, hits); });
  }
  for (std::thread& thread : threads) thread.join();
  std::fprintf(out, "{\"total\":%ld,\"hits\":%ld,\"threads\":[", g_total.load(), hits.load());
  for (const Worker& worker : workers) {
    if (&worker != &workers.front()) std::fprintf(out, ",");
    PrintPairs(out, worker);
  }
  std::fprintf(out, "]}\n");
}

// ---- the painted stack: what a call writes below this frame ----

constexpr size_t kPaintedBytes = 64 * 1024;
constexpr uint64_t kPaint = 0x5AA5C33C0FF0E11E;

__attribute__((noipa)) void Paint() {
  volatile uint64_t area[kPaintedBytes / 8];
  asm volatile("" : : "r"(area) : "memory");
  for (size_t i = 0; i < kPaintedBytes / 8; ++i) area[i] = kPaint;
}

// The address of the lowest word that is no longer painted. Same frame as Paint's.
__attribute__((noipa, no_sanitize("address"))) uint64_t LowestWritten() {
  volatile uint64_t area[kPaintedBytes / 8];
  asm volatile("" : : "r"(area) : "memory");
  for (size_t i = 0; i < kPaintedBytes / 8; ++i) {
    if (area[i] != kPaint) return reinterpret_cast<uint64_t>(&area[i]);
  }
  return reinterpret_cast<uint64_t>(area) + kPaintedBytes;
}

template <typename Work>
__attribute__((noipa)) uint64_t LowestOf(Work work, Worker& worker) {
  Paint();
  g_sink = work(1, 3, 1.0, worker.name, &worker.order);
  return LowestWritten();
}

void MeasureStack(FILE* out) {
  Worker worker;
  g_sink = probed::Work(1, 3, 1.0, worker.name, &worker.order);  // a thread's first hit is another
  const uint64_t plain = LowestOf(&plain::Work, worker);
  const uint64_t probed = LowestOf(&probed::Work, worker);
  g_total.fetch_add(2);
  std::fprintf(out, "{\"total\":%ld,\"stack_bytes\":%ld}\n", g_total.load(),
               static_cast<int64_t>(plain - probed));
}

}  // namespace

// Debuggers stop here when all is done, to be asked what they counted.
extern "C" __attribute__((noipa)) void sfbench_end() { asm volatile("" ::: "memory"); }

namespace {

void OnTrap(int) { g_traps.fetch_add(1, std::memory_order_relaxed); }

void Serve(FILE* in, FILE* out) {
  char line[256];
  while (std::fgets(line, sizeof line, in) != nullptr) {
    Plan plan;
    int64_t count = 0;
    int64_t id = 0;
    if (std::sscanf(line, "run %d %d %ld %ld %ld", &plan.threads, &plan.pairs, &plan.burst_us,
                    &plan.max_hits, &plan.pause_us) == 5) {
      Run(plan, out);
    } else if (std::sscanf(line, "hit %ld %ld", &count, &id) == 2) {
      Worker worker;
      const stillframe::TraceScope trace(kTraceParent);
      for (int64_t i = 0; i < count; ++i) g_sink = probed::Loop(1, id, worker.name, &worker.order);
      g_total.fetch_add(count);
      std::fprintf(out, "{\"total\":%ld,\"traps\":%ld}\n", g_total.load(), g_traps.load());
    } else if (std::strncmp(line, "stack", 5) == 0) {
      MeasureStack(out);
    } else if (std::strncmp(line, "quit", 4) == 0) {
      return;
    } else {
      std::fprintf(out, "{\"error\":\"unknown command\"}\n");
    }
    std::fflush(out);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: workload IN OUT (named pipes)\n");
    return 2;
  }
#ifdef SFBENCH_INT3
  signal(SIGTRAP, &OnTrap);
#else
  (void)&OnTrap;
#endif
  FILE* const out = std::fopen(argv[2], "we");
  FILE* const in = std::fopen(argv[1], "re");
  if (in == nullptr || out == nullptr) {
    std::perror("workload: opening the pipes");
    return 1;
  }
  std::fprintf(out, "{\"pid\":%d}\n", getpid());
  std::fflush(out);
  Serve(in, out);
  sfbench_end();
  return 0;
}
