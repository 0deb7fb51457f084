// A file's DWARF opened through libdw, and the line sections as plain bytes.
//
// LineTables reads only the line sections, DwarfFile everything: opening a compressed debug file as
// DWARF decompresses all of it.
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

class LineTables {
 public:
  // Errors: kCorrupt, kIoError. Strings of .debug_str are left out: nobody's line tables use them.
  static Result<std::unique_ptr<LineTables>> Open(const ElfFile& file);
  ~LineTables();
  LineTables(const LineTables&) = delete;
  LineTables& operator=(const LineTables&) = delete;

  // Uncompressed; valid while this is.
  const LineSections& sections() const { return sections_; }

 private:
  LineTables() = default;

  UniqueFd fd_;
  Elf* elf_ = nullptr;
  LineSections sections_;
};

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

  UniqueFd fd_;
  Elf* elf_ = nullptr;
  Dwarf* dwarf_ = nullptr;
  LineSections line_sections_;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_DWARF_FILE_H_
