#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>

namespace stillframe {
namespace {

void WriteToStandardError(const char* line, size_t size_bytes) {
  [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, line, size_bytes);
}

std::atomic<LogLevel> g_level{LogLevel::kError};         // partner: SetLogLevel
std::atomic<LogWriter> g_writer{&WriteToStandardError};  // partner: SetLogWriter

}  // namespace

void SetLogLevel(LogLevel level) { g_level.store(level, std::memory_order_relaxed); }

void SetLogWriter(LogWriter writer) { g_writer.store(writer, std::memory_order_relaxed); }

void WriteLogLine(const char* line, size_t size_bytes) {
  if (LogEnabled(LogLevel::kError)) g_writer.load(std::memory_order_relaxed)(line, size_bytes);
}

bool LogEnabled(LogLevel level) {
  return level <= g_level.load(std::memory_order_relaxed) && level != LogLevel::kOff;
}

void Log(LogLevel level, std::string_view message) {
  if (!LogEnabled(level)) return;
  const int saved_errno = errno;
  std::string line = "stillframe: ";
  for (char c : message) line += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  line += '\n';
  g_writer.load(std::memory_order_relaxed)(line.data(), line.size());
  errno = saved_errno;
}

}  // namespace stillframe
