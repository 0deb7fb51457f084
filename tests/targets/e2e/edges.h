// The classes of edges.cc, and how it tells the truth.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdio>
#include <stdexcept>
#include <string>

namespace shop {

inline void Hold(const void* object) { asm volatile("" : : "r"(object) : "memory"); }

template <typename... T>
__attribute__((noinline)) void Keep(T&... objects) {
  (..., Hold(&objects));
}

// To damage an object with.
template <typename T>
void Put(void* object, size_t offset, T value) {
  __builtin_memcpy(static_cast<char*>(object) + offset, &value, sizeof value);
}

#ifdef _LIBCPP_VERSION
constexpr size_t kListNext = 8, kHashHeader = 16, kTreeCount = 16;
#else
constexpr size_t kListNext = 0, kHashHeader = 8, kTreeCount = 40;
#endif

struct Point {
  int x, y;
};
struct Throws {
  Throws() = default;
  Throws(const Throws&) { throw std::runtime_error("no copy"); }
  Throws& operator=(const Throws&) = default;
};
struct Empty {};
struct Closer {
  int id;
  void operator()(Point* point) const { delete point; }
};
struct Shape {
  virtual ~Shape() = default;
  int sides = 0;
  int Area(int scale) const { return sides * scale; }
};
struct Square : Shape {
  int edge = 3;
};
struct ByLength {
  size_t operator()(const std::string& text) const { return text.size(); }
};
inline int Twice(int value) { return value * 2; }

inline void Tell(const char* name, const std::string& text) {
  std::printf("%s %s\n", name, text.c_str());
}
template <std::integral T>
void Tell(const char* name, T number) {
  Tell(name, std::to_string(number));
}

struct Task {
  struct promise_type {
    int step = 5;
    Task get_return_object() {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() {}
  };
  std::coroutine_handle<promise_type> handle;
};

}  // namespace shop
