// Code on stacks of its own: fibers on one page between guard pages, and C++20 coroutines.
// fibers BYTES ROUNDS: every fiber has BYTES of stack above a guard page.
#include <sys/mman.h>
#include <ucontext.h>

#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

constexpr size_t kPage = 4096;

__attribute__((noinline)) long Step(long value) {
  asm volatile(".byte 0x0f, 0x1f, 0x44, 0, 0" : "+r"(value));  // mark-step
  return value + 1;
}

struct Fiber {
  ucontext_t context;
  ucontext_t back;
  void* map;
  long value;
};
thread_local Fiber* t_fiber;

__attribute__((noinline)) void Body() {
  Fiber& fiber = *t_fiber;
  while (true) {
    fiber.value = Step(fiber.value);
    swapcontext(&fiber.context, &fiber.back);  // mark-swap
  }
}

void Make(Fiber& fiber, size_t bytes) {
  const size_t usable = (bytes + kPage - 1) / kPage * kPage;
  fiber.map = mmap(nullptr, usable + kPage, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (fiber.map == MAP_FAILED || mprotect(fiber.map, kPage, PROT_NONE) != 0) std::abort();
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = static_cast<char*>(fiber.map) + kPage;
  fiber.context.uc_stack.ss_size = bytes;
  fiber.context.uc_link = nullptr;
  fiber.value = 0;
  makecontext(&fiber.context, &Body, 0);
}

long RunFibers(size_t bytes, int rounds) {
  std::vector<Fiber> fibers(20);
  for (Fiber& fiber : fibers) Make(fiber, bytes);
  for (int i = 0; i < rounds; ++i) {
    for (Fiber& fiber : fibers) {
      t_fiber = &fiber;
      swapcontext(&fiber.back, &fiber.context);
    }
  }
  long sum = 0;
  for (Fiber& fiber : fibers) {
    sum += fiber.value;
    munmap(fiber.map, (bytes + kPage - 1) / kPage * kPage + kPage);
  }
  return sum;
}

int Fibers(size_t bytes, int rounds) {
  long sums[4] = {};
  std::vector<std::thread> threads;
  for (long& sum : sums) {
    threads.emplace_back([&sum, bytes, rounds] { sum = RunFibers(bytes, rounds); });
  }
  for (auto& thread : threads) thread.join();
  std::printf("%ld %ld %ld %ld\n", sums[0], sums[1], sums[2], sums[3]);
  return 0;
}

// ---- coroutines ----

struct Generator {
  struct promise_type {
    long current = 0;
    Generator get_return_object() {
      return Generator{std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    std::suspend_always yield_value(long value) {
      current = value;
      return {};
    }
    void return_void() {}
    void unhandled_exception() { throw; }
  };
  explicit Generator(std::coroutine_handle<promise_type> handle) : handle(handle) {}
  Generator(Generator&& other) noexcept : handle(std::exchange(other.handle, {})) {}
  ~Generator() {
    if (handle) handle.destroy();
  }
  bool Next() {
    handle.resume();
    return !handle.done();
  }
  std::coroutine_handle<promise_type> handle;
};

Generator Count(long to) {
  for (long i = 0; i < to; ++i) {
    long next = Step(i);
    asm volatile(".byte 0x0f, 0x1f, 0x44, 0, 0" : "+r"(next));  // mark-body
    if (next == 997) throw 42;         // mark-coroutine-throw
    co_yield next;                     // mark-yield
  }
}

int Coroutines(int rounds) {
  long sum = 0, caught = 0;
  for (int i = 0; i < rounds; ++i) {
    Generator generator = Count(i % 2 == 0 ? 100 : 2000);
    try {
      while (generator.Next()) sum += generator.handle.promise().current;
    } catch (int) {
      ++caught;
    }
  }
  std::printf("sum %ld caught %ld\n", sum, caught);
  return 0;
}

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "fibers" && argc > 3) return Fibers(std::atol(argv[2]), std::atoi(argv[3]));
  if (mode == "coroutines") return Coroutines(argc > 2 ? std::atoi(argv[2]) : 10);
  return 2;
}
