// A library that the soak loads, probes and unloads.
extern "C" __attribute__((noinline, visibility("default"))) long SoakPlugin(long value) {
  asm volatile(".byte 0x0f, 0x1f, 0x44, 0, 0" : "+r"(value));
  return value + 3;
}
