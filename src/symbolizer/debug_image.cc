#include "symbolizer/debug_image.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>

#include "symbolizer/section_bytes.h"

namespace stillframe {
namespace {

// Longer than any fixed-size field, and what a string that does not end comes to.
constexpr uint64_t kZeroBytes = 64;
constexpr size_t kMaxSections = 4096;
constexpr uint64_t kMaxSegmentBytes = 1u << 20;
// Sections may lie on the same bytes, and many may be compressed: together they are no more than
// this and so many times the file.
constexpr uint64_t kMaxSectionsBytes = 32u << 20;
constexpr uint64_t kMaxSectionsRatio = 64;

// What libdw, or we through it, look at.
Result<std::vector<DebugImage::Section>> ChooseSections(const ElfFile& file,
                                                        std::string_view appended) {
  std::vector<DebugImage::Section> kept;
  uint64_t total = 0;
  for (const ElfSection& section : file.sections()) {
    const bool symbols = section.type == SHT_SYMTAB || section.type == SHT_DYNSYM;
    if (!symbols && !PlainName(section).starts_with(".debug_")) continue;
    if (section.type == SHT_NOBITS || section.size_bytes == 0) continue;
    if (kept.size() >= kMaxSections) return Status(Code::kOverLimit, "too many sections");
    DebugImage::Section one{};
    one.name = PlainName(section);
    SF_ASSIGN_OR_RETURN(const uint64_t size, UncompressedSize(file, section));
    total += size;
    if (total > kMaxSectionsBytes && total / kMaxSectionsRatio > file.size_bytes()) {
      return Status(Code::kCorrupt, file.path() + ": its sections claim more than it can hold");
    }
    one.header.sh_type = section.type;
    one.header.sh_flags = section.flags & ~uint64_t{SHF_COMPRESSED};
    one.header.sh_addr = section.address.value;
    one.header.sh_size = size;
    one.header.sh_entsize = section.entry_size;
    const bool append =
        !appended.empty() && (one.name == ".debug_str" || one.name == ".debug_line_str");
    if (append) one.header.sh_size += appended.size() + 2;
    // GCC puts each type unit of a .dwo file into a section of its own; libdw reads one of a name.
    const bool units = one.name == ".debug_info.dwo" || one.name == ".debug_types.dwo";
    const auto before = std::find_if(
        kept.begin(), kept.end(),
        [&](const DebugImage::Section& other) { return units && other.name == one.name; });
    if (before != kept.end()) {
      const uint64_t offset = before->header.sh_size;
      before->header.sh_size += size;
      before->write = [&file, &section, size, offset, first = before->write](uint8_t* out) {
        SF_RETURN_IF_ERROR(first(out));
        return ReadUncompressed(file, section, size, out + offset);
      };
      continue;
    }
    one.write = [&file, &section, size, append, appended](uint8_t* out) {
      // Behind a zero of its own: the last string of a broken section does not end.
      if (append) std::memcpy(out + size + 1, appended.data(), appended.size());
      return ReadUncompressed(file, section, size, out);
    };
    kept.push_back(std::move(one));
  }
  return kept;
}

Status ReadFully(const ElfFile& file, uint64_t from, uint64_t size_bytes, uint8_t* out) {
  uint64_t done = 0;
  while (done < size_bytes) {
    const ssize_t count =
        pread(file.fd(), out + done, size_bytes - done, static_cast<off_t>(from + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus("read " + file.path(), errno);
    if (count == 0) return Status(Code::kCorrupt, file.path() + ": it shrank while it was read");
    done += static_cast<uint64_t>(count);
  }
  return Status();
}

uint64_t Align(uint64_t offset) { return (offset + 15) & ~uint64_t{15}; }

}  // namespace

// Program headers of the file that is read.
struct DebugImage::Segments {
  const ElfFile* file = nullptr;
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
};

Result<std::unique_ptr<DebugImage>> DebugImage::Read(const ElfFile& file, uint64_t max_bytes,
                                                     std::string_view appended) {
  Elf64_Ehdr header;
  SF_RETURN_IF_ERROR(ReadFully(file, 0, sizeof header, reinterpret_cast<uint8_t*>(&header)));
  SF_ASSIGN_OR_RETURN(std::vector<Section> sections, ChooseSections(file, appended));
  Segments segments{&file, header.e_phoff, uint64_t{header.e_phnum} * sizeof(Elf64_Phdr)};
  const bool readable = segments.size_bytes <= kMaxSegmentBytes &&
                        header.e_phoff <= file.size_bytes() &&
                        segments.size_bytes <= file.size_bytes() - header.e_phoff;
  if (!readable) segments.size_bytes = 0;
  header.e_phoff = segments.size_bytes > 0 ? sizeof header : 0;
  if (!readable) header.e_phnum = 0;
  SF_ASSIGN_OR_RETURN(auto image, LayOut(header, segments, std::move(sections), max_bytes));
  image->appended_bytes_ = appended.size();
  return image;
}

Result<std::unique_ptr<DebugImage>> DebugImage::Make(std::vector<Section> sections,
                                                     uint64_t max_bytes) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_REL;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_ehsize = sizeof header;
  return LayOut(header, Segments(), std::move(sections), max_bytes);
}

// ELF header | program headers | sections, each with zeros behind | names | section headers
Result<std::unique_ptr<DebugImage>> DebugImage::LayOut(Elf64_Ehdr header, const Segments& segments,
                                                       std::vector<Section> sections,
                                                       uint64_t max_bytes) {
  std::string names(1, '\0');
  std::vector<Elf64_Shdr> table(1);
  const auto add_name = [&names](const std::string& name) {
    names.append(name).push_back('\0');
    return static_cast<uint32_t>(names.size() - name.size() - 1);
  };
  std::unique_ptr<DebugImage> image(new DebugImage);
  uint64_t at = Align(sizeof header + segments.size_bytes);
  for (Section& one : sections) {
    one.header.sh_name = add_name(one.name);
    one.header.sh_offset = at;
    one.header.sh_addralign = 1;
    table.push_back(one.header);
    image->places_.push_back({one.name, {at, one.header.sh_size}});
    if (one.header.sh_size > max_bytes) return Status(Code::kOverLimit, one.name + ": too much");
    at = Align(at + one.header.sh_size + kZeroBytes);
    if (at > max_bytes) {
      return Status(
          Code::kOverLimit,
          (segments.file != nullptr ? segments.file->path() : one.name) + ": too much to read");
    }
  }
  Elf64_Shdr name_table{};
  name_table.sh_name = add_name(".shstrtab");
  name_table.sh_type = SHT_STRTAB;
  name_table.sh_offset = at;
  name_table.sh_size = names.size();
  table.push_back(name_table);

  const uint64_t table_at = Align(at + names.size() + kZeroBytes);
  image->size_bytes_ = table_at + table.size() * sizeof(Elf64_Shdr) + kZeroBytes;
  void* const map =
      mmap(nullptr, image->size_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) throw std::bad_alloc();
  image->map_ = map;
  auto* const bytes = static_cast<uint8_t*>(map);
  if (segments.size_bytes > 0) {
    SF_RETURN_IF_ERROR(
        ReadFully(*segments.file, segments.offset, segments.size_bytes, bytes + sizeof header));
  }
  for (const Section& one : sections) {
    SF_RETURN_IF_ERROR(one.write(bytes + one.header.sh_offset));
  }
  header.e_shoff = table_at;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = static_cast<uint16_t>(table.size());
  header.e_shstrndx = static_cast<uint16_t>(table.size() - 1);
  std::memcpy(bytes, &header, sizeof header);
  std::memcpy(bytes + at, names.data(), names.size());
  std::memcpy(bytes + table_at, table.data(), table.size() * sizeof(Elf64_Shdr));
  return image;
}

DebugImage::Place DebugImage::Find(std::string_view section) const {
  for (const Named& one : places_) {
    if (one.name == section) return one.place;
  }
  return {};
}

uint64_t DebugImage::AppendedTo(std::string_view section) const {
  const Place place = Find(section);
  return appended_bytes_ == 0 || place.size_bytes == 0 ? 0 : place.size_bytes - appended_bytes_ - 1;
}

DebugImage::~DebugImage() {
  if (map_ != nullptr) munmap(map_, size_bytes_);
}

}  // namespace stillframe
