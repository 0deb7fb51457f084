// A folder of debug files by build-id, FOLDER/.build-id/xx/yyyy.debug, that the symbolizer searches
// like any other of its debug path. It is its owner's alone, and bounded.
#ifndef STILLFRAME_DEBUGINFOD_DEBUG_CACHE_H_
#define STILLFRAME_DEBUGINFOD_DEBUG_CACHE_H_

#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"

namespace stillframe::debuginfod {

// What STILLFRAME_DEBUGINFOD_CACHE says (absolute), else XDG_CACHE_HOME/stillframe, else
// HOME/.cache/stillframe, else /tmp/stillframe-debug-UID. Nothing is made.
std::string DefaultCacheFolder(const std::function<const char*(const char* name)>& environment);

class DebugCache {
 public:
  DebugCache(std::string folder, uint64_t max_bytes)
      : folder_(std::move(folder)), max_bytes_(max_bytes) {}

  const std::string& folder() const { return folder_; }

  // A file without content, to be filled and then kept, or dropped. Makes the folder (0700).
  // Errors: kIoError, kNotPermitted (the folder is another user's, or others may write to it). The
  // message names STILLFRAME_DEBUGINFOD_CACHE.
  struct Draft {
    UniqueFd fd;
    std::string path;
  };
  Result<Draft> Begin() const;
  void Drop(const Draft& draft) const;
  bool Has(const std::string& build_id) const;
  // Checks that it is the debug file of that build and gives it its name; of the rest the oldest go
  // until all fit. The result is the build-id of the file that dwz has moved a part of it to, if
  // that is neither here nor where a package would have put it; else "". Errors: kCorrupt (no ELF
  // file), kBuildMismatch, kNoDebugInfo, kIoError; the draft is gone then.
  Result<std::string> Keep(const Draft& draft, const std::string& build_id) const;

 private:
  std::string FolderOf(const std::string& build_id) const;
  std::string PathOf(const std::string& build_id) const;
  Status MakeFolders(const std::string& path) const;
  void MakeRoom(const std::string& newest) const;

  const std::string folder_;
  const uint64_t max_bytes_;
};

}  // namespace stillframe::debuginfod

#endif  // STILLFRAME_DEBUGINFOD_DEBUG_CACHE_H_
