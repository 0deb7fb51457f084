// Lines with several statement addresses. Each mark's executions are printed at the end, as the
// program itself counts them (on other lines).
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

static long Opaque(long value) {
  asm volatile("" : "+r"(value));
  return value;
}

__attribute__((noinline)) long Half(long value) { return Opaque(value) / 2; }
__attribute__((noinline)) long Sum(long a, long b) { return Opaque(a) + Opaque(b); }
inline long Twice(long value) {
  const long doubled = Opaque(value) * 2;
  return doubled;
}

__attribute__((noinline)) long Calls(long n) {
  long total = 0;
  for (long i = 0; i < n; ++i) {
    total += Sum(Half(i), Half(i + 1)) + Half(total);  // calls
  }
  return total;
}

__attribute__((noinline)) long Inlined(long n) {
  long total = 0;
  for (long i = 0; i < n; ++i) {
    total += Twice(i) + Twice(i + 1) + 1;  // inlined
  }
  return total;
}

__attribute__((noinline)) long Spread(long n) {
  long total = 0;
  for (long i = 0; i < n; ++i) {
    total += Sum(  // spread
        Half(i),
        Half(i + 1));
  }
  return total;
}

__attribute__((noinline)) long TwoStatements(long n) {
  long total = 0, other = 1;
  for (long i = 0; i < n; ++i) {
    total += Opaque(i); other += Half(total);  // two statements
  }
  return total + other;
}

__attribute__((noinline)) long Unrolled(const int* values) {
  long total = 0;
  for (int i = 0; i < 103; ++i) {
    total += Opaque(values[i]);  // unrolled
  }
  return total;
}

__attribute__((noinline)) long Branches(long n) {
  long total = 0;
  for (long i = 0; i < n; ++i) {
    total += (i & 1) != 0 ? Half(i) : Sum(i, total);  // branches
  }
  return total;
}

__attribute__((noinline)) long Recursion(long n) {
  if (n <= 1) return 1;
  return Sum(Recursion(n - 1), Recursion(n - 2));  // recursion
}

__attribute__((noinline)) long Cases(long n) {
  long total = 0;
  for (long i = 0; i < n; ++i) {
    switch (i % 7) {
      case 0: total += Half(i); break;  // case 0
      case 1: total += Sum(i, 1); break;
      case 2: total -= Half(i + 3); break;
      case 3: total ^= Half(i); total += Half(total); break;  // case 3
      case 4: total += 5; break;
      case 5: total -= Sum(total, i); break;
      default: total += Half(total); break;  // default
    }
  }
  return total;
}

__attribute__((noinline)) long Throws(long n) {
  long caught = 0;
  for (long i = 0; i < n; ++i) {
    try {
      if (i % 3 == 0) throw Half(i);  // throw
      caught += Sum(i, caught);  // calm
    } catch (long value) {
      caught += Half(value) + Half(caught);  // catch
    }
  }
  return caught;
}

__attribute__((noinline)) long Words(long n) {
  std::vector<std::string> words;
  for (long i = 0; i < n; ++i) {
    words.push_back(std::to_string(i) + std::string("-word"));  // words
  }
  long total = 0;
  for (const std::string& word : words) total += static_cast<long>(word.size());
  return total;
}

// GCC marks no statements in instances of templates.
template <class Item, int N>
struct Ring {
  Item items[N]{};
  int head = 0, count = 0;
  __attribute__((noinline)) void Push(Item item) {
    if (count == N) { ++head; --count; head %= N; }  // ring push
    items[(head + count++) % N] = item;              // ring store
  }
  __attribute__((noinline)) long Sum() const {
    long total = 0;
    for (int i = 0; i < count; ++i) {
      total += Opaque(static_cast<long>(items[(head + i) % N]));  // ring sum
    }
    return total;
  }
};

// The function's first instruction is marked, its copies in callers are not.
template <class Number>
Number Square(Number a) { return static_cast<Number>(Opaque(static_cast<long>(a * a))); }  // squared

__attribute__((noinline)) long Instances(long n) {
  Ring<int, 4> ints;
  Ring<double, 3> reals;
  Ring<long, 2> longs;
  for (long i = 0; i < n; ++i) {
    ints.Push(static_cast<int>(i));
    reals.Push(static_cast<double>(i) / 2);
    longs.Push(i);
  }
  long (*volatile square)(long) = Square<long>;
  return ints.Sum() + reals.Sum() + longs.Sum() + square(n) + Square(n + 1) +
         static_cast<long>(Square(static_cast<double>(n)));
}

// The statement's mark stays on the way past the loop.
__attribute__((noinline)) long AfterLoop(const int* values, int n) {
  long total = 0;
  for (int i = 0; i < n; ++i) total += values[i];
  return total + 1;  // after a loop
}

