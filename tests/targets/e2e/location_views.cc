// Several statements at one address, before each of which the variables are others: what they are,
// Steps' twin prints before it does the same.
#include <cstdio>

namespace shop {

__attribute__((noinline)) void Use(long value, long other) {
  asm volatile("" : : "r"(value), "r"(other) : "memory");
}

__attribute__((noinline)) long Steps(long n) {
  long x = n;
  long y = 2 * n;
  Use(x, y);
  x = 5;        // mark-first
  y = x + 100;  // mark-second
  x = 7;        // mark-third
  Use(y, x);    // mark-fourth
  x = y - 3;    // mark-fifth
  y = 11;       // mark-sixth
  Use(x, y);    // mark-seventh
  return x + y + n;
}

__attribute__((noinline)) void Tell(long n) {
  volatile long x = n, y = 2 * n;
  const auto say = [&](const char* mark) { std::printf("%s x=%ld y=%ld\n", mark, x, y); };
  say("mark-first");
  x = 5;
  say("mark-second");
  y = x + 100;
  say("mark-third");
  x = 7;
  say("mark-fourth");
  say("mark-fifth");
  x = y - 3;
  say("mark-sixth");
  y = 11;
  say("mark-seventh");
}

}  // namespace shop

int main(int argc, char**) {
  shop::Tell(argc + 40);
  return shop::Steps(argc + 40) == 0;
}
