// Opening what lies in the folder of ring files. Nothing there is trusted: another user may have
// put it there.
#ifndef STILLFRAME_AGENT_DURABLE_FILES_H_
#define STILLFRAME_AGENT_DURABLE_FILES_H_

#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace stillframe::durable {

// The folder itself: ours or root's, and nobody else writes there unless it is sticky.
Status CheckFolder(const std::string& folder);
// A new file of mode 0600 that nobody had before. kIoError.
Result<UniqueFd> CreateFile(const std::string& path);
// An existing one for reading and writing: a plain file, ours, of one name, that others cannot
// write to. kNotFound, kUnauthorized, kIoError.
Result<UniqueFd> OpenFile(const std::string& path);
// All of it; kOverLimit.
Result<std::string> ReadAll(int fd, uint64_t max_bytes);
// The ring files of a folder, without the suffix, sorted. kIoError.
Result<std::vector<std::string>> ListRings(const std::string& folder);

// /proc/PID/stat, field 22; 0 when there is no such process.
uint64_t StartTimeOf(uint32_t pid);
uint64_t PidNamespace();  // inode; 0 when it cannot be seen

}  // namespace stillframe::durable

#endif  // STILLFRAME_AGENT_DURABLE_FILES_H_
