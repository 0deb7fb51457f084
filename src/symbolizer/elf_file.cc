#include "symbolizer/elf_file.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/hex.h"
#include "symbolizer/byte_reader.h"

namespace stillframe {
namespace {

constexpr uint64_t kMaxSections = 65536;
constexpr uint64_t kMaxSegments = 4096;
constexpr uint64_t kMaxNotesBytes = 1u << 20;
// Of a section's name: what we look for is shorter. Names may share their bytes, so that thousands
// of long ones take a small file and all of the memory.
constexpr uint64_t kMaxNameBytes = 128;
// The largest section we ever read whole (symbol and string tables, .eh_frame).
constexpr uint64_t kMaxReadBytes = 1u << 30;

Status Corrupt(const std::string& path, std::string_view what) {
  return Status(Code::kCorrupt, path + ": " + std::string(what));
}

// Cut off when it is too long.
std::string SectionName(ByteSpan names, uint64_t offset) {
  if (offset >= names.size()) return "";
  const ByteSpan rest = names.subspan(offset, std::min(names.size() - offset, kMaxNameBytes));
  const auto* const text = reinterpret_cast<const char*>(rest.data());
  return {text, strnlen(text, rest.size())};
}

}  // namespace

struct ElfFile::Header {
  uint64_t segment_offset = 0;
  uint64_t section_offset = 0;
  uint64_t segment_count = 0;
  uint64_t section_count = 0;
  uint32_t names_index = 0;
};

Result<std::unique_ptr<ElfFile>> ElfFile::Open(const std::string& path) {
  return Open(path, false);
}

Result<std::unique_ptr<ElfFile>> ElfFile::OpenShared(const std::string& path) {
  return Open(path, true);
}

Result<std::unique_ptr<ElfFile>> ElfFile::Open(const std::string& path, bool may_be_relocatable) {
  // O_NONBLOCK: opening a FIFO that someone put in place of a debug file must not hang.
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus("open " + path, errno);
  return Adopt(std::move(fd), path, may_be_relocatable);
}

Result<std::unique_ptr<ElfFile>> ElfFile::Adopt(UniqueFd fd, const std::string& path) {
  return Adopt(std::move(fd), path, false);
}

Result<std::unique_ptr<ElfFile>> ElfFile::Adopt(UniqueFd fd, const std::string& path,
                                                bool may_be_relocatable) {
  std::unique_ptr<ElfFile> file(new ElfFile);
  file->path_ = path;
  file->may_be_relocatable_ = may_be_relocatable;
  file->fd_ = std::move(fd);
  struct stat info;
  if (fstat(file->fd_.get(), &info) != 0) return ErrnoStatus("stat " + path, errno);
  if (!S_ISREG(info.st_mode)) return Status(Code::kUnsupported, path + ": not a regular file");
  file->size_bytes_ = static_cast<uint64_t>(info.st_size);
  SF_RETURN_IF_ERROR(file->ReadHeaders());
  return file;
}

Result<FileBytes> ElfFile::ReadAt(FileOffset offset, uint64_t size_bytes) const {
  if (size_bytes > kMaxReadBytes) {
    return Status(Code::kOverLimit,
                  path_ + ": section of " + std::to_string(size_bytes) + " bytes");
  }
  // Before that much is allocated.
  if (!Holds(offset, size_bytes)) return Corrupt(path_, "data reaches past the end of the file");
  FileBytes bytes(size_bytes);
  SF_RETURN_IF_ERROR(ReadInto(offset, bytes));
  return bytes;
}

bool ElfFile::Holds(FileOffset offset, uint64_t size_bytes) const {
  return offset.value <= size_bytes_ && size_bytes <= size_bytes_ - offset.value;
}

Status ElfFile::ReadInto(FileOffset offset, std::span<uint8_t> bytes) const {
  if (!Holds(offset, bytes.size())) return Corrupt(path_, "data reaches past the end of the file");
  uint64_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = pread(fd_.get(), bytes.data() + done, bytes.size() - done,
                                static_cast<off_t>(offset.value + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus("read " + path_, errno);
    if (count == 0) return Corrupt(path_, "the file shrank while it was read");
    done += static_cast<uint64_t>(count);
  }
  return Status();
}

Result<FileBytes> ElfFile::ReadSection(const ElfSection& section) const {
  if (section.type == SHT_NOBITS) {
    return Status(Code::kNotFound, path_ + ": " + section.name + " has no bytes in this file");
  }
  if ((section.flags & SHF_COMPRESSED) != 0) {
    return Status(Code::kUnsupported, path_ + ": " + section.name + " is compressed");
  }
  return ReadAt(section.offset, section.size_bytes);
}

Status ElfFile::ReadHeaders() {
  SF_ASSIGN_OR_RETURN(const Header header, ReadHeader());
  SF_RETURN_IF_ERROR(ReadSegments(header));
  SF_RETURN_IF_ERROR(ReadSections(header));
  ReadNotes();
  ReadDebugLink();
  CollectCodeRanges();
  return Status();
}

Result<ElfFile::Header> ElfFile::ReadHeader() const {
  if (size_bytes_ < sizeof(Elf64_Ehdr)) return Corrupt(path_, "too short for an ELF header");
  SF_ASSIGN_OR_RETURN(const auto bytes, ReadAt(FileOffset(0), sizeof(Elf64_Ehdr)));
  Elf64_Ehdr raw;
  memcpy(&raw, bytes.data(), sizeof raw);
  if (memcmp(raw.e_ident, ELFMAG, SELFMAG) != 0) return Corrupt(path_, "not an ELF file");
  if (raw.e_ident[EI_CLASS] != ELFCLASS64 || raw.e_ident[EI_DATA] != ELFDATA2LSB ||
      raw.e_machine != EM_X86_64) {
    return Status(Code::kUnsupported, path_ + ": not a 64-bit x86-64 ELF file");
  }
  if (raw.e_type != ET_EXEC && raw.e_type != ET_DYN &&
      !(raw.e_type == ET_REL && may_be_relocatable_)) {
    return Status(Code::kUnsupported, path_ + ": neither an executable nor a shared object");
  }
  if ((raw.e_phnum != 0 && raw.e_phentsize != sizeof(Elf64_Phdr)) ||
      (raw.e_shoff != 0 && raw.e_shentsize != sizeof(Elf64_Shdr))) {
    return Corrupt(path_, "ELF header has a wrong table entry size");
  }
  Header header{raw.e_phoff, raw.e_shoff, raw.e_phnum, raw.e_shnum, raw.e_shstrndx};
  // gABI: counts that do not fit are in section 0.
  if (raw.e_shoff != 0 && (raw.e_shnum == 0 || raw.e_shstrndx == SHN_XINDEX)) {
    SF_ASSIGN_OR_RETURN(const auto first, ReadAt(FileOffset(raw.e_shoff), sizeof(Elf64_Shdr)));
    Elf64_Shdr section;
    memcpy(&section, first.data(), sizeof section);
    if (raw.e_shnum == 0) header.section_count = section.sh_size;
    if (raw.e_shstrndx == SHN_XINDEX) header.names_index = section.sh_link;
  }
  if (header.section_offset == 0) header.section_count = 0;
  if (header.section_count > kMaxSections || header.segment_count > kMaxSegments) {
    return Status(Code::kOverLimit, path_ + ": too many sections or segments");
  }
  return header;
}

Status ElfFile::ReadSegments(const Header& header) {
  SF_ASSIGN_OR_RETURN(const auto bytes, ReadAt(FileOffset(header.segment_offset),
                                               header.segment_count * sizeof(Elf64_Phdr)));
  for (uint64_t i = 0; i < header.segment_count; ++i) {
    Elf64_Phdr raw;
    memcpy(&raw, bytes.data() + i * sizeof raw, sizeof raw);
    const ElfSegment segment{LinkAddress(raw.p_vaddr), FileOffset(raw.p_offset), raw.p_filesz,
                             raw.p_memsz, raw.p_flags};
    if (raw.p_type == PT_LOAD) load_segments_.push_back(segment);
    if (raw.p_type == PT_NOTE) note_segments_.push_back(segment);
  }
  return Status();
}

Status ElfFile::ReadSections(const Header& header) {
  if (header.section_count == 0) return Status();
  SF_ASSIGN_OR_RETURN(const auto bytes, ReadAt(FileOffset(header.section_offset),
                                               header.section_count * sizeof(Elf64_Shdr)));
  std::vector<Elf64_Shdr> raw(header.section_count);
  memcpy(raw.data(), bytes.data(), bytes.size());
  FileBytes names;
  if (header.names_index != SHN_UNDEF) {
    if (header.names_index >= raw.size()) return Corrupt(path_, "section name table is missing");
    const Elf64_Shdr& table = raw[header.names_index];
    SF_ASSIGN_OR_RETURN(names, ReadAt(FileOffset(table.sh_offset), table.sh_size));
  }
  for (const Elf64_Shdr& r : raw) {
    ElfSection section;
    section.name = SectionName(names, r.sh_name);
    section.type = r.sh_type;
    section.flags = r.sh_flags;
    section.address = LinkAddress(r.sh_addr);
    section.offset = FileOffset(r.sh_offset);
    section.size_bytes = r.sh_size;
    section.link = r.sh_link;
    section.entry_size = r.sh_entsize;
    sections_.push_back(std::move(section));
  }
  return Status();
}

// Notes are looked for in segments first: `strip --strip-sections` leaves only those. A separate
// debug file has the reverse: its segments point at bytes that it does not hold.
void ElfFile::ReadNotes() {
  for (const ElfSection& section : sections_) {
    if (section.type != SHT_NOTE || section.size_bytes > kMaxNotesBytes) continue;
    if (auto bytes = ReadSection(section); bytes.ok()) ParseNotes(*bytes);
  }
  for (const ElfSegment& segment : note_segments_) {
    if (!build_id_.empty() || segment.file_size_bytes > kMaxNotesBytes) continue;
    if (auto bytes = ReadAt(segment.offset, segment.file_size_bytes); bytes.ok()) {
      ParseNotes(*bytes);
    }
  }
}

void ElfFile::ParseNotes(ByteSpan notes) {
  ByteReader reader(notes);
  while (build_id_.empty() && reader.remaining() >= sizeof(Elf64_Nhdr)) {
    const uint32_t name_size = reader.U32();
    const uint32_t data_size = reader.U32();
    const uint32_t type = reader.U32();
    const ByteSpan name = reader.Bytes(name_size);
    reader.Skip(-name_size & 3u);
    const ByteSpan data = reader.Bytes(data_size);
    if (!reader.ok()) return;
    if (type == NT_GNU_BUILD_ID && name.size() == 4 && memcmp(name.data(), "GNU", 4) == 0 &&
        data.size() >= 2 && data.size() <= 64) {
      build_id_ = ToHex(data);
    }
    reader.Skip(std::min<uint64_t>(-data_size & 3u, reader.remaining()));
  }
}

void ElfFile::ReadDebugLink() {
  const ElfSection* section = FindSection(".gnu_debuglink");
  if (section == nullptr || section->size_bytes > 4096) return;
  const auto bytes = ReadSection(*section);
  if (!bytes.ok()) return;
  ByteReader reader(*bytes);
  const std::string_view name = reader.CString();
  reader.Skip(-reader.position() & 3u);
  const uint32_t crc = reader.U32();
  // A name with a folder in it would let the file choose where we look.
  if (!reader.ok() || name.empty() || name.find('/') != std::string_view::npos) return;
  debug_link_ = DebugLink{std::string(name), crc};
}

void ElfFile::CollectCodeRanges() {
  const auto add = [this](LinkAddress start, uint64_t size_bytes) {
    if (size_bytes == 0 || start.value + size_bytes < start.value) return;
    code_ranges_.push_back({start, start + size_bytes});
  };
  for (const ElfSection& section : sections_) {
    if ((section.flags & (SHF_ALLOC | SHF_EXECINSTR)) == (SHF_ALLOC | SHF_EXECINSTR)) {
      add(section.address, section.size_bytes);
    }
  }
  if (code_ranges_.empty()) {
    for (const ElfSegment& segment : load_segments_) {
      if ((segment.flags & PF_X) != 0) add(segment.address, segment.memory_size_bytes);
    }
  }
  std::sort(code_ranges_.begin(), code_ranges_.end(),
            [](const CodeRange& a, const CodeRange& b) { return a.start < b.start; });
}

std::vector<uint8_t> ElfFile::ReadCode(LinkAddress address, uint32_t size_bytes) const {
  if (!IsCode(address)) return {};
  for (const ElfSegment& segment : load_segments()) {
    const uint64_t at = address.value - segment.address.value;
    if (address < segment.address || at >= segment.file_size_bytes) continue;
    const uint64_t size = std::min<uint64_t>(size_bytes, segment.file_size_bytes - at);
    const FileOffset from = segment.offset + at;
    // Before that much is allocated; the sum may have wrapped around.
    if (from < segment.offset || !Holds(from, size)) continue;
    std::vector<uint8_t> bytes(size);
    if (ReadInto(from, bytes).ok()) return bytes;
  }
  return {};
}

bool ElfFile::IsCode(LinkAddress address) const {
  const auto after = std::upper_bound(
      code_ranges_.begin(), code_ranges_.end(), address,
      [](LinkAddress wanted, const CodeRange& range) { return wanted < range.start; });
  return after != code_ranges_.begin() && address < std::prev(after)->end;
}

const ElfSection* ElfFile::FindSection(std::string_view name) const {
  for (const ElfSection& section : sections_) {
    if (section.name == name) return &section;
  }
  return nullptr;
}

bool ElfFile::HasDwarf() const {
  return std::any_of(sections_.begin(), sections_.end(), [](const ElfSection& section) {
    return section.type != SHT_NOBITS && section.size_bytes != 0 &&
           (section.name == ".debug_info" || section.name == ".zdebug_info");
  });
}

}  // namespace stillframe
