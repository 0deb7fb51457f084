#include "debuginfod/debug_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <vector>

#include "symbolizer/debug_file.h"
#include "symbolizer/elf_file.h"

namespace stillframe::debuginfod {
namespace {

constexpr size_t kMaxFiles = 65536;
constexpr time_t kAbandonedSeconds = 3600;  // a draft of a process that is gone

struct Kept {
  std::string path;
  timespec used{};
  uint64_t size_bytes = 0;
};

std::vector<std::string> Names(const std::string& folder) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> open(opendir(folder.c_str()), closedir);
  while (open != nullptr && names.size() < kMaxFiles) {
    const dirent* const entry = readdir(open.get());
    if (entry == nullptr) break;
    if (std::string_view(entry->d_name).find_first_not_of('.') != std::string_view::npos) {
      names.emplace_back(entry->d_name);
    }
  }
  return names;
}

std::vector<Kept> FilesIn(const std::string& folder) {
  std::vector<Kept> files;
  for (const std::string& name : Names(folder)) {
    struct stat info {};
    Kept file{folder + "/" + name, {}, 0};
    if (lstat(file.path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    file.used = info.st_mtim;
    file.size_bytes = static_cast<uint64_t>(info.st_size);
    files.push_back(std::move(file));
  }
  return files;
}

bool IsInstalled(const SharedLink& link) {
  const auto is_there = [](const std::string& path) { return access(path.c_str(), R_OK) == 0; };
  return (link.name.front() == '/' && is_there(link.name)) ||
         is_there("/usr/lib/debug/.build-id/" + link.build_id.substr(0, 2) + "/" +
                  link.build_id.substr(2) + ".debug");
}

Status CannotUse(const std::string& folder, const std::string& why, Code code = Code::kIoError) {
  return Status(code, "debug files cannot be kept in " + folder + ": " + why +
                          " (STILLFRAME_DEBUGINFOD_CACHE names another folder)");
}

}  // namespace

std::string DefaultCacheFolder(const std::function<const char*(const char* name)>& environment) {
  const auto get = [&environment](const char* name) {
    const char* const value = environment(name);
    return value == nullptr || *value != '/' ? std::string() : std::string(value);
  };
  if (std::string folder = get("STILLFRAME_DEBUGINFOD_CACHE"); !folder.empty()) return folder;
  if (const std::string cache = get("XDG_CACHE_HOME"); !cache.empty()) return cache + "/stillframe";
  const std::string home = get("HOME");
  if (home.size() > 1 && access(home.c_str(), W_OK) == 0) return home + "/.cache/stillframe";
  return "/tmp/stillframe-debug-" + std::to_string(geteuid());
}

// The folders above ours are made for their owner alone, too; those that are there stay as they
// are.
Status DebugCache::MakeFolders(const std::string& path) const {
  for (size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    mkdir(path.substr(0, at).c_str(), 0700);
  }
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return CannotUse(path, ErrnoStatus("mkdir", errno).message());
  }
  // In /tmp somebody else may have been there first: what is found in the folder is believed.
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return CannotUse(path, "it is no folder", Code::kNotPermitted);
  }
  if (info.st_uid != geteuid() || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return CannotUse(path, "others may write to it", Code::kNotPermitted);
  }
  return Status();
}

Result<DebugCache::Draft> DebugCache::Begin() const {
  SF_RETURN_IF_ERROR(MakeFolders(folder_));
  const time_t now = time(nullptr);
  for (const Kept& file : FilesIn(folder_)) {
    const bool draft = file.path.find("/draft-", folder_.size()) == folder_.size();
    if (draft && now - file.used.tv_sec > kAbandonedSeconds) unlink(file.path.c_str());
  }
  Draft draft;
  draft.path = folder_ + "/draft-XXXXXX";
  draft.fd.Reset(mkostemp(draft.path.data(), O_CLOEXEC));  // 0600
  if (!draft.fd.valid()) return CannotUse(folder_, ErrnoStatus("mkostemp", errno).message());
  return draft;
}

std::string DebugCache::FolderOf(const std::string& build_id) const {
  return folder_ + "/.build-id/" + build_id.substr(0, 2);
}

std::string DebugCache::PathOf(const std::string& build_id) const {
  return FolderOf(build_id) + "/" + build_id.substr(2) + ".debug";
}

bool DebugCache::Has(const std::string& build_id) const {
  return build_id.size() > 2 && access(PathOf(build_id).c_str(), R_OK) == 0;
}

void DebugCache::Drop(const Draft& draft) const {
  if (!draft.path.empty()) unlink(draft.path.c_str());
}

Result<std::string> DebugCache::Keep(const Draft& draft, const std::string& build_id) const {
  std::string missing;
  const auto check = [&]() -> Status {
    auto file = ElfFile::OpenShared(draft.path);  // also what dwz has made
    if (!file.ok()) return Status(Code::kCorrupt, "it is no debug file of this machine");
    if ((*file)->build_id() != build_id) {
      return Status(Code::kBuildMismatch, "it has build-id '" + (*file)->build_id() + "'");
    }
    if (!(*file)->HasDwarf()) return Status(Code::kNoDebugInfo, "it holds no .debug_info");
    SF_ASSIGN_OR_RETURN(const auto link, ReadSharedLink(**file));
    if (link && !Has(link->build_id) && !IsInstalled(*link)) missing = link->build_id;
    return Status();
  };
  Status status = build_id.size() > 2 ? check() : Status(Code::kInvalidArgument, "no build-id");
  if (status.ok()) {
    const std::string path = PathOf(build_id);
    status = MakeFolders(FolderOf(build_id));
    if (status.ok() && rename(draft.path.c_str(), path.c_str()) != 0) {
      status = ErrnoStatus("rename " + draft.path, errno);
    }
    if (status.ok()) MakeRoom(path);
  }
  if (status.ok()) return missing;
  Drop(draft);
  return status;
}

void DebugCache::MakeRoom(const std::string& newest) const {
  std::vector<Kept> files;
  for (const std::string& name : Names(folder_ + "/.build-id")) {
    for (Kept& file : FilesIn(folder_ + "/.build-id/" + name)) files.push_back(std::move(file));
  }
  std::sort(files.begin(), files.end(), [](const Kept& a, const Kept& b) {
    return a.used.tv_sec != b.used.tv_sec ? a.used.tv_sec < b.used.tv_sec
                                          : a.used.tv_nsec < b.used.tv_nsec;
  });
  uint64_t total = 0;
  for (const Kept& file : files) total += file.size_bytes;
  for (const Kept& file : files) {
    if (total <= max_bytes_) return;
    if (file.path == newest || unlink(file.path.c_str()) != 0) continue;
    total -= file.size_bytes;
  }
}

}  // namespace stillframe::debuginfod
