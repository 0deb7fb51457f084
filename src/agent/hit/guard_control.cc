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
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "agent/hit/arch.h"
#include "agent/hit/fault.h"
#include "agent/hit/hit.h"
#include "agent/hit/memory.h"
#include "agent/hit/process_state.h"
#include "agent/hit/readable_ranges.h"

namespace stillframe::hit {
namespace {

struct Guard {
  int signal_number;
  bool for_reads = false;  // guarded reads want it
  bool for_fatal = false;  // probes do
  bool installed = false;
  bool abandoned = false;  // replaced by the host
  // What the handler goes on to. Written before the handler is installed.
  struct sigaction previous {};
  std::atomic<bool> previous_was_reset{false};  // SA_RESETHAND has taken effect
};

constinit Guard g_guards[kFatalSignals] = {{.signal_number = SIGSEGV},
                                           {.signal_number = SIGBUS},
                                           {.signal_number = SIGFPE},
                                           {.signal_number = SIGILL},
                                           {.signal_number = SIGABRT}};
constexpr size_t kReadGuards = 2;

size_t IndexOf(int signal_number) {
  size_t i = 0;
  while (i + 1 < kFatalSignals && g_guards[i].signal_number != signal_number) ++i;
  return i;
}

// The places of probes on signals: none is in the text. Never freed; their lists are, once no hit
// reads them any more.
constinit SiteRuntime g_signal_sites[kFatalSignals];
struct FatalProbe {
  ProbeRuntime* probe;
  uint32_t signals;
};
std::vector<FatalProbe>& FatalProbes() {  // agent thread
  static auto* const probes = new std::vector<FatalProbe>;
  return *probes;
}

// On the thread that faulted, at any instruction: only what a hit may do.
void CaptureFatal(size_t index, const siginfo_t* info, void* context) {
  SiteRuntime& site = g_signal_sites[index];
  if (site.list.load(std::memory_order_acquire) == nullptr) return;
  RegisterFile registers;
  CaptureContext fault{};
  if (!ReadFault(context, registers, fault.vectors)) return;
  // What a hit reads without asking is the page of the stack pointer, which may be what faulted.
  uint64_t word = 0;
  if (ReadSome(registers.gpr[kStackPointer], &word, sizeof word) != sizeof word) return;
  fault.signal = static_cast<uint32_t>(g_guards[index].signal_number);
  fault.address = info->si_code > 0 ? reinterpret_cast<uint64_t>(info->si_addr) : 0;
  HitFault(site, registers, fault);
}

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
  const size_t index = IndexOf(signal_number);
  Guard& guard = g_guards[index];
  const int saved_errno = errno;
  CaptureFatal(index, info, context);
  errno = saved_errno;
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

bool InForce(const Guard& guard) {
  struct sigaction current {};
  return sigaction(guard.signal_number, nullptr, &current) == 0 && IsOurs(current);
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
    return {Code::kIoError, std::string("the program has installed its own handler of ") +
                                sigabbrev_np(guard.signal_number)};
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
  if (!guard.installed || guard.for_reads || guard.for_fatal) return;
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

// Puts the list of the signal's probes in force. The old one is freed once no hit reads it.
Status PublishFatal(size_t index) {
  auto next = std::make_unique<SiteProbeList>();
  for (const FatalProbe& wanted : FatalProbes()) {
    if ((wanted.signals >> index & 1) == 0) continue;
    if (next->count == std::size(next->entries)) {
      return {Code::kOverLimit, "too many tracepoints on one signal"};
    }
    next->entries[next->count++] = {wanted.probe, 0};
  }
  const bool wanted = next->count != 0;
  const SiteProbeList* const old = g_signal_sites[index].list.exchange(
      wanted ? next.release() : nullptr, std::memory_order_acq_rel);
  if (old != nullptr && WaitForQuiescence(1000)) delete old;
  g_guards[index].for_fatal = wanted;
  return {};
}

}  // namespace

Status AddFatalProbe(ProbeRuntime* probe, uint32_t signals) {
  FatalProbes().push_back({probe, signals});
  for (size_t i = 0; i < kFatalSignals; ++i) {
    if ((signals >> i & 1) == 0) continue;
    Status status = PublishFatal(i);
    if (status.ok()) status = Install(g_guards[i]);
    if (status.ok()) continue;
    RemoveFatalProbe(probe);
    return status;
  }
  return {};
}

void RemoveFatalProbe(const ProbeRuntime* probe) {
  uint32_t signals = 0;
  std::erase_if(FatalProbes(), [&](const FatalProbe& known) {
    if (known.probe == probe) signals |= known.signals;
    return known.probe == probe;
  });
  for (size_t i = 0; i < kFatalSignals; ++i) {
    if ((signals >> i & 1) == 0) continue;
    (void)PublishFatal(i);  // fewer than before fit
    Remove(g_guards[i]);
  }
}

uint32_t LostFatalSignals() {
  uint32_t lost = 0;
  for (size_t i = 0; i < kFatalSignals; ++i) {
    if (g_guards[i].for_fatal && !InForce(g_guards[i])) lost |= uint32_t{1} << i;
  }
  return lost;
}

Status SetGuardedReads(bool enabled) {
  Status status;
  if (enabled) {
    for (size_t i = 0; i < kReadGuards && status.ok(); ++i) {
      g_guards[i].for_reads = true;
      status = Install(g_guards[i]);
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
    for (size_t i = 0; i < kReadGuards; ++i) {
      g_guards[i].for_reads = false;
      Remove(g_guards[i]);
    }
    FreeReadableRanges();
  }
  return status;
}

bool RefreshGuardedReads(int64_t now_ns) {
  if (g_process.guard_turn.load(std::memory_order_relaxed) == 0) return true;
  for (size_t i = 0; i < kReadGuards; ++i) {
    if (!InForce(g_guards[i])) {
      g_process.guard_turn.store(0, std::memory_order_relaxed);
      return false;
    }
  }
  RefreshReadableRanges(now_ns);
  NextGuardTurn();
  return true;
}

}  // namespace stillframe::hit
