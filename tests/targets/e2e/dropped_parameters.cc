// Parameters that the compiler takes away because the function does without them: only the caller's
// call site says what they would have been. Main prints it, too.
#include <cstdio>

namespace shop {

struct Prices {
  long net, tax, freight, rebate;
};

__attribute__((noinline)) void Hold(long value) { asm volatile("" : : "r"(value) : "memory"); }

__attribute__((noinline)) static long Unused(int amount, int never) {
  Hold(amount);  // mark-unused
  return amount + 1;
}

__attribute__((noinline)) static long Members(const Prices& prices, double rate, int factor) {
  Hold(prices.net + prices.tax);  // mark-members
  return (prices.net + prices.tax) * factor;
}

__attribute__((noinline)) static long Inner(int spare, int amount) {
  Hold(amount);  // mark-inner
  return amount * 3;
}

// Passes on what it does not need itself.
__attribute__((noinline)) static long Outer(int spare, int amount) {
  Hold(amount + 1);  // mark-outer
  return Inner(spare, amount + 1) + 1;
}

}  // namespace shop

int main(int argc, char**) {
  const int base = argc + 30;
  std::printf("mark-unused amount=%d never=%d\n", base, 5 * base);
  long sum = shop::Unused(base, 5 * base);
  const shop::Prices prices{base, 2, 3, 4};
  std::printf("mark-members factor=%d rate=%g\n", base + 1, 0.5 * base);
  sum += shop::Members(prices, 0.5 * base, base + 1);
  std::printf("mark-outer spare=%d amount=%d\n", base * base, base);
  std::printf("mark-inner spare=%d amount=%d\n", base * base, base + 1);
  sum += shop::Outer(base * base, base);
  std::printf("%ld %d\n", sum, base);
  return 0;
}
