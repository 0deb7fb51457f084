// Code in a header, which moved.cc and moved_library.cc both have.
#ifndef TESTS_TARGETS_E2E_MOVED_H_
#define TESTS_TARGETS_E2E_MOVED_H_

template <typename T>
__attribute__((noinline)) T SharedStep(T value) {
  asm volatile("" : "+r"(value));  // mark-shared
  return value + 1;
}

#endif  // TESTS_TARGETS_E2E_MOVED_H_
