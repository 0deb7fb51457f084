#include "agent/durable/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "agent/durable/entries.h"
#include "base/process_maps.h"

namespace stillframe::durable {

Status CheckFolder(const std::string& folder) {
  struct stat info {};
  if (lstat(folder.c_str(), &info) != 0) return ErrnoStatus(folder, errno);
  if (!S_ISDIR(info.st_mode)) return {Code::kInvalidArgument, folder + " is no folder"};
  if (info.st_uid != geteuid() && info.st_uid != 0) {
    return {Code::kUnauthorized, folder + " belongs to another user"};
  }
  if ((info.st_mode & 022) != 0 && (info.st_mode & S_ISVTX) == 0) {
    return {Code::kUnauthorized, folder + " is writable for others, and not sticky"};
  }
  return {};
}

Result<UniqueFd> CreateFile(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(path, errno);
  return fd;
}

Result<UniqueFd> OpenFile(const std::string& path) {
  // Not blocked by a pipe that somebody put there.
  UniqueFd fd(open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) {
    if (errno == ENOENT) return Status(Code::kNotFound, path + " is not there");
    return ErrnoStatus(path, errno);
  }
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(path, errno);
  if (!S_ISREG(info.st_mode)) return Status(Code::kUnauthorized, path + " is no plain file");
  if (info.st_uid != geteuid()) {
    return Status(Code::kUnauthorized, path + " belongs to another user");
  }
  if (info.st_nlink != 1 || (info.st_mode & 022) != 0) {
    return Status(Code::kUnauthorized, path + " has another name, or others may write to it");
  }
  return fd;
}

Result<std::string> ReadAll(int fd, uint64_t max_bytes) {
  std::string text;
  struct stat info {};
  if (fstat(fd, &info) != 0) return ErrnoStatus("reading", errno);
  if (static_cast<uint64_t>(info.st_size) > max_bytes) {
    return Status(Code::kOverLimit, "more than " + std::to_string(max_bytes) + " bytes");
  }
  text.resize(static_cast<size_t>(info.st_size));
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t count =
        pread(fd, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus("reading", errno);
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  text.resize(done);
  return text;
}

Result<std::vector<std::string>> ListRings(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(folder.c_str()), closedir);
  if (entries == nullptr) return ErrnoStatus(folder, errno);
  std::vector<std::string> paths;
  while (const dirent* entry = readdir(entries.get())) {  // NOLINT: the stream is our own
    std::string name = entry->d_name;
    if (!name.ends_with(kRingSuffix) || name.size() == sizeof kRingSuffix - 1) continue;
    name.resize(name.size() - (sizeof kRingSuffix - 1));
    paths.push_back(folder + "/" + name);
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

uint64_t StartTimeOf(uint32_t pid) {
  const auto text = ReadFile("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!text.ok()) return 0;
  // The name, in parentheses, may hold anything; fields are counted from behind it, from 3 on.
  size_t at = text->rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = text->find(' ', at + 1);
  return at == std::string::npos ? 0 : std::strtoull(text->c_str() + at, nullptr, 10);
}

uint64_t PidNamespace() {
  struct stat info {};
  return stat("/proc/self/ns/pid", &info) == 0 ? info.st_ino : 0;
}

}  // namespace stillframe::durable
