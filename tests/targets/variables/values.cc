// Values of every kind in places of every kind: what the variables of this program are is asked of
// GDB and of Stillframe at the same instruction, and must agree.
#include "values.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#define NOINLINE __attribute__((noinline))
#define INLINE inline __attribute__((always_inline))

namespace shop {

int global_count = 3;
static long hidden_total = -9'000'000'000;
const char* const kShopName = "corner";
int Cart::kLimit = 12;
namespace {
unsigned short anonymous_flag = 65'535;
}

static volatile long sink;

template <typename T>
NOINLINE void Keep(const T& value) {
  asm volatile("" : : "r"(&value) : "memory");
}

NOINLINE long Opaque(long x) {
  asm volatile("" : "+r"(x));
  return x;
}

// ---- integers in registers, constants, arithmetic ----
NOINLINE long Integers(int small, unsigned char byte, short negative, unsigned long big, bool flag,
                       char letter) {
  const int doubled = small * 2;
  const long constant = -77;
  unsigned narrow = static_cast<unsigned>(big >> 3) ^ byte;
  long sum = doubled + constant + negative;
  if (flag) sum += letter;
  for (int i = 0; i < 3; ++i) {
    const long scaled = sum * i + static_cast<long>(narrow);
    sum += Opaque(scaled) & 15;
  }
  const unsigned char wrapped = static_cast<unsigned char>(sum + byte);
  sink = wrapped;
  return sum - wrapped;
}

NOINLINE __int128 Wide(long a, unsigned long b) {
  __int128 product = static_cast<__int128>(a) * static_cast<__int128>(b);
  unsigned __int128 shifted = static_cast<unsigned __int128>(product) >> 3;
  sink = static_cast<long>(shifted);
  product += static_cast<__int128>(Opaque(a));
  return product;
}

// ---- floating point ----
NOINLINE double Floats(float single, double twice, long double extended) {
  const double half = twice / 2.0;
  float scaled = single * 3.5f;
  double total = half + static_cast<double>(scaled);
  if (total > 1.0) total = total * 1.25 - 0.5;
  const long double more = extended + static_cast<long double>(total);
  sink = static_cast<long>(more);
  scaled += static_cast<float>(Opaque(4));
  return total + static_cast<double>(scaled);
}

// ---- structs by value, in pieces and in memory ----
NOINLINE long Structs(Point point, Pair64 pair, Big big, const Order& order, Flags flags) {
  Point moved{point.x + 1, point.y - 1};
  Pair64 sums{pair.first + 5, pair.second * 2};
  const Vec2 direction{1.5f, static_cast<float>(point.x)};
  long total = moved.x + moved.y;
  total += sums.first ^ sums.second;
  total += big.numbers[2] + order.id;
  total += static_cast<long>(direction.dx + direction.dy);
  flags.level = 5;
  total += flags.level + flags.ready;
  Big copy = big;
  copy.numbers[0] = Opaque(total);
  Keep(copy);
  return total + copy.numbers[0];
}

// ---- inlined calls, nested, with blocks of their own ----
INLINE int Clamp(int value, int low, int high) {
  int result = value;
  if (result < low) {
    const int below = low - value;
    result = low + below % 2;
  }
  if (result > high) result = high;
  return result;
}

INLINE int Smooth(const int* data, int count, int index) {
  const int left = Clamp(index - 1, 0, count - 1);
  const int right = Clamp(index + 1, 0, count - 1);
  const int average = (data[left] + data[index] + data[right]) / 3;
  return average;
}

NOINLINE long Inlined(const int* data, int count) {
  long total = 0;
  for (int i = 0; i < count; ++i) {
    const int smooth = Smooth(data, count, i);
    {
      int total_of_block = smooth + static_cast<int>(total);  // NOLINT
      total += Opaque(total_of_block) % 1000;
    }
    int smooth_again = Clamp(smooth * 2, -5, 50);
    total += smooth_again;
  }
  return total;
}

// ---- pointers, references, enums, members ----
NOINLINE int Kinds(const Order& order, Item* items, Tier tier, Colour colour, int (*callback)(int)) {
  const Item& first = items[0];
  Item* const last = items + 1;
  const char* name = order.name;
  int Item::*member = &Item::quantity;
  Tier better = tier == Tier::kGold ? Tier::kPlatinum : Tier::kGold;
  Permissions rights = Permissions::kRead;
  auto nothing = nullptr;
  int result = first.*member + last->quantity + callback(static_cast<int>(better));
  static int calls = 40;
  ++calls;
  result += calls + static_cast<int>(colour) + (nothing == nullptr) + static_cast<int>(rights);
  Keep(name);
  return result + static_cast<int>(std::strlen(name));
}

int Cart::Total(int discount) const {
  int sum = base;
  for (const Item& item : items) {
    const int price = item.quantity * static_cast<int>(item.price);
    sum += price;
  }
  const auto adjust = [&, discount](int by) {
    int local = sum - discount * by;
    return static_cast<int>(Opaque(local));
  };
  return adjust(kLimit);
}

static int Twice(int x) {
  int y = x * 2;
  return static_cast<int>(Opaque(y));
}

// Variables that hide others.
NOINLINE int Shadows(int value) {
  int depth = value;
  {
    long depth = value * 10L;  // NOLINT
    {
      char depth = static_cast<char>('a' + value);  // NOLINT
      sink = depth;
      Keep(depth);
    }
    sink = depth;
    Keep(depth);
  }
  sink = depth;
  Keep(depth);
  return depth;
}

// Callee-saved registers seen from a callee.
NOINLINE long Caller(long a, long b) {
  const long saved = a * 31 + b;
  long live = Opaque(saved);
  const long later = live ^ saved;
  live = Opaque(later) + saved;
  return live + a;
}

// Arguments whose registers are overwritten: the caller's call site tells them.
NOINLINE long Overwritten(long first, double rate, int count, const char* name) {
  static thread_local long seen = 5;
  seen += count;
  long sum = 0;
  for (int i = 0; i < 3; ++i) sum += Opaque(i);
  Keep(name);
  sum = Opaque(sum);
  seen += Opaque(1);
  return sum + seen;
}

static NOINLINE long Forward(long first, double rate, int count) {
  const long result = Overwritten(first, rate, count + 1, "forwarded");
  return Opaque(result) + 1;
}

// A function that tail calls itself through another: whoever it returns to did not pass these.
NOINLINE long Odd(long n, long origin);
NOINLINE long Even(long n, long origin) {
  long now = Opaque(n);
  Keep(now);
  if (now == 0) return Opaque(1);
  return Odd(Opaque(now - 1), 70);
}
NOINLINE long Odd(long n, long origin) {
  long now = Opaque(n);
  Keep(now);
  if (now == 0) return Opaque(0);
  return Even(Opaque(now - 1), 80);
}

// An argument that is not passed at all, because every call says the same.
static NOINLINE long Unused(long value, long scale, Point by_value) {
  long result = Opaque(value + by_value.x);
  Keep(result);
  return Opaque(result);
}

// Objects that dissolve into registers, and what refers to them.
struct Range {
  int low;
  int high;
  INLINE long Span(const int* extra) const {
    const long width = Opaque(high) - low;
    const long widened = Opaque(width) + *extra;
    return widened;
  }
};
INLINE long Sum(const Range& range, const Range* other, double&& rate) {
  const long first = Opaque(range.low + other->high);
  return Opaque(first) + range.high + other->low + static_cast<long>(rate);
}
NOINLINE long Dissolved(int seed) {
  const Range range{seed, seed * 3};
  const Range fixed{4, 9};
  const int extra = 1 + static_cast<int>(Opaque(seed));
  long total = range.Span(&extra);
  total += Sum(range, &fixed, static_cast<double>(extra));
  return total + fixed.Span(&range.low);
}

// Clang counts on in a register of 64 bits and describes the counter by what is left of it: a sum of
// the generic type and of one with a sign.
volatile int first_round = 1;
NOINLINE void Watch(int kind, const char* what, int small, long first, long second) {
  asm volatile("" : : "r"(kind), "r"(what), "r"(small), "r"(first), "r"(second) : "memory");
}
NOINLINE long Rewritten(long value, long limit) {
  if (value < limit) return value + 1;
  const long excess = value - limit;
  const long factor = excess * limit;
  Watch(1, "factor", 0, excess, factor);
  long result = factor;
  for (int round = first_round; round < 3; ++round) {
    result += round * excess;
    Watch(2, "round", round, result, excess);
  }
  return result;
}

long RunAll(int argc) {
  long total = Integers(argc + 4, 200, static_cast<short>(-argc), 0x123456789abcUL, argc == 1, 'q');
  total += static_cast<long>(Wide(-5 * argc, 0x4000000000000001UL));
  total += static_cast<long>(Floats(0.25f * static_cast<float>(argc), 2.75, 3.5L));
  Order order;
  order.id = 17;
  order.name = "first order";
  order.items[0].quantity = 3;
  order.items[1].quantity = 4;
  order.items[1].price = 2.5;
  Flags flags{};
  flags.ready = 1;
  flags.level = 3;
  flags.offset = -2;
  total += Structs({argc, 20}, {1L << 40, -6}, {{1, 2, 3, 4, 5}, 'z'}, order, flags);
  const int data[] = {5, -40, 90, 12, 7, 33};
  total += Inlined(data, 6);
  total += Kinds(order, order.items, Tier::kGold, kBlue, Twice);
  Cart cart;
  cart.base = 100;
  cart.items[0] = order.items[0];
  cart.items[1] = order.items[1];
  total += cart.Total(argc);
  total += Shadows(argc + 1);
  total += Caller(argc, 1000);
  total += Forward(argc + 6, 0.75, argc * 2);
  total += Overwritten(total, 2.5, 4, "direct");
  total += Even(argc + 3, 60);
  total += Unused(argc, 31, {argc + 8, 2});
  total += Dissolved(argc + 20);
  total += Rewritten(argc + 199, 101);
  return total + global_count + hidden_total + anonymous_flag + kShopName[0];
}

}  // namespace shop

int main(int argc, char**) {
  const long total = shop::RunAll(argc);
  std::printf("%ld\n", total);
  return 0;
}
