// /proc/PID/maps as data.
#ifndef STILLFRAME_BASE_PROCESS_MAPS_H_
#define STILLFRAME_BASE_PROCESS_MAPS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/status.h"

namespace stillframe {

struct Mapping {
  RuntimeAddress start;
  RuntimeAddress end;  // exclusive
  bool readable = false;
  bool writable = false;
  bool executable = false;
  bool is_private = false;
  uint64_t file_offset = 0;
  uint64_t inode = 0;
  std::string path;  // "" for anonymous; "[stack]", "[vdso]" and so on as the kernel says
};

// Parses the text of a maps file; a malformed line is an error that quotes it.
Result<std::vector<Mapping>> ParseProcessMaps(std::string_view text);
// Of this process, sorted by address. A snapshot: it may be stale when it returns.
Result<std::vector<Mapping>> ReadProcessMaps();
// A path without what the kernel adds to the names of files that were unlinked or replaced.
std::string_view WithoutDeletedMark(std::string_view path);
// Whole file; at most max_bytes, else kOverLimit.
Result<std::string> ReadFile(const std::string& path, uint64_t max_bytes);

}  // namespace stillframe

#endif  // STILLFRAME_BASE_PROCESS_MAPS_H_
