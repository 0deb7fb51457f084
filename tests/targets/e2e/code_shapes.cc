// Shapes that optimizers give to code: loops that are unrolled or vectorized, switch tables,
// prologues that are shrunk or late, functions split into parts, frames of unusual size. It tells what
// its variables hold (truth.h). Single-threaded and deterministic.
#include <alloca.h>

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "truth.h"

namespace shapes {

volatile int one = 1;  // what the optimizer may not know

/// A loop with a known count: unrolled.
__attribute__((noinline)) int Unrolled(const int* values, int scale) {
  int sum = 0;
  for (int i = 0; i < 8; ++i) {
    const int scaled = values[i] * scale;
    sum += scaled;
    TELL(i, scaled, sum, scale);
  }
  return sum;
}

/// A reduction that is vectorized at -O3; what remains after the vectors is done one by one.
__attribute__((noinline)) uint32_t Vectorized(const uint32_t* values, unsigned count, uint32_t seed) {
  uint32_t folded = seed;
  for (unsigned i = 0; i < count; ++i) {
    folded ^= values[i] * 2654435761u;
  }
  const uint32_t mixed = folded >> 7;
  TELL(folded, mixed, count, seed);
  return folded + mixed;
}

__attribute__((noinline)) void Saxpy(float* y, const float* x, float a, int count) {
  float last = 0;
  for (int i = 0; i < count; ++i) {
    y[i] = a * x[i] + y[i];
    last = y[i];
  }
  TELL(last, a, count);
}

/// A switch with a table, and one that becomes a lookup.
__attribute__((noinline)) int Switched(int kind, int argument) {
  int result = argument;
  switch (kind) {
    case 0: result += 3; break;
    case 1: result *= 5; break;
    case 2: result -= 7; break;
    case 3: result <<= 2; [[fallthrough]];
    case 4: result ^= 0x55; break;
    case 5: result = -result; break;
    case 6: TELL(kind, argument, result); return result;
    default: result = 0;
  }
  TELL(kind, argument, result);
  return result;
}

__attribute__((noinline)) int Looked(unsigned kind) {
  int price = 0;
  switch (kind) {
    case 0: price = 10; break;
    case 1: price = 25; break;
    case 2: price = 7; break;
    case 3: price = 1000; break;
    case 4: price = 3; break;
  }
  const int doubled = price * 2;
  TELL(kind, price, doubled);
  return doubled;
}

/// The prologue is wrapped around the rare path only; the common one has no frame.
__attribute__((noinline)) long Shrunk(long value, long limit) {
  if (value < limit) return value + 1;
  const long excess = value - limit;
  const long factor = excess * limit;
  TELL(value, limit, excess, factor);
  long result = factor;
  for (int round = one; round < 3; ++round) {
    result += round * excess;
    TELL(round, result, excess);
  }
  return result;
}

/// Inlined partially where the compiler chooses so: the test in the callers, the rest in a part.
static int Partial(int value, int* count) {
  if (value == 0) return 0;
  int rest = value;
  int steps = 0;
  while (rest > 1) {
    rest = rest % 2 == 0 ? rest / 2 : 3 * rest + 1;
    ++steps;
  }
  *count += steps;
  TELL(value, rest, steps);
  return steps;
}

__attribute__((noinline)) int CallsPartial(int first, int second) {
  int count = 0;
  const int a = Partial(first, &count);
  const int b = Partial(second, &count);
  TELL(first, second, a, b, count);
  return a * b + count;
}

__attribute__((noinline)) int CallsPartialInLoop(int from, int to) {
  int count = 0;
  int largest = 0;
  for (int value = from; value < to; ++value) {
    const int steps = Partial(value, &count);
    if (steps > largest) largest = steps;
  }
  TELL(from, to, count, largest);
  return largest;
}

struct Pair {
  int first;
  int second;
  char unused[64];
};

/// Parameters by reference become values, one of them goes (.isra), one is a constant (.constprop).
__attribute__((noinline)) static int Scalarized(const Pair& pair, int mode, [[maybe_unused]] int gone) {
  const int weighed = pair.first * mode + pair.second;
  TELL(weighed, pair.first, pair.second, mode);
  return weighed + 1;
}

__attribute__((noinline)) int CallsScalarized(int base) {
  Pair pair{base, base * 3, {}};
  const int left = Scalarized(pair, 4, base);
  pair.second = left;
  const int right = Scalarized(pair, 4, left);
  TELL(base, left, right);
  return left - right;
}

/// What is told to be cold stands in a part of its own (.cold).
__attribute__((noinline, cold)) int Rare(int code) {
  const int reported = code ^ 0x1234;
  TELL(code, reported);
  return reported;
}

__attribute__((noinline)) int WithColdPart(int value) {
  int state = value * 11;
  if (__builtin_expect(value > 40, 0)) {
    const int over = value - 40;
    state += Rare(over);
    TELL(value, state, over);
  }
  return state;
}

/// Arguments by number; the fifth and later of floating point follow each other in a save area.
__attribute__((noinline)) double Variadic(int count, ...) {
  va_list list;
  va_start(list, count);
  double sum = 0;
  for (int i = 0; i < count; ++i) {
    const int whole = va_arg(list, int);
    const double part = va_arg(list, double);
    sum += whole * part;
    TELL(i, whole, part, sum, count);
  }
  va_end(list);
  return sum;
}

/// The frame's size is known at run time only.
__attribute__((noinline)) int Allocates(int count, int step) {
  auto* slots = static_cast<int*>(alloca(sizeof(int) * static_cast<std::size_t>(count)));
  int filled = 0;
  for (int i = 0; i < count; ++i) {
    slots[i] = i * step;
    filled += slots[i];
  }
  const int last = slots[count - 1];
  TELL(count, step, filled, last);
  return filled + last;
}

/// More than a page, so that the stack is probed on the way down with -fstack-clash-protection.
__attribute__((noinline)) unsigned BigFrame(unsigned seed) {
  volatile unsigned table[5000];
  for (unsigned i = 0; i < 5000; ++i) table[i] = seed + i * i;
  const unsigned middle = table[2500];
  const unsigned last = table[4999];
  TELL(seed, middle, last);
  return middle ^ last;
}

/// A frame that is aligned more than the ABI asks: the CFA is found through another register.
__attribute__((noinline)) long OverAligned(long value, int shift) {
  alignas(128) volatile long block[16];
  for (int i = 0; i < 16; ++i) block[i] = value << (i % 5);
  const long chosen = block[shift];
  const bool aligned = reinterpret_cast<uintptr_t>(&block[0]) % 128 == 0;
  TELL(value, shift, chosen, aligned);
  return chosen + (aligned ? 1 : 0);
}

/// More arguments than registers, of both kinds and of small types.
__attribute__((noinline)) double ManyArguments(int8_t a, uint16_t b, int c, long d, uint8_t e, short f,
                                               int g, float h, double i, long j, bool k) {
  const double sum = a + b + c + static_cast<double>(d) + e + f + g + h + i + static_cast<double>(j);
  TELL(a, b, c, d, e, f, g, h, i, j, k, sum);
  return k ? sum : -sum;
}

__attribute__((noinline)) int Recursive(int depth, int product) {
  const int next = product * (depth + 1) % 1009;
  TELL(depth, product, next);
  if (depth == 0) return next;
  const int below = Recursive(depth - 1, next);
  const int result = below + depth;
  TELL(depth, below, result);
  return result;
}

__attribute__((noinline)) bool IsOdd(unsigned n, int trail);
/// Mutual recursion by tail calls: at -O2 none of them has a frame when the next runs.
__attribute__((noinline)) bool IsEven(unsigned n, int trail) {
  if (n == 0) {
    TELL(n, trail);
    return true;
  }
  return IsOdd(n - 1, trail * 2);
}
__attribute__((noinline)) bool IsOdd(unsigned n, int trail) {
  if (n == 0) return false;
  return IsEven(n - 1, trail + 1);
}

/// Values that exist as parts of one register, and a division whose two results are used.
__attribute__((noinline)) unsigned Packed(uint64_t word) {
  struct Fields {
    uint16_t low;
    uint8_t middle;
    uint32_t high;
  } fields{static_cast<uint16_t>(word), static_cast<uint8_t>(word >> 16),
           static_cast<uint32_t>(word >> 32)};
  const unsigned quotient = fields.high / (fields.middle + 1u);
  const unsigned rest = fields.high % (fields.middle + 1u);
  TELL(word, fields.low, fields.middle, fields.high, quotient, rest);
  return quotient + rest;
}

/// Two loops that are exchanged, and induction variables that are strength-reduced.
__attribute__((noinline)) int Nested(int rows, int columns) {
  int grid[12][12] = {};
  int touched = 0;
  for (int column = 0; column < columns; ++column) {
    for (int row = 0; row < rows; ++row) {
      grid[row][column] = row * 100 + column;
      ++touched;
    }
    const int edge = grid[rows - 1][column];
    TELL(column, rows, touched, edge);
  }
  return touched + grid[rows / 2][columns / 2];
}

}  // namespace shapes

