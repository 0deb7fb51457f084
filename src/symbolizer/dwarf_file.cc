#include "symbolizer/dwarf_file.h"

#include <fcntl.h>
#include <gelf.h>

#include <cerrno>
#include <new>
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

// A new handle on the checked file: its descriptor is duplicated, so that what is read is what was
// checked.
Status OpenElf(const ElfFile& file, Elf_Cmd command, UniqueFd& fd, Elf*& elf) {
  fd.Reset(fcntl(file.fd(), F_DUPFD_CLOEXEC, 3));
  if (!fd.valid()) return ErrnoStatus("dup of " + file.path(), errno);
  if (elf_version(EV_CURRENT) == EV_NONE) return Status(Code::kInternal, "libelf is too old");
  elf = elf_begin(fd.get(), command, nullptr);
  if (elf == nullptr) return Status(Code::kCorrupt, file.path() + ": " + elf_errmsg(-1));
  return Status();
}

// Calls visit(name without its leading dot or ".z", section, header) for each section with content.
template <typename Visit>
void ForEachSection(Elf* elf, Visit visit) {
  size_t names = 0;
  if (elf_getshdrstrndx(elf, &names) != 0) return;
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr;
       section = elf_nextscn(elf, section)) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type == SHT_NOBITS) continue;
    const char* text = elf_strptr(elf, names, header.sh_name);
    if (text == nullptr) continue;
    std::string_view name(text);
    const bool gnu_compressed = name.substr(0, 2) == ".z";
    name.remove_prefix(gnu_compressed ? 2 : name.substr(0, 1) == "." ? 1 : 0);
    visit(name, section, header, gnu_compressed);
  }
}

// False when the section cannot be decompressed.
bool Decompress(Elf_Scn* section, const GElf_Shdr& header, bool gnu_compressed) {
  if ((header.sh_flags & SHF_COMPRESSED) != 0) return elf_compress(section, 0, 0) >= 0;
  return !gnu_compressed || elf_compress_gnu(section, 0, 0) >= 0;
}

// libdw's own would end the process. Its frames hold nothing that must be given back but memory.
__attribute__((noreturn)) void ThrowOutOfMemory() { throw std::bad_alloc(); }

}  // namespace

Result<std::unique_ptr<LineTables>> LineTables::Open(const ElfFile& file) {
  std::unique_ptr<LineTables> opened(new LineTables);
  SF_RETURN_IF_ERROR(OpenElf(file, ELF_C_READ, opened->fd_, opened->elf_));
  bool readable = true;
  LineSections& sections = opened->sections_;
  ForEachSection(opened->elf_, [&](std::string_view name, Elf_Scn* section, const GElf_Shdr& header,
                                   bool gnu_compressed) {
    if (name != "debug_line" && name != "debug_line_str") return;
    readable = readable && Decompress(section, header, gnu_compressed);
    (name == "debug_line" ? sections.line : sections.line_strings) = SectionBytes(section);
  });
  if (!readable) return Status(Code::kCorrupt, file.path() + ": " + elf_errmsg(-1));
  return opened;
}

LineTables::~LineTables() {
  if (elf_ != nullptr) elf_end(elf_);
}

Result<std::unique_ptr<DwarfFile>> DwarfFile::Open(const ElfFile& file) {
  std::unique_ptr<DwarfFile> opened(new DwarfFile);
  const Elf_Cmd command = DebugBytes(file) <= kMaxReadBytes ? ELF_C_READ : ELF_C_READ_MMAP;
  SF_RETURN_IF_ERROR(OpenElf(file, command, opened->fd_, opened->elf_));
  opened->dwarf_ = dwarf_begin_elf(opened->elf_, DWARF_C_READ, nullptr);
  if (opened->dwarf_ == nullptr) {
    return Status(Code::kCorrupt, file.path() + ": " + dwarf_errmsg(-1));
  }
  dwarf_new_oom_handler(opened->dwarf_, &ThrowOutOfMemory);
  // After dwarf_begin_elf, which decompresses sections in place.
  LineSections& lines = opened->line_sections_;
  ForEachSection(opened->elf_,
                 [&](std::string_view name, Elf_Scn* section, const GElf_Shdr&, bool) {
                   if (name == "debug_line") lines.line = SectionBytes(section);
                   if (name == "debug_line_str") lines.line_strings = SectionBytes(section);
                   if (name == "debug_str") lines.strings = SectionBytes(section);
                 });
  return opened;
}

DwarfFile::~DwarfFile() {
  if (dwarf_ != nullptr) dwarf_end(dwarf_);
  if (elf_ != nullptr) elf_end(elf_);
}

}  // namespace stillframe
