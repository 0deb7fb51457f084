// Parts of the language that code is compiled from in unusual ways: exceptions, nested lambdas,
// structured bindings, closures by value and reference, virtual calls with thunks, pack expansions,
// constant evaluation, temporaries of long life, guarded statics. It tells what its variables hold
// (truth.h). Single-threaded and deterministic.
#include <array>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "truth.h"

namespace shapes {

volatile int one = 1;  // what the optimizer may not know

struct Failure : std::runtime_error {
  Failure(const std::string& text, int number) : std::runtime_error(text), code(number) {}
  int code;
};

struct Guard {
  int* count;
  int weight;
  Guard(int* c, int w) : count(c), weight(w) {}
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard() {
    *count += weight;
    const int after = *count;
    TELL(weight, after);
  }
};

__attribute__((noinline)) int Throws(int depth, int code) {
  const int passed = code + depth;
  if (depth == 0) throw Failure("failed at the bottom, far away from the handler", passed);
  TELL(depth, code, passed);
  return Throws(depth - 1, passed) + 1;
}

/// Values that live across a throw stand in callee-saved registers or in the frame; landing pads and
/// handlers are cold parts.
__attribute__((noinline)) int Catches(int rounds) {
  int cleaned = 0;
  int caught = 0;
  for (int round = 0; round < rounds; ++round) {
    try {
      Guard guard(&cleaned, round + 1);
      caught += Throws(round, 10 * round);
      TELL(caught);
    } catch (const Failure& failure) {
      const int seen = failure.code;
      caught += seen;
      TELL(round, seen, caught, cleaned, failure.code);
    } catch (const std::exception&) {
      caught = -1;
    }
  }
  TELL(rounds, caught, cleaned);
  return caught * 100 + cleaned;
}

__attribute__((noinline)) int Rethrows(int value) {
  int state = value;
  try {
    try {
      throw value * 2;
    } catch (int inner) {
      state += inner;
      TELL(value, inner, state);
      throw;
    }
  } catch (...) {
    ++state;
    TELL(value, state);
  }
  return state;
}

/// Lambdas in lambdas, with captures of each kind.
__attribute__((noinline)) int Lambdas(int base, int factor) {
  int calls = 0;
  const auto outer = [base, &calls](int x) {
    const int shifted = x + base;
    const auto inner = [shifted, &calls, twice = shifted * 2](int y) mutable {
      ++calls;
      twice += y;
      const int product = shifted * y;
      TELL(y, product);
      return product + twice;
    };
    auto copy = inner;
    const int first = copy(3);
    const int second = copy(4);
    TELL(x, shifted, first, second);
    return first - second;
  };
  int sum = 0;
  for (int i = 0; i < 3; ++i) {
    const int got = outer(i * factor);
    sum += got;
    TELL(i, got, sum, calls, base);
  }
  return sum;
}

__attribute__((noinline)) int ThroughFunction(const std::function<int(int, int)>& function, int seed) {
  const int once = function(seed, 2);
  const int again = function(once, 3);
  TELL(seed, once, again);
  return again;
}

/// Structured bindings of an array, a tuple, a struct and a map's entries.
__attribute__((noinline)) int Bindings(int n) {
  const std::array<int, 3> numbers{n, n * n, n + 7};
  const auto [a, b, c] = numbers;
  struct Point {
    int x;
    double y;
  };
  const Point point{b - a, c * 0.5};
  const auto& [px, py] = point;
  const auto [text, flag] = std::make_tuple(std::string("bound to a tuple's element"), n > 2);
  int sum = a + b + c + px + static_cast<int>(py) + static_cast<int>(text.size()) + (flag ? 1 : 0);
  TELL(n, point.x, point.y, sum);
  std::map<int, std::string> names{{1, "one"}, {2, "two"}, {30, "thirty"}};
  for (const auto& [number, name] : names) {
    const int length = static_cast<int>(name.size());
    sum += number * length;
    TELL(length, sum);
  }
  return sum;
}

struct Shape {
  virtual ~Shape() = default;
  virtual int Area(int scale) const = 0;
};
struct Named {
  virtual ~Named() = default;
  virtual int Length() const { return 0; }
  int tag = 5;
};
/// Called through its second base: a thunk moves `this`.
struct Square final : Shape, Named {
  explicit Square(int s, std::string n) : side(s), name(std::move(n)) {}
  __attribute__((noinline)) int Area(int scale) const override {
    const int area = side * side * scale;
    TELL(scale, area);
    return area;
  }
  __attribute__((noinline)) int Length() const override {
    const int length = static_cast<int>(name.size()) + tag;
    TELL(length);
    return length;
  }
  int side;
  std::string name;
};

__attribute__((noinline)) int Virtual(const Shape& shape, const Named& named, int scale) {
  const int area = shape.Area(scale);
  const int length = named.Length();
  const int both = area + length;
  TELL(scale, area, length, both);
  return both;
}

/// One frame for a pack of calls.
template <typename... Values>
__attribute__((noinline)) long Folded(long start, Values... values) {
  long sum = start;
  int count = 0;
  const auto add = [&](auto value) {
    sum += static_cast<long>(value);
    ++count;
  };
  (add(values), ...);
  TELL(start, sum, count);
  return sum * count;
}

constexpr int Fibonacci(int n) { return n < 2 ? n : Fibonacci(n - 1) + Fibonacci(n - 2); }

__attribute__((noinline)) int Constants(int n) {
  constexpr int known = Fibonacci(15);
  static const int guarded = one + 41;
  const int mixed = known % (n + 1);
  if constexpr (sizeof(long) == 8) {
    const int wide = mixed + guarded;
    TELL(n, known, mixed, wide);
    return wide;
  }
  return mixed;
}

__attribute__((noinline)) std::string Joined(const std::vector<std::string>& parts,
                                             std::string_view separator) {
  std::string all;
  int joints = 0;
  for (const std::string& part : parts) {
    if (!all.empty()) {
      all += separator;
      ++joints;
    }
    all += part;
    TELL(joints);
    TELL_TEXTS(all, separator, part);
  }
  return all;
}

__attribute__((noinline)) std::optional<int> Parsed(const char* text) {
  int value = 0;
  int digits = 0;
  for (const char* at = text; *at != 0; ++at) {
    const char character = *at;
    if (character < '0' || character > '9') {
      TELL(character, value, digits);
      return std::nullopt;
    }
    value = value * 10 + (character - '0');
    ++digits;
  }
  TELL(value, digits, text);
  return value;
}

/// By value in two registers, one of each kind; by value in memory; moved from.
struct Mixed {
  int64_t whole;
  double part;
};
struct Large {
  int cells[10];
  int used;
};
__attribute__((noinline)) Mixed ByValue(Mixed mixed, Large large, std::unique_ptr<int> owned) {
  const double product = static_cast<double>(mixed.whole) * mixed.part;
  const int cell = large.cells[large.used - 1] + *owned;
  TELL(product, mixed.whole, mixed.part, large.used, cell);
  return {mixed.whole + cell, product};
}

/// Variables of one name in blocks of one function.
__attribute__((noinline)) int Shadowed(int value) {
  int result = 0;
  {
    const int value_here = value + 1;
    const int twin = value_here * 2;
    result += twin;
    TELL(value_here, twin, result);
  }
  {
    const int value_here = value - 1;
    const double twin = value_here * 0.5;
    result += static_cast<int>(twin);
    TELL(value_here, twin, result);
  }
  return result;
}

}  // namespace shapes

int main() {
  using namespace shapes;
  long total = Catches(2 + one);
  total += Rethrows(20 + one);
  total += Lambdas(4 + one, 3);
  int weight = 6 + one;
  total += ThroughFunction([&weight](int a, int b) { return a * b + weight; }, 5);
  total += Bindings(3 + one);
  const Square square(4 + one, "a name that is too long to be short");
  total += Virtual(square, square, 2);
  total += Folded(10l, 1, 2.5, short{3}, 'A', one);
  total += Constants(6 + one);
  const std::string joined = Joined({"alpha", "beta", "gamma with more text"}, ", ");
  total += static_cast<long>(joined.size());
  total += Parsed("12345").value_or(-1) + Parsed("12x").value_or(-2);
  Large large{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 6 + one};
  const Mixed mixed = ByValue({1l << 33, 0.125}, large, std::make_unique<int>(40 + one));
  total += mixed.whole + static_cast<long>(mixed.part) + Shadowed(8 + one);
  TELL(total, mixed.whole, mixed.part, weight);
  TELL_TEXTS(joined);
  std::printf("total %ld\n", total);
  return 0;
}
