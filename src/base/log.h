// One-line logging to standard error, off by default above "error". Never from the hit path.
#ifndef STILLFRAME_BASE_LOG_H_
#define STILLFRAME_BASE_LOG_H_

#include <cstddef>
#include <string_view>

namespace stillframe {

enum class LogLevel { kOff = 0, kError, kInfo, kDebug };

// Process-wide; relaxed atomic. Set once from STILLFRAME_LOG before the agent thread starts.
void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);

// What puts a finished line on standard error; the default is write(2) to descriptor 2.
using LogWriter = void (*)(const char* line, size_t size_bytes);
void SetLogWriter(LogWriter writer);
// A line that is finished already, at error level; allocates nothing. For when memory is out.
void WriteLogLine(const char* line, size_t size_bytes);

// Writes "stillframe: <message>\n" with a single write(2), control characters replaced by '?' so
// that hostile text cannot forge lines. Keeps errno. Threads: any.
void Log(LogLevel level, std::string_view message);
inline void LogError(std::string_view message) { Log(LogLevel::kError, message); }
inline void LogInfo(std::string_view message) { Log(LogLevel::kInfo, message); }
inline void LogDebug(std::string_view message) { Log(LogLevel::kDebug, message); }

}  // namespace stillframe

#endif  // STILLFRAME_BASE_LOG_H_
