#include "agent/probe/module_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace stillframe::probe {
namespace {

constexpr uint64_t kPageMask = 4095;
constexpr uint64_t kMaxNames = 1 << 20;

template <typename T>
std::span<uint8_t> BytesOf(T& value) {
  return {reinterpret_cast<uint8_t*>(&value), sizeof value};
}

}  // namespace

Result<ModuleFile> ModuleFile::Open(const Mapping& mapping) {
  const Status gone(Code::kNotFound, "the file of " + mapping.path + " is not there any more");
  if (mapping.inode == 0 || mapping.path.empty() || mapping.path[0] != '/') return gone;
  UniqueFd fd(open(mapping.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info {};
  if (!fd.valid() || fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) ||
      info.st_ino != mapping.inode) {
    return gone;
  }
  return ModuleFile(std::move(fd));
}

Status ModuleFile::ReadAt(uint64_t offset, std::span<uint8_t> out) const {
  for (size_t done = 0; done < out.size();) {
    const ssize_t count =
        pread(fd_.get(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus("read a module's file", errno);
    if (count == 0) return Status(Code::kCorrupt, "a module's file is too short");
    done += static_cast<size_t>(count);
  }
  return Status();
}

Status ModuleFile::ReadHeaders(const Mapping& mapping) {
  Elf64_Ehdr header;
  SF_RETURN_IF_ERROR(ReadAt(0, BytesOf(header)));
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_phentsize != sizeof(Elf64_Phdr)) {
    return Status(Code::kCorrupt, mapping.path + " is no 64-bit ELF file");
  }
  bool found = false;
  for (uint32_t i = 0; i < header.e_phnum && !found; ++i) {
    Elf64_Phdr segment;
    SF_RETURN_IF_ERROR(ReadAt(header.e_phoff + i * sizeof segment, BytesOf(segment)));
    const uint64_t first = segment.p_offset & ~kPageMask;
    found = segment.p_type == PT_LOAD && (segment.p_flags & PF_X) != 0 &&
            mapping.file_offset >= first &&
            mapping.file_offset - first < segment.p_filesz + kPageMask;
    if (found) {
      load_bias_ =
          mapping.start.value - (segment.p_vaddr & ~kPageMask) - (mapping.file_offset - first);
    }
  }
  if (!found) return Status(Code::kCorrupt, mapping.path + " has no segment for its text");
  if (header.e_shentsize != sizeof(Elf64_Shdr)) return Status();
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  if (!sections.empty()) {
    SF_RETURN_IF_ERROR(ReadAt(header.e_shoff, {reinterpret_cast<uint8_t*>(sections.data()),
                                               sections.size() * sizeof(Elf64_Shdr)}));
  }
  if (header.e_shstrndx < sections.size()) {
    const Elf64_Shdr& names = sections[header.e_shstrndx];
    section_names_.resize(std::min(names.sh_size, kMaxNames));
    SF_RETURN_IF_ERROR(ReadAt(names.sh_offset, {reinterpret_cast<uint8_t*>(section_names_.data()),
                                                section_names_.size()}));
  }
  sections_ = std::move(sections);
  return Status();
}

std::string ModuleFile::SectionName(const Elf64_Shdr& section) const {
  if (section.sh_name >= section_names_.size()) return "";
  const size_t end = section_names_.find('\0', section.sh_name);
  if (end == std::string::npos) return "";
  return section_names_.substr(section.sh_name, end - section.sh_name);
}

}  // namespace stillframe::probe
