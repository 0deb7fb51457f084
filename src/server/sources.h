// The lines of code beside a snapshot's frames, from the folders named by --source.
//
// Frames come from agents, so a file's name is hostile: it only ever selects a regular file below
// its service's folder. A component that is "..", "." or hidden ends the search, symbolic links
// below the folder are not followed, and nothing but a few short lines is shown.
//
// Threads: any; immutable once made.
#ifndef STILLFRAME_SERVER_SOURCES_H_
#define STILLFRAME_SERVER_SOURCES_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace stillframe::server {

using SourceLines = std::vector<std::pair<uint32_t, std::string>>;  // number, text

class Sources {
 public:
  // Each of `specs` is SERVICE=FOLDER; a service may have several folders, searched in that order.
  // Errors: kInvalidArgument (shape, or no such folder).
  static Result<Sources> Open(const std::vector<std::string>& specs);

  bool empty() const { return folders_.empty(); }
  // The lines around `line` of the file with the longest suffix of `path` that a folder of the
  // service has; empty when there is none or it is shorter.
  SourceLines Around(const std::string& service, std::string_view path, uint32_t line) const;
  // The snapshot with `"source": [{"line": 41, "text": "…"}]` in each frame whose code is at hand.
  std::string Annotate(const std::string& snapshot_json) const;

 private:
  std::map<std::string, std::vector<std::shared_ptr<const UniqueFd>>> folders_;  // by service
};

}  // namespace stillframe::server

#endif  // STILLFRAME_SERVER_SOURCES_H_