int main() {
  using namespace shapes;
  int values[8] = {3, 1, 4, 1, 5, 9, 2, 6};
  uint32_t words[37];
  float x[19], y[19];
  for (unsigned i = 0; i < 37; ++i) words[i] = i * i + 17;
  for (int i = 0; i < 19; ++i) {
    x[i] = static_cast<float>(i) * 0.25f;
    y[i] = static_cast<float>(one + i);
  }
  long total = Unrolled(values, 2 + one);
  total += Vectorized(words, 36u + static_cast<unsigned>(one), 99);
  Saxpy(y, x, 1.5f, 18 + one);
  for (int kind = 0; kind < 8; ++kind) total += Switched(kind, kind * 10 + one);
  for (unsigned kind = 0; kind < 6; ++kind) total += Looked(kind);
  total += Shrunk(5, 100) + Shrunk(200, 100 + one);
  total += CallsPartial(27, one - 1) + CallsPartial(6 + one, 12);
  total += CallsPartialInLoop(one - 1, 4);
  total += CallsScalarized(21 + one);
  total += WithColdPart(3) + WithColdPart(49 + one);
  const double varied = Variadic(5, 1, 0.5, 2, 1.5, 3, 2.5, 4, 3.5, 5 * one, 4.5);
  total += Allocates(9 + one, 3) + BigFrame(7) + OverAligned(1000 + one, 9);
  const double many = ManyArguments(-7, 65000, 1 << 20, 1l << 40, 250, -300, one, 0.1f, 2.5, -9, true);
  total += Recursive(5, one) + (IsEven(6, one) ? 1 : 0);
  total += Packed(0x123456789abcdef0u) + Nested(7, 5 + one);
  TELL(total, varied, many);
  std::printf("total %ld\n", total);
  return 0;
}
