#include "cli/elf_text.h"

#include <elf.h>

#include <algorithm>
#include <cstring>

#include "base/process_maps.h"

namespace stillframe::cli {

Result<ElfText> ReadElfText(const std::string& path) {
  SF_ASSIGN_OR_RETURN(const std::string file, ReadFile(path, uint64_t{4} << 30));
  Elf64_Ehdr header;
  if (file.size() < sizeof header) return Status(Code::kCorrupt, path + " is no ELF file");
  std::memcpy(&header, file.data(), sizeof header);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64) {
    return Status(Code::kCorrupt, path + " is no 64-bit ELF file");
  }
  ElfText text;
  if (header.e_type == ET_EXEC) text.kind = probe::LoadKind::kFixed;
  uint64_t low = UINT64_MAX, high = 0;
  for (uint32_t i = 0; i < header.e_phnum; ++i) {
    const uint64_t at = header.e_phoff + uint64_t{i} * header.e_phentsize;
    Elf64_Phdr segment;
    if (at > file.size() || file.size() - at < sizeof segment) break;
    std::memcpy(&segment, file.data() + at, sizeof segment);
    if (segment.p_type == PT_INTERP && header.e_type == ET_DYN) {
      text.kind = probe::LoadKind::kExecutable;
    }
    if (segment.p_type == PT_LOAD && segment.p_memsz <= UINT64_MAX - segment.p_vaddr) {
      low = std::min(low, segment.p_vaddr);
      high = std::max(high, segment.p_vaddr + segment.p_memsz);
    }
    const bool fits =
        segment.p_offset <= file.size() && segment.p_filesz <= file.size() - segment.p_offset;
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0 || !fits) continue;
    const char* begin = file.data() + segment.p_offset;
    text.segments.push_back({LinkAddress(segment.p_vaddr), {begin, begin + segment.p_filesz}});
  }
  text.start = LinkAddress(std::min(low, high));
  text.end = LinkAddress(high);
  return text;
}

}  // namespace stillframe::cli
