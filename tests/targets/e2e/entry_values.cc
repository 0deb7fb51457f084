// Parameters that live in a register which is overwritten before the marked line: only the caller
// still knows them, or nobody does.
#include <cstdio>
#include <functional>

namespace {

[[gnu::noinline]] void Sink(long value) { asm volatile("" : : "r"(value) : "memory"); }

[[gnu::noinline]] long Direct(long key, const char* name) {
  Sink(key);
  std::fputs(name, stderr);
  Sink(1);  // mark-direct
  return 3;
}

[[gnu::noinline]] long Last(long key) {
  Sink(key);
  Sink(2);  // mark-last
  return 4;
}

// Leaves its caller's return address to Last, which is given something else.
[[gnu::noinline]] long First(long key) {
  Sink(key);
  return Last(key * 10 + 7);
}

[[gnu::noinline]] long Odd(long left);

// Comes back to its own entry by tail calls.
[[gnu::noinline]] long Even(long left) {
  Sink(left);
  if (left != 0) return Odd(left - 1);
  Sink(3);  // mark-even
  return 5;
}

long Odd(long left) {
  Sink(left);
  return Even(left - 1);
}

[[gnu::noinline]] long Indirect(long key) {
  Sink(key);
  Sink(4);  // mark-indirect
  return 6;
}

[[gnu::noinline]] long Chain(long key, long level) {
  Sink(key);
  if (level > 0) {
    Sink(Chain(key + 1, level - 1));
    return 7;
  }
  Sink(5);  // mark-chain
  return 8;
}

[[gnu::noinline]] double Floats(double rate, float share) {
  Sink(static_cast<long>(rate));
  Sink(6);  // mark-floats
  asm volatile("" : : : "xmm0", "xmm1");
  return 1;
}

}  // namespace

int main() {
  long (*volatile indirect)(long) = Indirect;
  long sum = 0;
  for (long i = 0; i < 3; ++i) sum += Direct(1000 + i, "direct ");
  sum += First(5) + Even(4) + indirect(77) + Chain(100, 3);
  sum += static_cast<long>(Floats(2.5, 0.25f));
  std::printf("%ld\n", sum);
}
