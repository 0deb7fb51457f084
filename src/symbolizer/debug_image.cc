#include "symbolizer/debug_image.h"

#include <elf.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace stillframe {
namespace {

// Longer than any fixed-size field, and what a string that does not end comes to.
constexpr uint64_t kZeroBytes = 64;
constexpr size_t kMaxSections = 4096;
constexpr uint64_t kMaxSegmentBytes = 1u << 20;
// Decompression needs no more than zlib's own ratio; what claims more is not worth beginning.
constexpr uint64_t kMaxRatio = 1100;

struct Kept {
  const ElfSection* section = nullptr;
  std::string name;
  uint64_t size_bytes = 0;  // uncompressed
  bool compressed = false;
  uint64_t offset = 0;  // in the image
};

bool IsCompressed(const ElfSection& section) {
  return (section.flags & SHF_COMPRESSED) != 0 || section.name.starts_with(".zdebug_");
}

// The uncompressed size that a compressed section claims.
Result<uint64_t> ClaimedSize(const ElfFile& file, const ElfSection& section) {
  uint64_t size = 0;
  if ((section.flags & SHF_COMPRESSED) != 0) {
    SF_ASSIGN_OR_RETURN(const auto bytes, file.ReadAt(section.offset, sizeof(Elf64_Chdr)));
    Elf64_Chdr header;
    std::memcpy(&header, bytes.data(), sizeof header);
    size = header.ch_size;
  } else {  // "ZLIB", then the size in big-endian order
    SF_ASSIGN_OR_RETURN(const auto bytes, file.ReadAt(section.offset, 12));
    for (size_t i = 4; i < 12; ++i) size = size << 8 | bytes[i];
  }
  if (size / kMaxRatio > section.size_bytes) {
    return Status(Code::kCorrupt, file.path() + ": " + section.name + " claims an absurd size");
  }
  return size;
}

// What libdw, or we through it, look at.
Result<std::vector<Kept>> ChooseSections(const ElfFile& file) {
  std::vector<Kept> kept;
  for (const ElfSection& section : file.sections()) {
    const bool symbols = section.type == SHT_SYMTAB || section.type == SHT_DYNSYM;
    const bool packed = section.name.starts_with(".zdebug_");
    if (!symbols && !packed && !section.name.starts_with(".debug_")) continue;
    if (section.type == SHT_NOBITS || section.size_bytes == 0) continue;
    if (section.offset.value > file.size_bytes() ||
        section.size_bytes > file.size_bytes() - section.offset.value) {
      return Status(Code::kCorrupt,
                    file.path() + ": " + section.name + " reaches past the end of the file");
    }
    Kept one;
    one.section = &section;
    one.name = packed ? "." + section.name.substr(2) : section.name;
    one.compressed = IsCompressed(section);
    one.size_bytes = section.size_bytes;
    if (one.compressed) {
      SF_ASSIGN_OR_RETURN(one.size_bytes, ClaimedSize(file, section));
    }
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

// By libelf, from a handle of its own, so that no more than one section is in memory twice.
Status Decompress(const ElfFile& file, const Kept& kept, uint8_t* out) {
  const Status corrupt(Code::kCorrupt, file.path() + ": " + kept.name + " does not decompress");
  const UniqueFd fd(fcntl(file.fd(), F_DUPFD_CLOEXEC, 3));
  if (!fd.valid()) return ErrnoStatus("dup of " + file.path(), errno);
  if (elf_version(EV_CURRENT) == EV_NONE) return Status(Code::kInternal, "libelf is too old");
  const std::unique_ptr<Elf, int (*)(Elf*)> elf(elf_begin(fd.get(), ELF_C_READ, nullptr), elf_end);
  if (elf == nullptr) return corrupt;
  for (Elf_Scn* section = elf_nextscn(elf.get(), nullptr); section != nullptr;
       section = elf_nextscn(elf.get(), section)) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr ||
        header.sh_offset != kept.section->offset.value ||
        header.sh_size != kept.section->size_bytes) {
      continue;
    }
    const bool standard = (kept.section->flags & SHF_COMPRESSED) != 0;
    const int done = standard ? elf_compress(section, 0, 0) : elf_compress_gnu(section, 0, 0);
    const Elf_Data* const data = done < 0 ? nullptr : elf_getdata(section, nullptr);
    if (data == nullptr || data->d_buf == nullptr || data->d_size != kept.size_bytes) {
      return corrupt;
    }
    std::memcpy(out, data->d_buf, data->d_size);
    return Status();
  }
  return corrupt;
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
    SF_RETURN_IF_ERROR(one.compressed ? Decompress(file, one, bytes + one.offset)
                                      : ReadFully(file, one.section->offset.value, one.size_bytes,
                                                  bytes + one.offset));
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
