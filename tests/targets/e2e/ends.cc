// Programs that end badly; the first argument says how. Each prints what it is about to lose.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <csetjmp>
#include <unistd.h>

namespace shop {

struct Order {
  long id;
  std::string name;
  std::vector<int> items;
};

int* volatile null_pointer = nullptr;
volatile int zero = 0;

[[gnu::noinline]] long Fail(const std::string& how, const Order& order) {
  long step = order.id * 3;
  asm volatile("" : "+r"(step));
  if (how == "throw") throw std::out_of_range("order " + std::to_string(order.id));
  if (how == "segv" || how == "segv-handled" || how == "segv-recovered" || how == "segv-later" ||
      how == "segv-altstack") {
    return *null_pointer + step;  // mark-segv
  }
  if (how == "fpe") return step / zero;
  if (how == "ill") __builtin_trap();
  if (how == "abort") std::abort();
  if (how == "raise") raise(SIGSEGV);
  return step + static_cast<long>(order.name.size());
}

[[gnu::noinline]] void NoThrow(const std::string& how, const Order& order) noexcept {
  std::printf("got %ld\n", Fail(how == "noexcept" ? "throw" : how, order));
}

}  // namespace shop

namespace {

sigjmp_buf recovered;

void Say(const char* text) { (void)!write(STDOUT_FILENO, text, std::strlen(text)); }
void Handler(int) {
  Say("handler\n");
  _exit(7);
}
void Recover(int) { siglongjmp(recovered, 1); }

void Install(void (*handler)(int), int flags = 0) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigaction(SIGSEGV, &action, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string how = argv[1];
  const shop::Order order{77, "a name that is long enough for the heap", {1, 2, 3}};
  std::printf("order %ld\n", order.id);
  std::fflush(stdout);
  static char stack[64 << 10];
  if (how == "segv-handled") Install(&Handler);
  if (how == "segv-altstack") {
    const stack_t alternate{stack, 0, sizeof stack};
    sigaltstack(&alternate, nullptr);
    Install(&Handler, SA_ONSTACK);
  }
  if (how == "handler") std::set_terminate([] { Handler(0); });
  if (how == "segv-recovered") Install(&Recover);
  if (argc > 2) {  // the agent arms now
    Say("ready\n");
    char byte = 0;
    (void)!read(STDIN_FILENO, &byte, 1);
  }
  if (how == "segv-recovered") {
    for (int i = 0; i < 3; ++i) {
      if (sigsetjmp(recovered, 1) == 0) shop::Fail(how, order);
      Say("recovered\n");
    }
    return 3;
  }
  if (how == "segv-later") {
    Install(&Handler);  // after the agent's
    usleep(300'000);    // its next look at the handlers
  }
  if (how == "noexcept" || how == "handler") shop::NoThrow("noexcept", order);
  if (how == "thread") {
    std::thread([&] { shop::Fail("throw", order); }).join();
  }
  if (how == "plain") std::terminate();
  shop::Fail(how, order);
  return 0;
}
