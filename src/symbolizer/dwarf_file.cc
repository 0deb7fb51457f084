#include "symbolizer/dwarf_file.h"

#include <fcntl.h>
#include <gelf.h>

#include <cerrno>
#include <string>

namespace stillframe {
namespace {

// Up to this much debug information is read into memory: a mapped file that somebody truncates
// kills the host with SIGBUS. Past it the mapping's cost (clean pages, read on demand) is worth the
// risk.
constexpr uint64_t kMaxReadBytes = 32u << 20;

uint64_t DebugBytes(const ElfFile& file) {
  uint64_t total = 0;
  for (const ElfSection& section : file.sections()) {
    if (section.name.find("debug_") != std::string::npos) total += section.size_bytes;
  }
  return total;
}

ByteSpan SectionBytes(Elf_Scn* section) {
  const Elf_Data* data = elf_getdata(section, nullptr);
  if (data == nullptr || data->d_buf == nullptr) return ByteSpan();
  return ByteSpan(static_cast<const uint8_t*>(data->d_buf), data->d_size);
}

}  // namespace

Result<std::unique_ptr<DwarfFile>> DwarfFile::Open(const ElfFile& file) {
  std::unique_ptr<DwarfFile> opened(new DwarfFile);
  opened->fd_.Reset(fcntl(file.fd(), F_DUPFD_CLOEXEC, 3));
  if (!opened->fd_.valid()) return ErrnoStatus("dup of " + file.path(), errno);
  if (elf_version(EV_CURRENT) == EV_NONE) return Status(Code::kInternal, "libelf is too old");
  const Elf_Cmd command = DebugBytes(file) <= kMaxReadBytes ? ELF_C_READ : ELF_C_READ_MMAP;
  opened->elf_ = elf_begin(opened->fd_.get(), command, nullptr);
  if (opened->elf_ == nullptr) {
    return Status(Code::kCorrupt, file.path() + ": " + elf_errmsg(-1));
  }
  opened->dwarf_ = dwarf_begin_elf(opened->elf_, DWARF_C_READ, nullptr);
  if (opened->dwarf_ == nullptr) {
    return Status(Code::kCorrupt, file.path() + ": " + dwarf_errmsg(-1));
  }
  opened->FindLineSections();
  return opened;
}

DwarfFile::~DwarfFile() {
  if (dwarf_ != nullptr) dwarf_end(dwarf_);
  if (elf_ != nullptr) elf_end(elf_);
}

// After dwarf_begin_elf, which decompresses sections in place.
void DwarfFile::FindLineSections() {
  size_t names = 0;
  if (elf_getshdrstrndx(elf_, &names) != 0) return;
  for (Elf_Scn* section = elf_nextscn(elf_, nullptr); section != nullptr;
       section = elf_nextscn(elf_, section)) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type == SHT_NOBITS) continue;
    const char* text = elf_strptr(elf_, names, header.sh_name);
    if (text == nullptr) continue;
    std::string_view name(text);
    if (name.substr(0, 2) == ".z")
      name.remove_prefix(2);
    else if (name.substr(0, 1) == ".")
      name.remove_prefix(1);
    if (name == "debug_line") line_sections_.line = SectionBytes(section);
    if (name == "debug_line_str") line_sections_.line_strings = SectionBytes(section);
    if (name == "debug_str") line_sections_.strings = SectionBytes(section);
  }
}

}  // namespace stillframe
