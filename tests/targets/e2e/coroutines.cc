// Coroutines: their locals live in a frame on the heap.
#include <coroutine>
#include <cstdio>
#include <string>
#include <utility>

namespace shop {

struct Task {
  struct promise_type {
    int current = 0;
    Task get_return_object() {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    std::suspend_always yield_value(int value) {
      current = value;
      return {};
    }
    void return_void() {}
    void unhandled_exception() {}
  };
  std::coroutine_handle<promise_type> handle;
};

void Hold(const void* object) { asm volatile("" : : "r"(object) : "memory"); }

Task Count(int first, std::string label) {
  int local = first * 10;
  std::string text = label + "!";
  for (int step = 0; step < 3; ++step) {
    local += step;
    co_yield local;
    Hold(&text);  // mark-coroutine
  }
}

struct Counter {
  int base;
  std::string name;

  Task Serve(int count) {
    int twice = count * 2;
    co_yield twice;
    twice += base;
    std::printf("serve %d\n", twice);
    Hold(&twice);  // mark-member
    co_yield twice;
  }
};

__attribute__((noinline)) int Serve() {
  Counter counter{7, "a counter with a long name"};
  Task task = counter.Serve(5);
  task.handle.resume();
  task.handle.resume();
  const int served = task.handle.promise().current;
  task.handle.destroy();
  return served;
}

__attribute__((noinline)) int Run() {
  Task task = Count(4, "a label that is long enough for the heap");
  task.handle.resume();
  Hold(&task);  // mark-handle
  task.handle.resume();
  const int sum = task.handle.promise().current;
  task.handle.destroy();
  return sum;
}

}  // namespace shop

int main() {
  std::printf("%d\n", shop::Run());
  std::printf("%d\n", shop::Serve());
  return 0;
}
