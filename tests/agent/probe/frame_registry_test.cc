// Registering frames must not hang a program that throws under a profiler.
#include "agent/probe/frame_registry.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unwind.h>

#include <cstdio>

#include "agent/probe/arch/x86_64/trampoline_cfi.h"

namespace stillframe::probe {
namespace {

// Throws in a loop while a timer's handler unwinds, with a frame registered; 0 when it ended.
int ThrowUnderAProfiler(FrameRegistry& registry) {
  const arch::CfiRange range{0x100000000000, 64, {{0, 7, 0, 0x401000, {}}}};
  registry.Add(arch::EncodeEhFrame({&range, 1}), range.start);
  struct sigaction action {};
  action.sa_handler = [](int) {
    _Unwind_Backtrace([](_Unwind_Context*, void*) { return _URC_NO_REASON; }, nullptr);
  };
  action.sa_flags = SA_RESTART;
  sigaction(SIGPROF, &action, nullptr);
  const itimerval every{{0, 100}, {0, 100}};
  setitimer(ITIMER_PROF, &every, nullptr);
  int caught = 0;
  for (int i = 0; i < 200'000; ++i) {
    try {
      throw i;
    } catch (const int value) {
      caught += value == i;
    }
  }
  return caught == 200'000 ? 0 : 1;
}

// Where lookups take a lock, nothing may be registered: see frame_registry.h.
TEST(FrameRegistry, IsUsedOnlyWhereItDoesNoHarm) {
  FrameRegistry registry = FrameRegistry::Find();
  EXPECT_NE(registry.usable(), !registry.reason().empty());
  std::printf("  %s\n", registry.usable() ? "usable" : registry.reason().c_str());
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(ThrowUnderAProfiler(registry));
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace stillframe::probe
