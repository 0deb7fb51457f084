// An input as a file with a name, for readers that open files: nothing is written to disk.
#ifndef STILLFRAME_TESTS_FUZZ_MEMORY_FILE_H_
#define STILLFRAME_TESTS_FUZZ_MEMORY_FILE_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <span>
#include <string>

#include "base/unique_fd.h"
#include "tests/fuzz/fuzz.h"

namespace stillframe::fuzz {

class MemoryFile {
 public:
  explicit MemoryFile(std::span<const uint8_t> bytes) : fd_(memfd_create("input", MFD_CLOEXEC)) {
    SF_FUZZ_CHECK(fd_.valid());
    SF_FUZZ_CHECK(write(fd_.get(), bytes.data(), bytes.size()) ==
                  static_cast<ssize_t>(bytes.size()));
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_.get()); }

 private:
  UniqueFd fd_;
};

}  // namespace stillframe::fuzz

#endif  // STILLFRAME_TESTS_FUZZ_MEMORY_FILE_H_
