#include "symbolizer/dwarf_file.h"

#include <fcntl.h>
#include <gelf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <new>
#include <string>

#include "symbolizer/debug_file.h"
#include "symbolizer/section_bytes.h"
#include "symbolizer/unit_check.h"

namespace stillframe {
namespace {

// Up to this much debug information is read into memory: a mapped file that somebody truncates
// kills the host with SIGBUS. Past it the mapping's cost (clean pages, read on demand) is worth the
// risk.
constexpr uint64_t kMaxReadBytes = 32u << 20;
// Uncompressed.
constexpr uint64_t kMaxImageBytes = 1u << 30;
constexpr uint64_t kMaxLineBytes = 256u << 20;
constexpr uint64_t kMaxUnits = 1u << 20;

// Compressed sections have to be in memory whole, however the file is opened.
bool IsWorthMapping(const ElfFile& file) {
  uint64_t total = 0;
  for (const ElfSection& section : file.sections()) {
    if (section.name.find("debug_") == std::string::npos || section.type == SHT_NOBITS) continue;
    const bool inside = section.offset.value <= file.size_bytes() &&
                        section.size_bytes <= file.size_bytes() - section.offset.value;
    if (IsCompressed(section) || !inside) return false;
    total += section.size_bytes;
  }
  return total > kMaxReadBytes;
}

ByteSpan SectionBytes(Elf_Scn* section) {
  const Elf_Data* data = elf_getdata(section, nullptr);
  if (data == nullptr || data->d_buf == nullptr) return ByteSpan();
  return ByteSpan(static_cast<const uint8_t*>(data->d_buf), data->d_size);
}

// Calls visit(name without its leading dot, section) for each section with content.
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
    name.remove_prefix(name.starts_with(".") ? 1 : 0);
    visit(name, section);
  }
}

// libdw's own would end the process. Its frames hold nothing that must be given back but memory.
__attribute__((noreturn)) void ThrowOutOfMemory() { throw std::bad_alloc(); }

}  // namespace

// Reads what ReadLineHeader looks at and leaves holes for the rest: a few percent of a large
// section. Where the chain of lengths breaks, the reader will find the same.
Status LineTables::ReadHeaders(const ElfFile& file, const ElfSection& section) {
  // The longest fixed part: 64-bit lengths, version 5 (DWARF 5 §6.2.4).
  constexpr uint64_t kFixedBytes = 12 + 2 + 2 + 8;
  if (section.offset.value > file.size_bytes() ||
      section.size_bytes > file.size_bytes() - section.offset.value) {
    return Status(Code::kCorrupt, file.path() + ": .debug_line reaches past the end of the file");
  }
  map_ = mmap(nullptr, section.size_bytes, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map_ == MAP_FAILED) map_ = nullptr;
  if (map_ == nullptr) throw std::bad_alloc();
  map_bytes_ = section.size_bytes;
  madvise(map_, map_bytes_, MADV_NOHUGEPAGE);  // the holes would be filled
  auto* const bytes = static_cast<uint8_t*>(map_);
  sections_.line = {bytes, map_bytes_};
  const auto read = [&](uint64_t at, uint64_t size) {
    return pread(file.fd(), bytes + at, size, static_cast<off_t>(section.offset.value + at)) ==
           static_cast<ssize_t>(size);
  };
  uint64_t units = 0;
  for (uint64_t at = 0; at < map_bytes_;) {
    if (++units > kMaxUnits) return Status(Code::kOverLimit, file.path() + ": too many units");
    const uint64_t fixed = std::min(kFixedBytes, map_bytes_ - at);
    if (!read(at, fixed)) return ErrnoStatus("read " + file.path(), errno);
    ByteReader reader(ByteSpan(bytes + at, fixed));
    uint8_t offset_size = 4;
    const uint64_t length = reader.InitialLength(&offset_size);
    const uint64_t after_length = reader.position();
    if (reader.U16() >= 5) reader.Skip(2);
    const uint64_t header_length = reader.Unsigned(offset_size);
    if (!reader.ok() || length > map_bytes_ - at - after_length) return Status();
    const uint64_t unit = after_length + length;
    const uint64_t header = std::min(unit, reader.position() + std::min(header_length, unit));
    if (header > fixed && !read(at + fixed, header - fixed)) {
      return ErrnoStatus("read " + file.path(), errno);
    }
    at += unit;
  }
  return Status();
}

Result<std::unique_ptr<LineTables>> LineTables::Open(const ElfFile& file) {
  std::unique_ptr<LineTables> opened(new LineTables);
  const ElfSection* const lines = FindByPlainName(file, ".debug_line");
  const ElfSection* const strings = FindByPlainName(file, ".debug_line_str");
  if (strings != nullptr && strings->type != SHT_NOBITS) {
    SF_ASSIGN_OR_RETURN(opened->strings_, ReadUncompressed(file, *strings, kMaxLineBytes));
    opened->sections_.line_strings = opened->strings_;
  }
  if (lines == nullptr || lines->type == SHT_NOBITS || lines->size_bytes == 0) return opened;
  if (!IsCompressed(*lines)) {
    SF_RETURN_IF_ERROR(opened->ReadHeaders(file, *lines));
    return opened;
  }
  SF_ASSIGN_OR_RETURN(opened->lines_, ReadUncompressed(file, *lines, kMaxLineBytes));
  opened->sections_.line = opened->lines_;
  return opened;
}

LineTables::~LineTables() {
  if (map_ != nullptr) munmap(map_, map_bytes_);
}

