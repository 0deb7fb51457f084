#include <cstdio>
#include <cstdlib>

#include "shapes.h"

extern "C" {
int shapes_sink;
volatile int shapes_probe;
}

// Never called and never referenced: --gc-sections throws its code away, not its line table.
int Discarded(int value) {
  int doubled = value * 2;  // line: discarded
  return doubled + 1;
}

__attribute__((noinline)) static int Loop(int count) {
  int total = 0;
  for (int i = 0; i < count; ++i) {
    total += shapes::Area(i, shapes::Clamp(i, 1, 9));  // line: loop
  }
  return total;
}

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 3;
  const auto twice = [](int value) {
    return shapes::Scale(value, 2);  // line: lambda
  };
  std::printf("%d %f %d\n", Loop(count), shapes::Perimeter(count, 2.0), twice(count));
  return shapes_sink == -1;  // line: return
}
