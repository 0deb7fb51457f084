// An instruction where no jump fits: every displacement that the zeros behind it leave leads into
// the program itself. Later a thread blocks SIGTRAP.
#include <csignal>
#include <cstdio>
#include <thread>

static unsigned char cell;

__attribute__((noinline, noclone)) void Run(int times) {
  for (int i = 0; i < times; ++i) {
    // addb %al, (%rax), 24 times
    asm volatile(
        ".globl trapped_site\n trapped_site:\n cld\n .fill 48, 1, 0"
        :
        : "a"(&cell)
        : "memory", "cc");
  }
}

int main() {
  Run(1000);
  std::thread blocking([] {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTRAP);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  });
  blocking.join();
  Run(1000);
  std::printf("over\n");
}
