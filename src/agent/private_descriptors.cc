#include "agent/private_descriptors.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <string>

#include "base/log.h"

namespace stillframe::agent {
namespace {

constexpr unsigned kCloseRangeUnshare = 1u << 1;  // linux/close_range.h, since 5.9

std::atomic<pid_t> g_private_thread{0};  // 0: the table is shared; partner: WriteLog

// By way of the main thread, whose table is the host's. A host whose main thread has ended, or that
// forbids pidfd_getfd, may still let /proc reopen files and pipes, though not sockets.
UniqueFd FetchFromHost(int fd) {
  const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
  if (process.valid()) {
    UniqueFd fetched(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), fd, 0)));
    if (fetched.valid()) return fetched;
  }
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  return UniqueFd(open(path.c_str(), O_WRONLY | O_APPEND | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
}

void WriteLog(const char* line, size_t size_bytes) {
  if (gettid() != g_private_thread.load(std::memory_order_relaxed)) {
    [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, line, size_bytes);
    return;
  }
  const UniqueFd error = FetchFromHost(STDERR_FILENO);
  if (!error.valid()) return;
  [[maybe_unused]] const ssize_t ignored = write(error.get(), line, size_bytes);
}

}  // namespace

bool UsePrivateDescriptors() {
  if (syscall(SYS_close_range, 0u, ~0u, kCloseRangeUnshare) != 0) return false;
  // Numbers that libraries write messages to must never be those of our files.
  for (int fd = 0; fd <= STDERR_FILENO; ++fd) {
    if (open("/dev/null", O_RDWR | O_CLOEXEC) < 0) eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  }
  g_private_thread.store(gettid(), std::memory_order_relaxed);
  SetLogWriter(&WriteLog);
  return true;
}

bool HasPrivateDescriptors() { return g_private_thread.load(std::memory_order_relaxed) != 0; }

UniqueFd HostDescriptor(int fd) {
  if (g_private_thread.load(std::memory_order_relaxed) != 0) return FetchFromHost(fd);
  return UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

}  // namespace stillframe::agent
