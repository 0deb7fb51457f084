// A file's DWARF opened through libdw, and the line sections as plain bytes.
//
// LineTables reads only the headers of .debug_line, DwarfFile everything: opening a compressed
// debug file as DWARF decompresses all of it.
#ifndef STILLFRAME_SYMBOLIZER_DWARF_FILE_H_
#define STILLFRAME_SYMBOLIZER_DWARF_FILE_H_

#include <elfutils/libdw.h>
#include <libelf.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "symbolizer/debug_image.h"
#include "symbolizer/elf_file.h"
#include "symbolizer/line_header.h"

namespace stillframe {

class LineTables {
 public:
  // Errors: kCorrupt, kIoError, kUnsupported, kOverLimit. Strings of .debug_str are left out:
  // nobody's line tables use them.
  static Result<std::unique_ptr<LineTables>> Open(const ElfFile& file);
  ~LineTables();
  LineTables(const LineTables&) = delete;
  LineTables& operator=(const LineTables&) = delete;

  // Uncompressed; valid while this is. The programs between the headers may be zeros.
  const LineSections& sections() const { return sections_; }

 private:
  LineTables() = default;
  Status ReadHeaders(const ElfFile& file, const ElfSection& section);

  void* map_ = nullptr;  // the headers, each where it stands in the section
  size_t map_bytes_ = 0;
  FileBytes lines_;  // or all of a compressed section
  FileBytes strings_;
  LineSections sections_;
};

class DwarfFile {
 public:
  // `file` was checked to be the right build; its descriptor is what is read from, so that libdw
  // sees the file that was checked. Errors: kCorrupt, kIoError, kOverLimit; kNoDebugInfo when the
  // file that dwz has moved a part of it to is missing: it is looked for by its name, then by its
  // build-id in the folders of `debug_path`. `appended`: see DebugImage::Read.
  static Result<std::unique_ptr<DwarfFile>> Open(const ElfFile& file,
                                                 const std::vector<std::string>& debug_path = {},
                                                 std::string_view appended = {}) {
    return Open(file, &debug_path, appended);
  }
  ~DwarfFile();
  DwarfFile(const DwarfFile&) = delete;
  DwarfFile& operator=(const DwarfFile&) = delete;

  Dwarf* dwarf() const { return dwarf_; }
  // What libdw reads; nullptr when a large file is mapped instead, never with an appended string.
  DebugImage* image() const { return image_.get(); }
  // Pages of a large file that were read until now leave this process; they come back when they are
  // read again. Who walks over the whole file calls it now and then, and who is done at the end.
  void GiveBackPages() const;
  // Uncompressed; valid while this is.
  const LineSections& line_sections() const { return line_sections_; }

 private:
  DwarfFile() = default;
  static Result<std::unique_ptr<DwarfFile>> Open(const ElfFile& file,
                                                 const std::vector<std::string>* debug_path,
                                                 std::string_view appended);
  Status ReadImage(const ElfFile& file, std::string_view appended);
  Status OpenShared(const ElfFile& file, const std::vector<std::string>& debug_path);
  Status Map(const ElfFile& file);

  std::unique_ptr<DebugImage> image_;  // of all but large files
  void* map_ = nullptr;                // of a large file
  size_t map_bytes_ = 0;
  Elf* elf_ = nullptr;
  Dwarf* dwarf_ = nullptr;
  // What dwz has moved out of several files: Debian's debug packages.
  std::unique_ptr<ElfFile> shared_elf_;
  std::unique_ptr<DwarfFile> shared_;
  LineSections line_sections_;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_DWARF_FILE_H_
