#include "symbolizer/debug_file.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/hex.h"
#include "symbolizer/byte_reader.h"

namespace stillframe {
namespace {

constexpr char kSystemDebugFolder[] = "/usr/lib/debug";
constexpr uint64_t kCrcChunkBytes = 1u << 16;
// A debug file matched by checksum is read whole; past this it takes too long for a background job.
constexpr uint64_t kMaxCrcBytes = uint64_t{4} << 30;

// The CRC of .gnu_debuglink: IEEE 802.3, reflected (GDB manual, "Separate Debug Files").
constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb88320u : 0);
    table[i] = value;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = MakeCrcTable();

Result<uint32_t> FileCrc(const ElfFile& file) {
  if (file.size_bytes() > kMaxCrcBytes) {
    return Status(Code::kOverLimit, file.path() + ": too large to check its CRC");
  }
  uint32_t crc = ~0u;
  for (uint64_t offset = 0; offset < file.size_bytes(); offset += kCrcChunkBytes) {
    const uint64_t size = std::min(kCrcChunkBytes, file.size_bytes() - offset);
    SF_ASSIGN_OR_RETURN(const auto bytes, file.ReadAt(FileOffset(offset), size));
    for (const uint8_t byte : bytes) crc = kCrcTable[(crc ^ byte) & 0xff] ^ (crc >> 8);
  }
  return ~crc;
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

std::vector<std::string> Candidates(const ElfFile& module, const std::string& module_path,
                                    const std::vector<std::string>& debug_path) {
  std::vector<std::string> folders = debug_path;
  folders.push_back(kSystemDebugFolder);
  std::vector<std::string> candidates;
  const std::string& id = module.build_id();
  if (id.size() > 2) {
    for (const std::string& folder : folders) {
      candidates.push_back(folder + "/.build-id/" + id.substr(0, 2) + "/" + id.substr(2) +
                           ".debug");
    }
  }
  if (module.debug_link()) {
    const std::string& name = module.debug_link()->file_name;
    const std::string folder = FolderOf(module_path);
    candidates.push_back(folder + "/" + name);
    candidates.push_back(folder + "/.debug/" + name);
    for (const std::string& root : folders) {
      candidates.push_back(root + "/" + name);
      candidates.push_back(root + "/" + folder + "/" + name);
    }
  }
  return candidates;
}

// OK when `candidate` holds the DWARF of `module`.
Status CheckMatch(const ElfFile& module, const ElfFile& candidate) {
  if (!candidate.HasDwarf()) {
    return Status(Code::kNoDebugInfo, candidate.path() + " holds no .debug_info");
  }
  if (!module.build_id().empty()) {
    if (candidate.build_id() == module.build_id()) return Status();
    return Status(Code::kBuildMismatch, candidate.path() + " has build-id '" +
                                            candidate.build_id() + "', the module has '" +
                                            module.build_id() + "'");
  }
  SF_ASSIGN_OR_RETURN(const uint32_t crc, FileCrc(candidate));
  if (crc == module.debug_link()->crc) return Status();
  return Status(Code::kBuildMismatch,
                candidate.path() + " does not have the CRC that the module's debug link names");
}

}  // namespace

DebugFile FindDebugFile(const ElfFile& module, const std::string& module_path,
                        const std::vector<std::string>& debug_path) {
  DebugFile found;
  if (module.HasDwarf()) {
    found.path = module.path();
    return found;
  }
  found.status = Status(Code::kNoDebugInfo,
                        module_path + " has no .debug_info and no separate debug file was found " +
                            (module.build_id().empty() ? "(it has no build-id)"
                                                       : "for build-id " + module.build_id()));
  for (const std::string& path : Candidates(module, module_path, debug_path)) {
    if (access(path.c_str(), R_OK) != 0) continue;
    auto candidate = ElfFile::Open(path);
    const Status match = candidate.ok() ? CheckMatch(module, **candidate) : candidate.status();
    if (match.ok()) {
      found.status = Status();
      found.path = path;
      found.separate = std::move(candidate).value();
      return found;
    }
    // The most telling reason wins: a wrong build explains more than "nothing found".
    if (found.status.code() != Code::kBuildMismatch && match.code() == Code::kBuildMismatch) {
      found.status = match;
    }
  }
  return found;
}

std::vector<std::string> PackageCandidates(const ElfFile& module, const std::string& module_path,
                                           const std::string& debug_file,
                                           const std::vector<std::string>& debug_path) {
  constexpr std::string_view kDebugSuffix = ".debug";
  std::vector<std::string> candidates{module_path + ".dwp"};
  if (!debug_file.empty() && debug_file != module_path) {
    candidates.push_back(debug_file + ".dwp");
    if (debug_file.ends_with(kDebugSuffix)) {
      candidates.push_back(debug_file.substr(0, debug_file.size() - kDebugSuffix.size()) + ".dwp");
    }
  }
  std::vector<std::string> folders = debug_path;
  folders.push_back(kSystemDebugFolder);
  const std::string& id = module.build_id();
  const std::string name = module_path.substr(module_path.rfind('/') + 1) + ".dwp";
  for (const std::string& root : folders) {
    if (id.size() > 2) {
      candidates.push_back(root + "/.build-id/" + id.substr(0, 2) + "/" + id.substr(2) + ".dwp");
    }
    candidates.push_back(root + "/" + name);
    candidates.push_back(root + "/" + FolderOf(module_path) + "/" + name);
  }
  return candidates;
}

Result<std::optional<SharedLink>> ReadSharedLink(const ElfFile& file) {
  constexpr uint64_t kMaxLinkBytes = 4096;
  const ElfSection* const section = file.FindSection(".gnu_debugaltlink");
  if (section == nullptr) return std::optional<SharedLink>();
  const auto corrupt = [&file](const char* what) {
    return Status(Code::kCorrupt, file.path() + ": .gnu_debugaltlink " + what);
  };
  if (section->size_bytes > kMaxLinkBytes) return corrupt("is too long");
  SF_ASSIGN_OR_RETURN(const auto bytes, file.ReadSection(*section));
  ByteReader reader(bytes);
  SharedLink link;
  link.name = reader.CString();
  link.build_id = ToHex(reader.Bytes(reader.remaining()));
  if (!reader.ok() || link.name.empty() || link.build_id.size() <= 2) return corrupt("is cut off");
  return std::optional<SharedLink>(std::move(link));
}

}  // namespace stillframe
