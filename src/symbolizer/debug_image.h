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

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "symbolizer/byte_reader.h"
#include "symbolizer/elf_file.h"

namespace stillframe {

class DebugImage {
 public:
  // A section of the image: its header without name and offset, and who writes its bytes.
  struct Section {
    std::string name;
    Elf64_Shdr header;
    std::function<Status(uint8_t* out)> write;
  };

  // `appended`, when not empty, is added to .debug_str and .debug_line_str as one string more.
  // Errors: kCorrupt (a section lies outside the file, or does not decompress), kIoError,
  // kUnsupported (nor is its compression known), kOverLimit (more than max_bytes uncompressed).
  // Throws std::bad_alloc.
  static Result<std::unique_ptr<DebugImage>> Read(const ElfFile& file, uint64_t max_bytes,
                                                  std::string_view appended = {});
  // A relocatable file of these sections, as a .dwo file is one. Errors: theirs, kOverLimit.
  static Result<std::unique_ptr<DebugImage>> Make(std::vector<Section> sections,
                                                  uint64_t max_bytes);
  ~DebugImage();
  DebugImage(const DebugImage&) = delete;
  DebugImage& operator=(const DebugImage&) = delete;

  char* data() const { return static_cast<char*>(map_); }
  size_t size_bytes() const { return size_bytes_; }
  // Where the section lies in the image; {0, 0} when there is none.
  struct Place {
    uint64_t offset = 0;
    uint64_t size_bytes = 0;
  };
  Place Find(std::string_view section) const;
  // Offset of the appended string in that section; 0 when it has none.
  uint64_t AppendedTo(std::string_view section) const;

 private:
  DebugImage() = default;
  struct Segments;
  static Result<std::unique_ptr<DebugImage>> LayOut(Elf64_Ehdr header, const Segments& segments,
                                                    std::vector<Section> sections,
                                                    uint64_t max_bytes);

  struct Named {
    std::string name;
    Place place;
  };
  std::vector<Named> places_;
  size_t appended_bytes_ = 0;
  void* map_ = nullptr;
  size_t size_bytes_ = 0;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_DEBUG_IMAGE_H_
