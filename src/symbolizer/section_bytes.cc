#include "symbolizer/section_bytes.h"

#include <elf.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <unistd.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/unique_fd.h"

namespace stillframe {
namespace {

// gABI; glibc 2.36 has no name for it.
constexpr uint32_t kElfCompressZstd = 2;
// zlib cannot do better than 1032:1. zstd can, but what claims more is no debug information, and
// not worth beginning.
constexpr uint64_t kMaxRatio = 1100;
// What is compressed better than this must be small: real sections come to a tenth, the most
// repetitive ones to a thirtieth.
constexpr uint64_t kMaxLargeRatio = 64;
constexpr uint64_t kLargeBytes = 8u << 20;

Status CheckInside(const ElfFile& file, const ElfSection& section) {
  if (section.offset.value <= file.size_bytes() &&
      section.size_bytes <= file.size_bytes() - section.offset.value) {
    return Status();
  }
  return Status(Code::kCorrupt,
                file.path() + ": " + section.name + " reaches past the end of the file");
}

Status DoesNotDecompress(const ElfFile& file, const ElfSection& section) {
  return Status(Code::kCorrupt, file.path() + ": " + section.name + " does not decompress");
}

Result<Elf64_Chdr> HeaderOf(const ElfFile& file, const ElfSection& section) {
  if (section.size_bytes < sizeof(Elf64_Chdr)) return DoesNotDecompress(file, section);
  SF_ASSIGN_OR_RETURN(const auto bytes, file.ReadAt(section.offset, sizeof(Elf64_Chdr)));
  Elf64_Chdr header;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.ch_type != ELFCOMPRESS_ZLIB && header.ch_type != kElfCompressZstd) {
    return Status(Code::kUnsupported, file.path() + ": " + section.name +
                                          " is compressed in a way that is not known (type " +
                                          std::to_string(header.ch_type) + ")");
  }
  return header;
}

Status ReadPlain(const ElfFile& file, const ElfSection& section, uint64_t size_bytes,
                 uint8_t* out) {
  uint64_t done = 0;
  while (done < size_bytes) {
    const ssize_t count = pread(file.fd(), out + done, size_bytes - done,
                                static_cast<off_t>(section.offset.value + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus("read " + file.path(), errno);
    if (count == 0) return Status(Code::kCorrupt, file.path() + ": it shrank while it was read");
    done += static_cast<uint64_t>(count);
  }
  return Status();
}

// In one call, so that the frame's window, which a hostile header may say to be gigabytes, is `out`
// itself.
Status InflateZstd(const ElfFile& file, const ElfSection& section, uint64_t size_bytes,
                   uint8_t* out) {
  constexpr uint64_t kHeader = sizeof(Elf64_Chdr);
  SF_ASSIGN_OR_RETURN(const auto packed, file.ReadAt(FileOffset(section.offset.value + kHeader),
                                                     section.size_bytes - kHeader));
  const size_t done = ZSTD_decompress(out, size_bytes, packed.data(), packed.size());
  if (ZSTD_isError(done) || done != size_bytes) return DoesNotDecompress(file, section);
  return Status();
}

// By libelf, from a handle of its own, so that no more than one section is in memory twice.
Status InflateZlib(const ElfFile& file, const ElfSection& wanted, uint64_t size_bytes,
                   uint8_t* out) {
  const UniqueFd fd(fcntl(file.fd(), F_DUPFD_CLOEXEC, 3));
  if (!fd.valid()) return ErrnoStatus("dup of " + file.path(), errno);
  if (elf_version(EV_CURRENT) == EV_NONE) return Status(Code::kInternal, "libelf is too old");
  const std::unique_ptr<Elf, int (*)(Elf*)> elf(elf_begin(fd.get(), ELF_C_READ, nullptr), elf_end);
  if (elf == nullptr) return DoesNotDecompress(file, wanted);
  for (Elf_Scn* section = elf_nextscn(elf.get(), nullptr); section != nullptr;
       section = elf_nextscn(elf.get(), section)) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_offset != wanted.offset.value ||
        header.sh_size != wanted.size_bytes) {
      continue;
    }
    const bool standard = (wanted.flags & SHF_COMPRESSED) != 0;
    const int done = standard ? elf_compress(section, 0, 0) : elf_compress_gnu(section, 0, 0);
    const Elf_Data* const data = done < 0 ? nullptr : elf_getdata(section, nullptr);
    if (data == nullptr || data->d_buf == nullptr || data->d_size != size_bytes) break;
    std::memcpy(out, data->d_buf, data->d_size);
    return Status();
  }
  return DoesNotDecompress(file, wanted);
}

}  // namespace

