// Loaded by moved.cc. Compiled twice: NUMBER tells the two apart.
#include <string>

#include "moved.h"

extern "C" __attribute__((noinline)) int LibraryStep(int value) {
  std::string text(2 + NUMBER, 'l');
  text += static_cast<char>('k' + SharedStep(0L));
  asm volatile("" : "+r"(value) : "r"(&text) : "memory");
  return value + static_cast<int>(text.size());  // mark-library
}
