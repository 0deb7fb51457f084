// Loaded and unloaded by loader.cc. Compiled twice: NUMBER tells the two apart.
#include <unistd.h>

#ifndef NUMBER
#define NUMBER 1
#endif

extern "C" __attribute__((noinline, visibility("default"))) long PluginStep(long value) {
  asm volatile(".byte 0x0f, 0x1f, 0x44, 0, 0" : "+r"(value));  // mark-plugin
  return value + NUMBER;
}

extern "C" __attribute__((visibility("default"))) long PluginSteps(long count) {
  long value = 0;
  for (long i = 0; i < count; ++i) value = PluginStep(value);
  return value;
}

// Blocks inside the library's code until the descriptor has a byte.
extern "C" __attribute__((noinline, visibility("default"))) long PluginWait(int fd) {
  char byte = 0;
  long count = read(fd, &byte, 1);  // mark-wait
  asm volatile("" : "+r"(count));
  return count;
}