// Without optimization, a capture of a lambda belongs to the line that captured it.
__attribute__((noinline)) long Captured(long n) {
  long base = 1;
  auto add = [&base, step = n / 2](long value) mutable {
    base += step + value;  // init capture
    return base;
  };
  long total = 0;
  for (long i = 0; i < n; ++i) total += add(i) + Half(total);
  return total;
}

// Rows of another line come between what one statement was cut into.
__attribute__((noinline)) long Highest(const std::vector<long>& values) {
  long best = -1000;
  for (size_t i = values.size(); i-- > 0;) {
    if (Opaque(values[i]) > best) best = values[i];  // cut in two
  }
  return best;
}

// The last statement leaves its mark where the loop's condition begins.
__attribute__((noinline)) long Signs(const char* text) {
  bool negative = false;
  long value = 0;
  while (*text != 0) {
    if (*text == '-') { negative = !negative; ++text; continue; }  // sign
    value = value * 10 + Half(*text++ - '0');
  }
  return negative ? -value : value;
}

// The ABI makes several functions of one constructor and one destructor, and some call others.
struct Shape {
  long sides;
  explicit Shape(long n) : sides(Opaque(n)) {}
  __attribute__((noinline)) virtual ~Shape() { Opaque(sides); }  // shape destroyed
};
struct Corner : virtual Shape {
  __attribute__((noinline)) explicit Corner(long n) : Shape(n) { Opaque(n); }  // corner made
  __attribute__((noinline)) ~Corner() override { Opaque(sides); }  // corner destroyed
};
struct Square4 final : Corner {
  explicit Square4(long n) : Shape(n), Corner(n + 1) {}
};

__attribute__((noinline)) long Shapes(long n) {
  long total = 0;
  for (long i = 0; i < n; ++i) {
    const std::unique_ptr<Shape> shape(i % 2 != 0 ? new Shape(i) : new Corner(i));
    const Square4 square(i);
    total += shape->sides + square.sides;
  }
  return total;
}

// GCC does not say where a lambda's operator() is declared; optimized, it is part of its caller.
__attribute__((noinline)) long Stored(long n) {
  std::function<long(long)> add = [text = std::to_string(n), total = 0L](long value) mutable {
    total += value + static_cast<long>(text.size()); text += 'x';  // stored lambda
    return total;
  };
  long total = 0;
  for (long i = 0; i < n; ++i) total ^= add(i);
  return total;
}

// Clang writes one row for both copies of this.
inline void Store(volatile long& to, long value) {
  to = value;  // adjacent copies
}
__attribute__((noinline)) long Stores(long n) {
  volatile long stored = 0;
  Store(stored, n);
  Store(stored, n);
  return stored;
}

// Of an object in the caller's frame the variants of the destructor are parts of each other.
struct Leaf final : virtual Shape {
  explicit Leaf(long n) : Shape(n) {}
  ~Leaf() override { Opaque(sides); }  // leaf destroyed
};
__attribute__((noinline)) long Leaves(long n) {
  long total = 0;
  for (long i = 0; i < n; ++i) {
    const Leaf leaf(i);
    total += leaf.sides;
  }
  return total;
}

int main() {
  const long n = 200;
  std::vector<int> values(103, 3);
  long check = Calls(n) ^ Inlined(n) ^ Spread(n) ^ TwoStatements(n) ^ Branches(n);
  for (int i = 0; i < 10; ++i) check ^= Unrolled(values.data());
  check ^= Instances(50) ^ AfterLoop(values.data(), 13) ^ Captured(n) ^ Signs("-12-34--5-6");
  check ^= Highest({3, 9, 2, 11, 4}) ^ Shapes(20) ^ Stored(n) ^ Stores(n) ^ Leaves(n);
  check ^= Recursion(12) ^ Cases(7 * 30) ^ Throws(300) ^ Words(n);
  std::printf("check %ld\n", check != 0 ? 1L : 0L);
  const struct {
    const char* mark;
    long count;
  } truth[] = {{"calls", n},           {"inlined", n}, {"spread", n},   {"two statements", n},
               {"unrolled", 1030},     {"branches", n}, {"recursion", 232}, {"case 0", 30},
               {"case 3", 30},         {"default", 30}, {"throw", 300}, {"calm", 200},
               {"catch", 100},         {"words", n},    {"ring push", 150}, {"ring store", 150},
               {"ring sum", 9}, {"squared", 3}, {"after a loop", 1}, {"init capture", n},
               {"cut in two", 5}, {"sign", 11}, {"shape destroyed", 40 + n}, {"corner made", 30},
               {"corner destroyed", 30}, {"stored lambda", n}, {"adjacent copies", 2},
               {"leaf destroyed", n}};
  for (const auto& [mark, count] : truth) std::printf("%s: %ld\n", mark, count);
}
