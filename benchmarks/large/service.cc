// The one unit of the large program that large_bench.py sets its tracepoint in. It prints when main
// begins, passes the tracepoint's line once, waits to be told to end, and prints its memory.
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

struct Order {
  long id;
  std::vector<std::string> items;
};

__attribute__((noinline)) long Checkout(const Order& order, int round) {
  long total = order.id * round;
  for (const std::string& item : order.items) total += static_cast<long>(item.size());
  std::printf("order %ld\n", total);  // bench: tracepoint here
  return total;
}

// Kilobytes of one line of /proc/self/status.
static long Status(const char* name) {
  std::FILE* file = std::fopen("/proc/self/status", "r");
  char line[256];
  long value = -1;
  while (file != nullptr && std::fgets(line, sizeof line, file) != nullptr) {
    if (std::strncmp(line, name, std::strlen(name)) == 0)
      std::sscanf(line + std::strlen(name), ":%ld", &value);
  }
  if (file != nullptr) std::fclose(file);
  return value;
}

int main() {
  std::printf("main peak %ld\n", Status("VmHWM"));
  std::fflush(stdout);
  char command[16];
  // Each line of input is one order; then the memory as it is.
  while (std::fgets(command, sizeof command, stdin) != nullptr) {
    if (command[0] == 'o') Checkout({7, {"one", "two"}}, 3);
    std::printf("peak %ld resident %ld anonymous %ld\n", Status("VmHWM"), Status("VmRSS"),
                Status("RssAnon"));
    std::fflush(stdout);
  }
  return 0;
}