Status DwarfFile::Map(const ElfFile& file) {
  map_bytes_ = file.size_bytes();
  // Writable, though nobody should: libelf's handles on memory may have their headers changed.
  map_ =
      mmap(nullptr, map_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file.fd(), 0);
  if (map_ == MAP_FAILED) {
    map_ = nullptr;
    return ErrnoStatus("mmap " + file.path(), errno);
  }
  // Single entries here and there are read: what the kernel reads ahead would be for nothing.
  madvise(map_, map_bytes_, MADV_RANDOM);
  if (elf_version(EV_CURRENT) == EV_NONE) return Status(Code::kInternal, "libelf is too old");
  elf_ = elf_memory(static_cast<char*>(map_), map_bytes_);
  if (elf_ == nullptr) return Status(Code::kCorrupt, file.path() + ": " + elf_errmsg(-1));
  return Status();
}

Status DwarfFile::ReadImage(const ElfFile& file, std::string_view appended) {
  SF_ASSIGN_OR_RETURN(image_, DebugImage::Read(file, kMaxImageBytes, appended));
  if (elf_version(EV_CURRENT) == EV_NONE) return Status(Code::kInternal, "libelf is too old");
  elf_ = elf_memory(image_->data(), image_->size_bytes());
  if (elf_ == nullptr) return Status(Code::kCorrupt, file.path() + ": " + elf_errmsg(-1));
  return Status();
}

void DwarfFile::GiveBackPages() const {
  if (map_ != nullptr) madvise(map_, map_bytes_, MADV_DONTNEED);
}

// libdw would look for it beside the file of a descriptor, which it does not have here. Without it,
// half of the names and types would be unknown, so it is an error not to find it.
Status DwarfFile::OpenShared(const ElfFile& file, const std::vector<std::string>& debug_path) {
  constexpr std::string_view kSystemFolder = "/usr/lib/debug";
  SF_ASSIGN_OR_RETURN(const auto link, ReadSharedLink(file));
  if (!link) return Status();
  const auto& [name, build_id] = *link;
  std::vector<std::string> candidates{name};
  if (name[0] != '/') {
    char real[PATH_MAX];
    // Not /proc/self: the thread that reads may have descriptors of its own.
    const std::string descriptor = "/proc/thread-self/fd/" + std::to_string(file.fd());
    const ssize_t size = readlink(descriptor.c_str(), real, sizeof real);
    const std::string_view itself(real, static_cast<size_t>(std::max<ssize_t>(size, 0)));
    candidates[0] = std::string(itself.substr(0, itself.rfind('/') + 1)) + name;
  }
  std::vector<std::string> folders = debug_path;
  folders.emplace_back(kSystemFolder);
  for (const std::string& folder : folders) {
    candidates.push_back(folder + "/.build-id/" + build_id.substr(0, 2) + "/" + build_id.substr(2) +
                         ".debug");
    if (name.starts_with(kSystemFolder)) {  // a tree of debug packages, unpacked elsewhere
      candidates.push_back(folder + name.substr(kSystemFolder.size()));
    }
  }
  Status status(Code::kNoDebugInfo, file.path() + " shares debug information with " +
                                        candidates[0] + " (dwz), which is not there");
  for (const std::string& path : candidates) {
    auto elf = ElfFile::OpenShared(path);
    if (!elf.ok()) continue;
    if ((*elf)->build_id() != build_id) {
      status = Status(Code::kBuildMismatch, path + " (dwz) has build-id '" + (*elf)->build_id() +
                                                "', " + file.path() + " wants '" + build_id + "'");
      continue;
    }
    SF_ASSIGN_OR_RETURN(shared_, Open(**elf, nullptr, {}));
    shared_elf_ = std::move(*elf);
    dwarf_setalt(dwarf_, shared_->dwarf_);
    return Status();
  }
  return status;
}

Result<std::unique_ptr<DwarfFile>> DwarfFile::Open(const ElfFile& file,
                                                   const std::vector<std::string>* debug_path,
                                                   std::string_view appended) {
  std::unique_ptr<DwarfFile> opened(new DwarfFile);
  if (appended.empty() && IsWorthMapping(file)) {
    SF_RETURN_IF_ERROR(opened->Map(file));
  } else {
    SF_RETURN_IF_ERROR(opened->ReadImage(file, appended));
  }
  UnitSections units;
  units.whole_tables = opened->image_ != nullptr;
  ForEachSection(opened->elf_, [&](std::string_view name, Elf_Scn* section) {
    if (name == "debug_info") units.info = SectionBytes(section);
    if (name == "debug_types") units.types = SectionBytes(section);
    if (name == "debug_abbrev") units.abbreviations = SectionBytes(section);
  });
  SF_RETURN_IF_ERROR(CheckUnitRoots(units, [&] {
                       opened->GiveBackPages();
                     }).WithContext("the debug information of " + file.path()));
  opened->GiveBackPages();
  opened->dwarf_ = dwarf_begin_elf(opened->elf_, DWARF_C_READ, nullptr);
  if (opened->dwarf_ == nullptr) {
    return Status(Code::kCorrupt, file.path() + ": " + dwarf_errmsg(-1));
  }
  dwarf_new_oom_handler(opened->dwarf_, &ThrowOutOfMemory);
  if (debug_path != nullptr) SF_RETURN_IF_ERROR(opened->OpenShared(file, *debug_path));
  LineSections& lines = opened->line_sections_;
  ForEachSection(opened->elf_, [&](std::string_view name, Elf_Scn* section) {
    if (name == "debug_line") lines.line = SectionBytes(section);
    if (name == "debug_line_str") lines.line_strings = SectionBytes(section);
    if (name == "debug_str") lines.strings = SectionBytes(section);
  });
  return opened;
}

DwarfFile::~DwarfFile() {
  if (dwarf_ != nullptr) dwarf_end(dwarf_);
  if (elf_ != nullptr) elf_end(elf_);
  if (map_ != nullptr) munmap(map_, map_bytes_);
}

}  // namespace stillframe
