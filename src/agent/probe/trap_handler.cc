#include "agent/probe/trap_handler.h"

#include <dirent.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>

#include "agent/probe/arch/arch.h"
#include "base/process_maps.h"

namespace stillframe::probe {
namespace {

constexpr uint64_t kSigTrapBit = uint64_t{1} << (SIGTRAP - 1);
constexpr int64_t kGraceNs = 1'000'000'000;
constexpr uint32_t kRoutes = 4096;  // a power of two
constexpr uint32_t kMaxRoutes = kRoutes / 2;

// Open addressing; written by the agent thread, read by handlers. A slot's address is written last
// (release; partner: acquire in FindRoute) and never changes again.
struct Route {
  std::atomic<uint64_t> address{0};
  std::atomic<uint64_t> trampoline{0};
};
constinit std::array<Route, kRoutes> g_routes{};
uint32_t g_route_count = 0;

struct sigaction g_previous {};
std::atomic<bool> g_previous_was_reset{false};
bool g_installed = false;
bool g_lost = false;
int64_t g_idle_since_ns = 0;

uint32_t HashOf(uint64_t address) {
  return static_cast<uint32_t>((address * 0x9E3779B97F4A7C15) >> 40) & (kRoutes - 1);
}

uint64_t FindRoute(uint64_t address) {
  for (uint32_t i = HashOf(address), steps = 0; steps < kRoutes; ++steps, i = (i + 1) % kRoutes) {
    const uint64_t found = g_routes[i].address.load(std::memory_order_acquire);
    if (found == 0) return 0;
    if (found == address) return g_routes[i].trampoline.load(std::memory_order_relaxed);
  }
  return 0;
}

// Unlike a fault, the instruction does not repeat itself: the signal is sent again.
void TakeDefaultAction(siginfo_t* info) {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigaction(SIGTRAP, &action, nullptr);
  syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGTRAP, info);
}

bool IsFunction(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 ||
         (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
}

void Handler(int signal_number, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  if (info->si_code > 0) {  // raised by the machine, not sent
    if (const uint64_t trampoline = FindRoute(arch::TrapAddress(context)); trampoline != 0) {
      arch::ResumeAt(context, trampoline);
      return;
    }
  }
  const struct sigaction& previous = g_previous;
  if (!IsFunction(previous) || g_previous_was_reset.load(std::memory_order_relaxed)) {
    const bool ignored = previous.sa_handler == SIG_IGN && info->si_code <= 0;
    if (!ignored) TakeDefaultAction(info);
    errno = saved_errno;
    return;
  }
  if ((previous.sa_flags & static_cast<int>(SA_RESETHAND)) != 0) {
    g_previous_was_reset.store(true, std::memory_order_relaxed);
  }
  errno = saved_errno;
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(signal_number, info, context);
  } else {
    previous.sa_handler(signal_number);
  }
}

bool IsOurs(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == &Handler;
}

Status Install() {
  struct sigaction current {};
  if (sigaction(SIGTRAP, nullptr, &current) != 0) return ErrnoStatus("ask for SIGTRAP", errno);
  if (g_lost || (g_installed && !IsOurs(current))) {
    g_lost = true;
    return Status(Code::kNotPermitted, "the program has installed its own handler of SIGTRAP");
  }
  if (g_installed) return Status();
  struct sigaction action {};
  action.sa_sigaction = &Handler;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  if (IsFunction(current)) {
    action.sa_mask = current.sa_mask;
    action.sa_flags = (current.sa_flags & ~static_cast<int>(SA_RESETHAND)) | SA_SIGINFO;
  }
  g_previous = current;
  g_previous_was_reset.store(false, std::memory_order_relaxed);
  if (sigaction(SIGTRAP, &action, nullptr) != 0) return ErrnoStatus("handle SIGTRAP", errno);
  g_installed = true;
  return Status();
}

// The hexadecimal or decimal value of "Name:\t..." in a status file; 0 when it is missing.
uint64_t Field(const std::string& status, const char* name, int base) {
  const size_t at = status.find(std::string("\n") + name + ":");
  if (at == std::string::npos) return 0;
  return strtoull(status.c_str() + status.find(':', at) + 1, nullptr, base);
}

std::string ThreadName(const std::string& status) {
  if (!status.starts_with("Name:\t")) return "?";
  return status.substr(6, status.find('\n') - 6);
}

// Calls `look` with each thread's status file until it returns an error. Threads that end meanwhile
// are passed over.
Status ForEachThread(
    const std::function<Status(const std::string& tid, const std::string& status)>& look) {
  const std::unique_ptr<DIR, int (*)(DIR*)> tasks(opendir("/proc/self/task"), closedir);
  if (tasks == nullptr) return ErrnoStatus("list the threads", errno);
  while (const dirent* entry = readdir(tasks.get())) {
    const std::string tid = entry->d_name;
    if (tid[0] == '.') continue;
    const auto status = ReadFile("/proc/self/task/" + tid + "/status", 1u << 16);
    if (!status.ok()) continue;
    SF_RETURN_IF_ERROR(look(tid, *status));
  }
  return Status();
}

Status Unsafe(const std::string& why) {
  return Status(Code::kUnsafeSite, "a trap could end the program: " + why);
}

Status CheckHandlerMasks() {
  for (int number = 1; number <= SIGRTMAX; ++number) {
    struct sigaction action {};
    if (number == SIGTRAP || sigaction(number, nullptr, &action) != 0) continue;
    if (IsFunction(action) && sigismember(&action.sa_mask, SIGTRAP) == 1) {
      return Unsafe("the handler of signal " + std::to_string(number) +
                    " runs with SIGTRAP blocked");
    }
  }
  return Status();
}

}  // namespace

