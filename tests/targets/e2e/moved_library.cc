// Loaded by moved.cc. Compiled twice: NUMBER tells the two apart.
#include <string>

extern "C" __attribute__((noinline)) int LibraryStep(int value) {
  std::string text(3 + NUMBER, 'l');
  asm volatile("" : "+r"(value) : "r"(&text) : "memory");
  return value + static_cast<int>(text.size());  // mark-library
}