bool IsCompressed(const ElfSection& section) {
  return (section.flags & SHF_COMPRESSED) != 0 || section.name.starts_with(".zdebug_");
}

bool IsCompressedByZstd(const ElfFile& file, const ElfSection& section) {
  if ((section.flags & SHF_COMPRESSED) == 0 || section.type == SHT_NOBITS) return false;
  const auto header = HeaderOf(file, section);
  return header.ok() && header->ch_type == kElfCompressZstd;
}

std::string PlainName(const ElfSection& section) {
  return section.name.starts_with(".zdebug_") ? "." + section.name.substr(2) : section.name;
}

const ElfSection* FindByPlainName(const ElfFile& file, std::string_view name) {
  for (const ElfSection& section : file.sections()) {
    if (PlainName(section) == name) return &section;
  }
  return nullptr;
}

Result<uint64_t> UncompressedSize(const ElfFile& file, const ElfSection& section) {
  SF_RETURN_IF_ERROR(CheckInside(file, section));
  if (!IsCompressed(section)) return section.size_bytes;
  uint64_t size = 0;
  if ((section.flags & SHF_COMPRESSED) != 0) {
    SF_ASSIGN_OR_RETURN(const Elf64_Chdr header, HeaderOf(file, section));
    size = header.ch_size;
  } else {  // "ZLIB", then the size in big-endian order
    SF_ASSIGN_OR_RETURN(const auto bytes, file.ReadAt(section.offset, 12));
    for (size_t i = 4; i < 12; ++i) size = size << 8 | bytes[i];
  }
  const uint64_t ratio = size > kLargeBytes ? kMaxLargeRatio : kMaxRatio;
  if (size / ratio > section.size_bytes) {
    return Status(Code::kCorrupt, file.path() + ": " + section.name + " claims an absurd size");
  }
  return size;
}

Status ReadUncompressed(const ElfFile& file, const ElfSection& section, uint64_t size_bytes,
                        uint8_t* out) {
  if (!IsCompressed(section)) return ReadPlain(file, section, size_bytes, out);
  if ((section.flags & SHF_COMPRESSED) != 0) {
    SF_ASSIGN_OR_RETURN(const Elf64_Chdr header, HeaderOf(file, section));
    if (header.ch_type == kElfCompressZstd) return InflateZstd(file, section, size_bytes, out);
  }
  return InflateZlib(file, section, size_bytes, out);
}

Result<FileBytes> ReadUncompressed(const ElfFile& file, const ElfSection& section,
                                   uint64_t max_bytes) {
  if (section.type == SHT_NOBITS) {
    return Status(Code::kNotFound,
                  file.path() + ": " + section.name + " has no bytes in this file");
  }
  SF_ASSIGN_OR_RETURN(const uint64_t size, UncompressedSize(file, section));
  if (size > max_bytes) {
    return Status(Code::kOverLimit, file.path() + ": " + section.name + ": too much to read");
  }
  FileBytes bytes(size);
  SF_RETURN_IF_ERROR(ReadUncompressed(file, section, size, bytes.data()));
  return bytes;
}

}  // namespace stillframe