Status CheckTrapIsSafe() {
  SF_RETURN_IF_ERROR(CheckHandlerMasks());
  return ForEachThread([](const std::string& tid, const std::string& status) {
    if (Field(status, "TracerPid", 10) != 0) {
      return Status(Code::kUnsafeSite, "a debugger is attached, and traps are its own");
    }
    if ((Field(status, "SigIgn", 16) & kSigTrapBit) != 0) {
      return Unsafe("the program ignores SIGTRAP");
    }
    if ((Field(status, "SigBlk", 16) & kSigTrapBit) != 0) {
      return Unsafe("thread " + tid + " (" + ThreadName(status) + ") blocks SIGTRAP");
    }
    return Status();
  });
}

Status RouteTrap(uint64_t address, uint64_t trampoline) {
  uint32_t i = HashOf(address);
  while (true) {
    const uint64_t found = g_routes[i].address.load(std::memory_order_relaxed);
    if (found == address) {
      g_routes[i].trampoline.store(trampoline, std::memory_order_relaxed);
      break;
    }
    if (found == 0) {
      if (g_route_count == kMaxRoutes) {
        return Status(Code::kOverLimit,
                      std::to_string(kMaxRoutes) + " addresses have had a trap already");
      }
      ++g_route_count;
      g_routes[i].trampoline.store(trampoline, std::memory_order_relaxed);
      g_routes[i].address.store(address, std::memory_order_release);
      break;
    }
    i = (i + 1) % kRoutes;
  }
  g_idle_since_ns = 0;
  return Install();
}

void ReleaseTraps(bool armed, int64_t now_ns) {
  if (!g_installed || armed) {
    g_idle_since_ns = 0;
    return;
  }
  if (g_idle_since_ns == 0) g_idle_since_ns = now_ns;
  if (now_ns - g_idle_since_ns < kGraceNs) return;
  // One that ran the trap before it went may not have been told yet.
  const Status quiet = ForEachThread([](const std::string&, const std::string& status) {
    const uint64_t waiting = Field(status, "SigPnd", 16) | Field(status, "ShdPnd", 16);
    return (waiting & kSigTrapBit) == 0 ? Status() : Unsafe("a trap is on its way");
  });
  if (!quiet.ok()) return;
  struct sigaction current {};
  if (sigaction(SIGTRAP, nullptr, &current) == 0 && IsOurs(current)) {
    sigaction(SIGTRAP, &g_previous, nullptr);
  }
  g_installed = false;
  g_lost = false;
}

bool TrapHandlerIsLost() {
  struct sigaction current {};
  return g_installed && (sigaction(SIGTRAP, nullptr, &current) != 0 || !IsOurs(current));
}

}  // namespace stillframe::probe
