// Lines with several statement addresses. Each mark's executions are printed at the end, as the
// program itself counts them (on other lines).
#include <cstdio>
#include <cstdlib>
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

int main() {
  const long n = 200;
  std::vector<int> values(103, 3);
  long check = Calls(n) ^ Inlined(n) ^ Spread(n) ^ TwoStatements(n) ^ Branches(n);
  for (int i = 0; i < 10; ++i) check ^= Unrolled(values.data());
  check ^= Recursion(12) ^ Cases(7 * 30) ^ Throws(300) ^ Words(n);
  std::printf("check %ld\n", check != 0 ? 1L : 0L);
  const struct {
    const char* mark;
    long count;
  } truth[] = {{"calls", n},           {"inlined", n}, {"spread", n},   {"two statements", n},
               {"unrolled", 1030},     {"branches", n}, {"recursion", 232}, {"case 0", 30},
               {"case 3", 30},         {"default", 30}, {"throw", 300}, {"calm", 200},
               {"catch", 100},         {"words", n}};
  for (const auto& [mark, count] : truth) std::printf("%s: %ld\n", mark, count);
}
