// Which source file names a module's line tables know, without opening its DWARF.
//
// A tracepoint asks every module of the process, and most have no such file: libraries whose
// separate debug files take a tenth of a second to decompress. Only the line sections are read, and
// a hash of each name is kept.
#ifndef STILLFRAME_SYMBOLIZER_SOURCE_NAMES_H_
#define STILLFRAME_SYMBOLIZER_SOURCE_NAMES_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "symbolizer/elf_file.h"

namespace stillframe {

class SourceNames {
 public:
  // Reads the line tables of the file that holds the DWARF. Never fails: what cannot be read "may
  // have" every file, and the search that follows says what is broken.
  static SourceNames Read(const ElfFile& file);

  // Whether any source file may have the base name of `path`. False is certain; true may be a
  // collision of hashes, which costs a search and nothing else.
  bool MayHave(std::string_view path) const;

 private:
  bool known_ = false;
  std::vector<uint32_t> hashes_;  // of base names, sorted
};

// By build-id, kept while the modules themselves come and go. One thread.
class SourceNamesCache {
 public:
  // `file` is read when its build-id is not known yet; always when it has none.
  const SourceNames& Get(const ElfFile& module, const ElfFile& file);

 private:
  std::map<std::string, SourceNames> by_build_id_;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_SOURCE_NAMES_H_
