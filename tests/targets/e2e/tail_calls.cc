// Functions that end by a tail call: they are gone when the last one runs.
#include <cstdio>
#include <cstdlib>

#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif

volatile int g_sink;

NOINLINE int Last(int value) {
  g_sink = value;  // mark-last
  return g_sink + 1;
}

NOINLINE int Second(int value) {
  g_sink = value * 3;
  return Last(value + 2);  // mark-second
}

NOINLINE int First(int value) {
  g_sink = value * 5;
  return Second(value + 1);  // mark-first
}

// Two ways lead from here to the end.
NOINLINE int Either(int value) {
  if (value > 100) return Second(value);
  return First(value);
}

NOINLINE int Goal(int value) {
  g_sink = value;  // mark-goal
  return g_sink - 1;
}

NOINLINE int Left(int value) {
  g_sink = value + 7;
  return Goal(value * 2);
}
NOINLINE int Right(int value) {
  g_sink = value + 9;
  return Goal(value * 4);
}
NOINLINE int Fork(int value) { return value % 2 == 0 ? Left(value) : Right(value); }

// Twice from one function: it is known, the line is not.
NOINLINE int Twice(int value) {
  if (value > 10) {
    g_sink = 1;
    return Goal(value);
  }
  g_sink = 2;
  return Goal(-value);
}

int main(int argc, char**) {
  std::printf("%d\n", First(argc) + 1);  // mark-main
  std::printf("%d\n", Fork(argc) + 1);
  std::printf("%d\n", Twice(argc) + 1);
  std::printf("%d\n", argc > 5 ? Either(argc) + 1 : 0);
  return 0;
}
