// A debug file as libdw may have it: an ELF image in memory that holds the sections libdw looks at,
// uncompressed, with zeros behind each.
//
// libdw 0.188 does not check that a string ends inside its section (dwarf_formstring of
// DW_FORM_string, file names of line tables), nor every fixed-size field of a section's last entry.
// Behind the zeros such a read ends; in a buffer that ends with the section it would run on through
// the host's heap, or off a page. Reading, not mapping, also means that nobody who truncates the
// file can kill the host.
#ifndef STILLFRAME_SYMBOLIZER_DEBUG_IMAGE_H_
#define STILLFRAME_SYMBOLIZER_DEBUG_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/status.h"
#include "symbolizer/elf_file.h"

namespace stillframe {

class DebugImage {
 public:
  // Errors: kCorrupt (a section lies outside the file, or does not decompress), kIoError,
  // kOverLimit (more than max_bytes uncompressed). Throws std::bad_alloc.
  static Result<std::unique_ptr<DebugImage>> Read(const ElfFile& file, uint64_t max_bytes);
  ~DebugImage();
  DebugImage(const DebugImage&) = delete;
  DebugImage& operator=(const DebugImage&) = delete;

  char* data() const { return static_cast<char*>(map_); }
  size_t size_bytes() const { return size_bytes_; }

 private:
  DebugImage() = default;

  void* map_ = nullptr;
  size_t size_bytes_ = 0;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_DEBUG_IMAGE_H_
