// Which line programs know a source file, and where its lines have code.
#ifndef STILLFRAME_SYMBOLIZER_LINE_INDEX_H_
#define STILLFRAME_SYMBOLIZER_LINE_INDEX_H_

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/status.h"
#include "symbolizer/elf_file.h"
#include "symbolizer/line_header.h"

namespace stillframe {

// One source file, with every line program that names it.
struct SourceFile {
  std::string path;  // absolute where the debug information allows it, normalized
  std::optional<std::array<uint8_t, 16>> md5;
  struct Use {
    uint64_t unit_offset = 0;     // of the line program in .debug_line
    std::vector<uint32_t> files;  // its indices there
  };
  std::vector<Use> uses;
};

// A place where a line's code begins.
struct Statement {
  LinkAddress address;
  uint64_t unit_offset = 0;
  // Which part of the line begins here. The compiler copies lines (unrolled loops): the same part
  // again is another execution.
  uint32_t part = 0;
  uint32_t view = 0;       // LineRow::view of the first row of the line there
  bool is_run = false;     // no statement: another line's rows end before these
  bool is_empty = false;   // the last row of the same address is another line's
  bool is_behind = false;  // another line's statement comes before at the same address
  bool is_before = false;  // another line's statement comes behind at the same address
};
// By line, each sorted by address without duplicates.
using FileStatements = std::map<uint32_t, std::vector<Statement>>;

class LineIndex {
 public:
  // Gives the compilation folder of the unit with that line program.
  using FolderOf = std::function<std::string(uint64_t unit_offset)>;
  // Sections and module must outlive this.
  LineIndex(const LineSections& sections, const ElfFile& module, FolderOf folder_of)
      : sections_(sections), module_(module), folder_of_(std::move(folder_of)) {}

  // Files whose path ends in `suffix`, sorted by path; empty when there is none. Only headers are
  // read. kCorrupt when the section is broken and nothing was found before the break.
  Result<std::vector<SourceFile>> Find(std::string_view suffix) const;
  // Paths of all files (that match the suffix when it is not empty), sorted.
  std::vector<std::string> Paths(std::string_view suffix) const;

  // Runs the programs that use the file and collects, for each line, every distinct is_stmt
  // address, and the first address of each of its runs that begins with no statement: where the
  // compiler marked none. Left out: rows of discarded code, end-of-sequence rows and empty rows at
  // the very end of a sequence.
  // Remembers the last few files: tracepoints come in groups. Valid until the next call.
  const FileStatements& Statements(const SourceFile& file) const;
  // Distinct is_stmt addresses of all programs, ascending, at most `max`.
  std::vector<LinkAddress> AllStatements(uint64_t max) const;
  // The address at which a debugger stops in an unoptimized function [entry, end): the first row
  // marked prologue_end, else the second address with a row. `entry` when there is neither.
  LinkAddress AfterPrologue(uint64_t unit_offset, LinkAddress entry, LinkAddress end) const;

 private:
  std::string FullPath(const LineHeader& header, const LineFile& file) const;
  void CollectStatements(const SourceFile::Use& use, FileStatements& statements) const;

  LineSections sections_;
  const ElfFile& module_;
  FolderOf folder_of_;
  mutable std::map<std::string, FileStatements> statements_;  // by path
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_LINE_INDEX_H_
