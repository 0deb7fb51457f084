// Inlined copies and template instances of one line, in several units.
#pragma once

extern "C" volatile int shapes_probe;

namespace shapes {

template <typename T>
T Scale(T value, int factor) {
  T result = value * factor;  // line: template
  result += static_cast<T>(factor);
  return result;
}

inline __attribute__((always_inline)) int Clamp(int value, int low, int high) {
  const int raised = value < low ? low : value;
  shapes_probe = raised;  // line: inlined
  return raised > high ? high : raised;
}

int Area(int width, int height);
double Perimeter(double width, double height);

}  // namespace shapes
