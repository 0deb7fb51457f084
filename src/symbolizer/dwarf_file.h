// A file's DWARF opened through libdw, and the line sections as plain bytes.
#ifndef STILLFRAME_SYMBOLIZER_DWARF_FILE_H_
#define STILLFRAME_SYMBOLIZER_DWARF_FILE_H_

#include <elfutils/libdw.h>
#include <libelf.h>

#include <memory>

#include "base/status.h"
#include "base/unique_fd.h"
#include "symbolizer/elf_file.h"
#include "symbolizer/line_header.h"

namespace stillframe {

class DwarfFile {
 public:
  // `file` was checked to be the right build; its descriptor is duplicated, so that what libdw
  // reads is the file that was checked. Errors: kCorrupt, kIoError.
  static Result<std::unique_ptr<DwarfFile>> Open(const ElfFile& file);
  ~DwarfFile();
  DwarfFile(const DwarfFile&) = delete;
  DwarfFile& operator=(const DwarfFile&) = delete;

  Dwarf* dwarf() const { return dwarf_; }
  // Uncompressed; valid while this is.
  const LineSections& line_sections() const { return line_sections_; }

 private:
  DwarfFile() = default;
  void FindLineSections();

  UniqueFd fd_;
  Elf* elf_ = nullptr;
  Dwarf* dwarf_ = nullptr;
  LineSections line_sections_;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_DWARF_FILE_H_
