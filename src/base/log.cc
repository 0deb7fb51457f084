#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>

namespace stillframe {
namespace {
std::atomic<LogLevel> g_level{LogLevel::kError};  // partner: SetLogLevel
}

void SetLogLevel(LogLevel level) { g_level.store(level, std::memory_order_relaxed); }

bool LogEnabled(LogLevel level) {
  return level <= g_level.load(std::memory_order_relaxed) && level != LogLevel::kOff;
}

void Log(LogLevel level, std::string_view message) {
  if (!LogEnabled(level)) return;
  const int saved_errno = errno;
  std::string line = "stillframe: ";
  for (char c : message) line += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  line += '\n';
  [[maybe_unused]] ssize_t ignored = write(STDERR_FILENO, line.data(), line.size());
  errno = saved_errno;
}

}  // namespace stillframe
