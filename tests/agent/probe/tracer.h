// Steps a child process through a probed site, one instruction at a time, with a signal at each.
#ifndef STILLFRAME_TESTS_AGENT_PROBE_TRACER_H_
#define STILLFRAME_TESTS_AGENT_PROBE_TRACER_H_

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace stillframe::probe {

inline constexpr int kTracedSignal = SIGUSR1;
inline constexpr uint64_t kTrapFlag = 0x100;  // the tracer's own

// The child stops itself (SIGSTOP) before it runs the site; its signal handler ends in INT3, so
// that it runs at full speed up to there.
class Tracer {
 public:
  // `site` is read when stepping begins, so it may be shared memory.
  Tracer(pid_t child, const volatile uint64_t& site) : child_(child), site_(site) {}

  // Steps from the site to `exit`, a signal at each instruction. The number of instructions; 0 when
  // something else happened.
  uint64_t StepThroughHit(uint64_t exit) {
    if (WaitForStop() != SIGSTOP) return 0;
    uint64_t pc = Step();
    while (pc != site_) {
      if (pc == 0) return 0;
      pc = Step();
    }
    uint64_t steps = 0;
    while (pc != exit && pc != 0) {
      if (!HandleSignalAt(pc)) return 0;
      ++steps;
      pc = Step();
    }
    return pc == 0 ? 0 : steps;
  }
  void Continue() { ptrace(PTRACE_CONT, child_, nullptr, nullptr); }
  // Steps from the site to the instruction with that number among those that `counts` holds for,
  // then sends the signal and lets the child go. Its address; 0 when `exit` came first or something
  // else happened (the child goes on as well).
  uint64_t SignalAtNumber(uint64_t number, uint64_t exit, bool (*counts)(uint64_t pc)) {
    if (WaitForStop() != SIGSTOP) return 0;
    uint64_t pc = Step();
    while (pc != 0 && pc != site_) pc = Step();
    while (pc != 0 && pc != exit) {
      if (counts(pc) && number-- == 0) {
        ptrace(PTRACE_CONT, child_, nullptr, kTracedSignal);
        return pc;
      }
      pc = Step();
    }
    Continue();
    return 0;
  }
  // Lets go of the child. Its exit code, -1 when it died.
  int Finish() {
    while (!ended_) {
      ptrace(PTRACE_DETACH, child_, nullptr, nullptr);
      (void)WaitForStop();
    }
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1;
  }

 private:
  // The signal that stopped the child; 0 when it is at its end, which is kept for Finish().
  int WaitForStop() {
    if (ended_) return 0;
    ended_ = waitpid(child_, &status_, 0) != child_ || !WIFSTOPPED(status_);
    return ended_ ? 0 : WSTOPSIG(status_);
  }
  user_regs_struct Registers() {
    user_regs_struct registers{};
    ptrace(PTRACE_GETREGS, child_, nullptr, &registers);
    return registers;
  }
  // One instruction; where it led, 0 when the child stopped for another reason.
  uint64_t Step() {
    if (ptrace(PTRACE_SINGLESTEP, child_, nullptr, nullptr) != 0) return 0;
    return WaitForStop() == SIGTRAP ? Registers().rip : 0;
  }
  // The handler runs, traps, and returns to where it came from.
  bool HandleSignalAt(uint64_t pc) {
    const user_regs_struct before = Registers();
    if (ptrace(PTRACE_CONT, child_, nullptr, kTracedSignal) != 0 || WaitForStop() != SIGTRAP)
      return false;
    for (int i = 0; i < 100; ++i) {
      if (Step() != pc) continue;
      const user_regs_struct after = Registers();
      return std::memcmp(&before, &after, offsetof(user_regs_struct, orig_rax)) == 0 &&
             before.rsp == after.rsp && ((before.eflags ^ after.eflags) & ~kTrapFlag) == 0;
    }
    return false;
  }

  pid_t child_;
  int status_ = SIGKILL;  // as of a child that died, until it is known
  bool ended_ = false;
  const volatile uint64_t& site_;
};

}  // namespace stillframe::probe

#endif  // STILLFRAME_TESTS_AGENT_PROBE_TRACER_H_
