// Compiled without optimization to assembly, in which locations_test.py gives these variables the
// locations that optimizing compilers write. It is the last function: nothing refers to what is behind.
struct Wide {
  long first, second, third;
};

__attribute__((noinline)) long Look(int n) {
  Wide cleared = {};
  Wide mixed = {};
  Wide unknown = {};
  asm volatile("" : : "r"(&cleared), "r"(&mixed), "r"(&unknown), "r"(n) : "memory");
  return cleared.third + n;  // mark-look
}

int main() { return static_cast<int>(Look(0)); }
