#include "symbolizer/debug_image.h"

#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include "symbolizer/section_bytes.h"

namespace stillframe {
namespace {

// Longer than any fixed-size field, and what a string that does not end comes to.
constexpr uint64_t kZeroBytes = 64;
constexpr size_t kMaxSections = 4096;
constexpr uint64_t kMaxSegmentBytes = 1u << 20;

struct Kept {
  const ElfSection* section = nullptr;
  std::string name;
  uint64_t size_bytes = 0;  // uncompressed
  uint64_t offset = 0;      // in the image
};

// What libdw, or we through it, look at.
Result<std::vector<Kept>> ChooseSections(const ElfFile& file) {
  std::vector<Kept> kept;
  for (const ElfSection& section : file.sections()) {
    const bool symbols = section.type == SHT_SYMTAB || section.type == SHT_DYNSYM;
    if (!symbols && !PlainName(section).starts_with(".debug_")) continue;
    if (section.type == SHT_NOBITS || section.size_bytes == 0) continue;
    Kept one;
    one.section = &section;
    one.name = PlainName(section);
    SF_ASSIGN_OR_RETURN(one.size_bytes, UncompressedSize(file, section));
    if (kept.size() >= kMaxSections) return Status(Code::kOverLimit, "too many sections");
    kept.push_back(one);
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

Elf64_Shdr HeaderOf(const Kept& kept, uint32_t name) {
  Elf64_Shdr header{};
  header.sh_name = name;
  header.sh_type = kept.section->type;
  header.sh_flags = kept.section->flags & ~uint64_t{SHF_COMPRESSED};
  header.sh_addr = kept.section->address.value;
  header.sh_offset = kept.offset;
  header.sh_size = kept.size_bytes;
  header.sh_addralign = 1;
  header.sh_entsize = kept.section->entry_size;
  return header;
}

uint64_t Align(uint64_t offset) { return (offset + 15) & ~uint64_t{15}; }

}  // namespace

// ELF header | program headers | sections, each with zeros behind | names | section headers
Result<std::unique_ptr<DebugImage>> DebugImage::Read(const ElfFile& file, uint64_t max_bytes) {
  Elf64_Ehdr header;
  SF_RETURN_IF_ERROR(ReadFully(file, 0, sizeof header, reinterpret_cast<uint8_t*>(&header)));
  SF_ASSIGN_OR_RETURN(std::vector<Kept> kept, ChooseSections(file));
  const uint64_t segments = uint64_t{header.e_phnum} * sizeof(Elf64_Phdr);
  const bool has_segments = segments <= kMaxSegmentBytes && header.e_phoff <= file.size_bytes() &&
                            segments <= file.size_bytes() - header.e_phoff;
  uint64_t at = Align(sizeof header + (has_segments ? segments : 0));
  for (Kept& one : kept) {
    one.offset = at;
    at = Align(at + one.size_bytes + kZeroBytes);
    if (at > max_bytes) return Status(Code::kOverLimit, file.path() + ": too much to read");
  }
  std::string names(1, '\0');
  std::vector<Elf64_Shdr> table(1);
  const auto add_name = [&names](const std::string& name) {
    names.append(name).push_back('\0');
    return static_cast<uint32_t>(names.size() - name.size() - 1);
  };
  for (const Kept& one : kept) table.push_back(HeaderOf(one, add_name(one.name)));
  Elf64_Shdr name_table{};
  name_table.sh_name = add_name(".shstrtab");
  name_table.sh_type = SHT_STRTAB;
  name_table.sh_offset = at;
  name_table.sh_size = names.size();
  table.push_back(name_table);

  const uint64_t table_at = Align(at + names.size() + kZeroBytes);
  std::unique_ptr<DebugImage> image(new DebugImage);
  image->size_bytes_ = table_at + table.size() * sizeof(Elf64_Shdr) + kZeroBytes;
  void* const map =
      mmap(nullptr, image->size_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) throw std::bad_alloc();
  image->map_ = map;
  auto* const bytes = static_cast<uint8_t*>(map);
  if (has_segments) {
    SF_RETURN_IF_ERROR(ReadFully(file, header.e_phoff, segments, bytes + sizeof header));
  }
  for (const Kept& one : kept) {
    SF_RETURN_IF_ERROR(ReadUncompressed(file, *one.section, one.size_bytes, bytes + one.offset));
  }
  header.e_phoff = has_segments && segments > 0 ? sizeof header : 0;
  if (!has_segments) header.e_phnum = 0;
  header.e_shoff = table_at;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = static_cast<uint16_t>(table.size());
  header.e_shstrndx = static_cast<uint16_t>(table.size() - 1);
  std::memcpy(bytes, &header, sizeof header);
  std::memcpy(bytes + at, names.data(), names.size());
  std::memcpy(bytes + table_at, table.data(), table.size() * sizeof(Elf64_Shdr));
  return image;
}

DebugImage::~DebugImage() {
  if (map_ != nullptr) munmap(map_, size_bytes_);
}

}  // namespace stillframe
