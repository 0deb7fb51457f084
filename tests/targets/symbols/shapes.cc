#include "shapes.h"

extern "C" int shapes_sink;

namespace shapes {
namespace {

struct Counter {
  int count = 0;
  __attribute__((noinline)) int Next(int step) {  // line: method
    count += step;
    return count;
  }
};

Counter counter;

}  // namespace

__attribute__((noinline)) int Area(int width, int height) {  // line: opening
  int w = Clamp(width, 0, 100);
  int h = Clamp(height, 0, 100);
  shapes_sink += counter.Next(w);  // line: call
  return Scale(w, h);
}

__attribute__((noinline)) double Perimeter(double width, double height) {
  return Scale(width, 2) + Scale(height, 2);
}

}  // namespace shapes
