// The handlers of SIGSEGV and SIGBUS behind guarded copies (memory.h says why they exist).
//
// A fault is ours when its pc lies in the guarded copy; every other goes on to what the host had
// installed, with the host's flags and mask, so that the host sees what it would have seen. With
// the default action in place before, it is put back and the faulting instruction runs again: the
// process dies of the same signal at the same pc.
//
// If the host installs its own handler later, the agent thread notices at its next turn and hits
// stop using the guard; it is never installed a second time then, because the host's handler may
// call ours.
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "agent/hit/arch.h"
#include "agent/hit/hit.h"
#include "agent/hit/process_state.h"
#include "agent/hit/readable_ranges.h"

namespace stillframe::hit {
namespace {

struct Guard {
  int signal_number;
  bool installed = false;
  bool abandoned = false;  // replaced by the host
  // What the handler goes on to. Written before the handler is installed.
  struct sigaction previous {};
  std::atomic<bool> previous_was_reset{false};  // SA_RESETHAND has taken effect
};

constinit Guard g_guards[2] = {{.signal_number = SIGSEGV}, {.signal_number = SIGBUS}};

Guard& GuardOf(int signal_number) { return g_guards[signal_number == SIGSEGV ? 0 : 1]; }

void TakeDefaultAction(int signal_number, siginfo_t* info) {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigaction(signal_number, &action, nullptr);
  // A fault repeats itself; a signal that someone sent does not.
  if (info->si_code <= 0) {
    syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), signal_number, info);
  }
}

void Handler(int signal_number, siginfo_t* info, void* context) {
  if (SkipGuardedFault(context)) return;
  Guard& guard = GuardOf(signal_number);
  const struct sigaction& previous = guard.previous;
  const bool is_function = (previous.sa_flags & SA_SIGINFO) != 0 ||
                           (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN);
  if (!is_function || guard.previous_was_reset.load(std::memory_order_relaxed)) {
    // An ignored signal that the machine raised kills all the same (signal(7)).
    if (previous.sa_handler == SIG_IGN && info->si_code <= 0) return;
    return TakeDefaultAction(signal_number, info);
  }
  if ((previous.sa_flags & static_cast<int>(SA_RESETHAND)) != 0) {
    guard.previous_was_reset.store(true, std::memory_order_relaxed);
  }
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(signal_number, info, context);
  } else {
    previous.sa_handler(signal_number);
  }
}

bool IsOurs(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == &Handler;
}

struct sigaction ActionInFrontOf(const struct sigaction& previous) {
  struct sigaction action {};
  action.sa_sigaction = &Handler;
  const bool is_function = (previous.sa_flags & SA_SIGINFO) != 0 ||
                           (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN);
  if (is_function) {
    action.sa_mask = previous.sa_mask;
    action.sa_flags = (previous.sa_flags & ~static_cast<int>(SA_RESETHAND)) | SA_SIGINFO;
  } else {
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  }
  return action;
}

Status Install(Guard& guard) {
  struct sigaction current {};
  if (sigaction(guard.signal_number, nullptr, &current) != 0) {
    return ErrnoStatus("asking for a signal's handler", errno);
  }
  if (guard.abandoned || (guard.installed && !IsOurs(current))) {
    guard.abandoned = true;
    return {Code::kIoError, "the program has installed its own SIGSEGV or SIGBUS handler"};
  }
  if (guard.installed) return {};
  guard.previous = current;
  guard.previous_was_reset.store(false, std::memory_order_relaxed);
  const struct sigaction action = ActionInFrontOf(current);
  if (sigaction(guard.signal_number, &action, nullptr) != 0) {
    return ErrnoStatus("installing a signal handler", errno);
  }
  guard.installed = true;
  return {};
}

void Remove(Guard& guard) {
  if (!guard.installed) return;
  struct sigaction current {};
  sigaction(guard.signal_number, nullptr, &current);
  if (IsOurs(current)) {
    sigaction(guard.signal_number, &guard.previous, nullptr);
  } else {
    guard.abandoned = true;
  }
  guard.installed = false;
}

void NextGuardTurn() {
  const uint32_t next = g_process.guard_turn.load(std::memory_order_relaxed) + 1;
  g_process.guard_turn.store(next == 0 ? 1 : next, std::memory_order_release);
}

}  // namespace

Status SetGuardedReads(bool enabled) {
  Status status;
  if (enabled) {
    for (Guard& guard : g_guards) {
      status = Install(guard);
      if (!status.ok()) break;
    }
  }
  if (enabled && status.ok()) {
    RefreshReadableRanges(/*now_ns=*/0);
    NextGuardTurn();
    return {};
  }
  g_process.guard_turn.store(0, std::memory_order_relaxed);
  // A hit that still uses the guard must be over before the handlers go.
  if (WaitForQuiescence(1000)) {
    for (Guard& guard : g_guards) Remove(guard);
    FreeReadableRanges();
  }
  return status;
}

bool RefreshGuardedReads(int64_t now_ns) {
  if (g_process.guard_turn.load(std::memory_order_relaxed) == 0) return true;
  for (const Guard& guard : g_guards) {
    struct sigaction current {};
    if (sigaction(guard.signal_number, nullptr, &current) != 0 || !IsOurs(current)) {
      g_process.guard_turn.store(0, std::memory_order_relaxed);
      return false;
    }
  }
  RefreshReadableRanges(now_ns);
  NextGuardTurn();
  return true;
}

}  // namespace stillframe::hit
