// The program's unwinder asks us, and a program that throws under a profiler does not hang of it.
#include "agent/probe/unwinder_hook.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unwind.h>

#include "agent/probe/arch/x86_64/trampoline_cfi.h"
#include "agent/probe/frame_table.h"

struct dwarf_eh_bases {  // libgcc's unwind-dw2-fde.h
  void* tbase;
  void* dbase;
  void* func;
};
extern "C" const void* _Unwind_Find_FDE(void* pc, dwarf_eh_bases* bases);

namespace stillframe::probe {
namespace {

constexpr uint64_t kCode = 0x100000000000;

void AddCode() {
  const arch::CfiRange range{kCode, 64, {{0, arch::kDwarfRsp, 0, 0x401000, {}}}};
  AddFrames(kCode, 64, arch::EncodeEhFrame({&range, 1}));
}

// Where the unwinder says that the function of a pc begins; 0: it knows none.
uint64_t Function(uint64_t pc) {
  dwarf_eh_bases bases{};
  if (_Unwind_Find_FDE(reinterpret_cast<void*>(pc), &bases) == nullptr) return 0;
  return reinterpret_cast<uint64_t>(bases.func);
}

TEST(UnwinderHook, AnswersForOurCodeAndForNothingElse) {
  const Status hooked = HookUnwinders();
  if (hooked.code() == Code::kUnsupported) GTEST_SKIP() << hooked.ToString();
  ASSERT_TRUE(hooked.ok()) << hooked.ToString();
  EXPECT_GE(HookedImports(), 1u);
  EXPECT_EQ(Function(kCode + 10), 0u);
  AddCode();
  EXPECT_EQ(Function(kCode), kCode);
  EXPECT_EQ(Function(kCode + 63), kCode);
  EXPECT_EQ(Function(kCode + 64), 0u);
  const auto own = reinterpret_cast<uint64_t>(&Function);
  EXPECT_EQ(Function(own + 1), own);
  RemoveFrames(kCode);
  EXPECT_EQ(Function(kCode + 10), 0u);
}

TEST(UnwinderHook, GoesAsItCame) {
  if (HookUnwinders().code() == Code::kUnsupported) GTEST_SKIP();
  AddCode();
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(Function(kCode + 5), kCode);
    UnhookUnwinders();
    EXPECT_EQ(HookedImports(), 0u);
    EXPECT_EQ(Function(kCode + 5), 0u);
    ASSERT_TRUE(HookUnwinders().ok());
    ASSERT_TRUE(HookUnwinders().ok());  // twice is once
  }
  RemoveFrames(kCode);
}

// Throws in a loop while a timer's handler unwinds, with frames of ours in the table. With
// __register_frame of GCC 12 this hangs.
int ThrowUnderAProfiler() {
  AddCode();
  if (!HookUnwinders().ok()) return 0;
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

TEST(UnwinderHook, DoesNotHangWhatThrowsUnderAProfiler) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(ThrowUnderAProfiler());
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace stillframe::probe
