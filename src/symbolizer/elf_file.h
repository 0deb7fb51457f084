// One ELF file, read with pread and bounds checks: nothing is mapped, so a file that is truncated
// while we read it gives an error and not SIGBUS.
#ifndef STILLFRAME_SYMBOLIZER_ELF_FILE_H_
#define STILLFRAME_SYMBOLIZER_ELF_FILE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace stillframe {

struct ElfSection {
  std::string name;
  uint32_t type = 0;   // SHT_*
  uint64_t flags = 0;  // SHF_*
  LinkAddress address;
  FileOffset offset;
  uint64_t size_bytes = 0;
  uint32_t link = 0;
  uint64_t entry_size = 0;
};

struct ElfSegment {
  LinkAddress address;
  FileOffset offset;
  uint64_t file_size_bytes = 0;
  uint64_t memory_size_bytes = 0;
  uint32_t flags = 0;  // PF_*
};

// Addresses [start, end) that hold code.
struct CodeRange {
  LinkAddress start;
  LinkAddress end;
};

// .gnu_debuglink: the file name of the separate debug file and its CRC-32.
struct DebugLink {
  std::string file_name;
  uint32_t crc = 0;
};

using FileBytes = std::vector<uint8_t>;

class ElfFile {
 public:
  // Opens with O_CLOEXEC and reads headers and notes. Errors: kIoError, kCorrupt, kUnsupported
  // (not a 64-bit little-endian x86-64 file), kOverLimit.
  static Result<std::unique_ptr<ElfFile>> Open(const std::string& path);
  // The same for a file of dwz, which has debug information alone and is said to be relocatable.
  static Result<std::unique_ptr<ElfFile>> OpenShared(const std::string& path);
  // An open file; `path` is what it is called in messages.
  static Result<std::unique_ptr<ElfFile>> Adopt(UniqueFd fd, const std::string& path);

  const std::string& path() const { return path_; }
  int fd() const { return fd_.get(); }
  uint64_t size_bytes() const { return size_bytes_; }
  const std::string& build_id() const { return build_id_; }  // lower-case hex, "" when none
  const std::vector<ElfSection>& sections() const { return sections_; }
  const std::vector<ElfSegment>& load_segments() const { return load_segments_; }
  const std::optional<DebugLink>& debug_link() const { return debug_link_; }

  // First section of that name; nullptr when there is none.
  const ElfSection* FindSection(std::string_view name) const;
  // .debug_info, also in the two compressed spellings, with content.
  bool HasDwarf() const;
  // The stored bytes. Errors: kNotFound for SHT_NOBITS, kUnsupported for SHF_COMPRESSED,
  // kOverLimit.
  Result<FileBytes> ReadSection(const ElfSection& section) const;
  Result<FileBytes> ReadAt(FileOffset offset, uint64_t size_bytes) const;
  // Fills `bytes`; kCorrupt when the file has fewer.
  Status ReadInto(FileOffset offset, std::span<uint8_t> bytes) const;

  // Whether the address lies in an executable section (segment, when the file has no sections).
  bool IsCode(LinkAddress address) const;
  // Code from there on, at most as much as the file has in one segment; empty: it has none there.
  std::vector<uint8_t> ReadCode(LinkAddress address, uint32_t size_bytes) const;
  const std::vector<CodeRange>& code_ranges() const { return code_ranges_; }

 private:
  struct Header;
  ElfFile() = default;
  static Result<std::unique_ptr<ElfFile>> Open(const std::string& path, bool may_be_relocatable);
  static Result<std::unique_ptr<ElfFile>> Adopt(UniqueFd fd, const std::string& path,
                                                bool may_be_relocatable);
  Status ReadHeaders();
  Result<Header> ReadHeader() const;
  Status ReadSegments(const Header& header);
  Status ReadSections(const Header& header);
  void ReadNotes();
  void ParseNotes(std::span<const uint8_t> notes);
  bool Holds(FileOffset offset, uint64_t size_bytes) const;
  void ReadDebugLink();
  void CollectCodeRanges();

  std::string path_;
  bool may_be_relocatable_ = false;
  UniqueFd fd_;
  uint64_t size_bytes_ = 0;
  std::string build_id_;
  std::vector<ElfSection> sections_;
  std::vector<ElfSegment> load_segments_;
  std::vector<ElfSegment> note_segments_;
  std::vector<CodeRange> code_ranges_;
  std::optional<DebugLink> debug_link_;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_ELF_FILE_H_
