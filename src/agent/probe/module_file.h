// The file behind a mapping of text: bounded reads, and where its addresses are in memory.
#ifndef STILLFRAME_AGENT_PROBE_MODULE_FILE_H_
#define STILLFRAME_AGENT_PROBE_MODULE_FILE_H_

#include <elf.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/process_maps.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace stillframe::probe {

class ModuleFile {
 public:
  // kNotFound: no file stands behind the mapping any more, or another one has its name.
  static Result<ModuleFile> Open(const Mapping& mapping);

  // kCorrupt when the file is shorter.
  Status ReadAt(uint64_t offset, std::span<uint8_t> out) const;
  // kCorrupt when it is no 64-bit ELF file; fills load_bias() in from the program headers.
  Status ReadHeaders(const Mapping& mapping);
  const std::vector<Elf64_Shdr>& sections() const { return sections_; }
  uint64_t load_bias() const { return load_bias_; }
  // "" when the name is not within the table of names.
  std::string SectionName(const Elf64_Shdr& section) const;

 private:
  explicit ModuleFile(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
  std::vector<Elf64_Shdr> sections_;
  std::string section_names_;
  uint64_t load_bias_ = 0;
};

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_MODULE_FILE_H_
