#include "symbolizer/split_package.h"

#include <dwarf.h>
#include <elf.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "symbolizer/byte_reader.h"

namespace stillframe {
namespace {

constexpr uint64_t kMaxIndexBytes = 128u << 20;
constexpr uint64_t kMaxUnitBytes = 256u << 20;
constexpr uint64_t kMaxStringBytes = 1u << 20;
constexpr uint64_t kStringChunkBytes = 64u << 10;

std::string IdText(uint64_t id) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%016llx", static_cast<unsigned long long>(id));
  return text;
}

// Strings of a section, read in ascending order of their offsets: no more than a chunk, or one
// string, of what may be hundreds of megabytes is in memory.
class StringReader {
 public:
  StringReader(const ElfFile& file, const ElfSection& section) : file_(file), section_(section) {}

  // The string at the offset with its final zero; empty when there is none.
  ByteSpan At(uint64_t offset) {
    for (uint64_t wanted = kStringChunkBytes; wanted <= kMaxStringBytes; wanted *= 2) {
      if (offset >= start_ && offset - start_ < chunk_.size()) {
        const uint8_t* const first = chunk_.data() + (offset - start_);
        const size_t room = chunk_.size() - (offset - start_);
        const void* const end = memchr(first, 0, room);
        if (end != nullptr) {
          return {first, static_cast<size_t>(static_cast<const uint8_t*>(end) - first) + 1};
        }
      }
      if (offset >= section_.size_bytes) return {};
      auto bytes = file_.ReadAt(FileOffset(section_.offset.value + offset),
                                std::min(wanted, section_.size_bytes - offset));
      if (!bytes.ok()) return {};
      start_ = offset;
      chunk_ = std::move(*bytes);
    }
    const void* const end = memchr(chunk_.data(), 0, chunk_.size());
    if (end == nullptr) return {};
    return {chunk_.data(),
            static_cast<size_t>(static_cast<const uint8_t*>(end) - chunk_.data()) + 1};
  }

 private:
  const ElfFile& file_;
  const ElfSection& section_;
  uint64_t start_ = 0;
  FileBytes chunk_;
};

uint32_t Read32(const FileBytes& bytes, size_t at) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

void AddSection(std::vector<DebugImage::Section>& sections, const char* name, FileBytes bytes) {
  if (bytes.empty()) return;
  DebugImage::Section section{};
  section.name = name;
  section.header.sh_type = SHT_PROGBITS;
  section.header.sh_size = bytes.size();
  section.write = [bytes = std::move(bytes)](uint8_t* out) {
    std::memcpy(out, bytes.data(), bytes.size());
    return Status();
  };
  sections.push_back(std::move(section));
}

}  // namespace

Status SplitPackage::Corrupt(const std::string& what) const {
  return Status(Code::kCorrupt, path() + ": " + what);
}

Result<std::unique_ptr<SplitPackage>> SplitPackage::Open(const std::string& path) {
  std::unique_ptr<SplitPackage> package(new SplitPackage);
  SF_ASSIGN_OR_RETURN(package->file_, ElfFile::OpenShared(path));
  const auto read = [&](const char* name, PackageIndex& index) -> Status {
    const ElfSection* const section = package->file_->FindSection(name);
    if (section == nullptr || section->size_bytes == 0) return Status();
    if (section->size_bytes > kMaxIndexBytes) {
      return Status(Code::kOverLimit, path + ": its index of units is too large");
    }
    SF_ASSIGN_OR_RETURN(const auto bytes, package->file_->ReadSection(*section));
    auto parsed = PackageIndex::Read(bytes);
    if (!parsed.ok()) return parsed.status().WithContext(path);
    index = std::move(parsed).value();
    return Status();
  };
  SF_RETURN_IF_ERROR(read(".debug_cu_index", package->units_));
  SF_RETURN_IF_ERROR(read(".debug_tu_index", package->types_));
  if (package->units_.units().empty()) {
    return Status(Code::kNoDebugInfo, path + " is no package of split units: it has no index");
  }
  return package;
}

Result<FileBytes> SplitPackage::Part(const char* name, PackagePart part) const {
  if (part.size_bytes == 0) return FileBytes();
  const ElfSection* const section = file_->FindSection(name);
  if (section == nullptr || section->type == SHT_NOBITS) {
    return Corrupt(std::string("its index names parts of ") + name + ", which it does not have");
  }
  if ((section->flags & SHF_COMPRESSED) != 0) {
    return Status(Code::kUnsupported, path() + ": " + name + " of a package is compressed");
  }
  if (part.offset > section->size_bytes || part.size_bytes > section->size_bytes - part.offset) {
    return Corrupt(std::string("its index names more than ") + name + " has");
  }
  if (part.size_bytes > kMaxUnitBytes) {
    return Status(Code::kOverLimit, path() + ": a unit is too large");
  }
  return file_->ReadAt(FileOffset(section->offset.value + part.offset), part.size_bytes);
}

// Units of one .dwo file share its abbreviations and strings.
bool SplitPackage::AreOfOneFile(const PackageUnit& a, const PackageUnit& b) {
  return a.part(PackageSection::kAbbreviations) == b.part(PackageSection::kAbbreviations) &&
         a.part(PackageSection::kStringOffsets) == b.part(PackageSection::kStringOffsets);
}

std::optional<uint64_t> SplitPackage::OwnerOfType(uint64_t signature) const {
  const PackageUnit* const type = types_.Find(signature);
  if (type == nullptr) return std::nullopt;
  for (const PackageUnit& unit : units_.units()) {
    if (AreOfOneFile(unit, *type)) return unit.id;
  }
  return std::nullopt;
}

Result<FileBytes> SplitPackage::TypeUnits(const PackageUnit& unit, PackageSection kind) const {
  FileBytes bytes;
  const char* const section =
      kind == PackageSection::kTypes ? ".debug_types.dwo" : ".debug_info.dwo";
  for (const PackageUnit& type : types_.units()) {
    if (!AreOfOneFile(type, unit)) continue;
    SF_ASSIGN_OR_RETURN(const auto more, Part(section, type.part(kind)));
    if (bytes.size() + more.size() > kMaxUnitBytes) {
      return Status(Code::kOverLimit, path() + ": type units are too large");
    }
    bytes.insert(bytes.end(), more.begin(), more.end());
  }
  return bytes;
}

// DWARF 5 §7.26: a length, a version and padding, then the offsets; before, the offsets alone.
Status SplitPackage::CutStrings(const PackageUnit& unit, FileBytes& offsets,
                                FileBytes& strings) const {
  SF_ASSIGN_OR_RETURN(offsets,
                      Part(".debug_str_offsets.dwo", unit.part(PackageSection::kStringOffsets)));
  const size_t header = units_.version() >= 5 ? 8 : 0;
  if (offsets.empty()) return Status();
  if (offsets.size() < header) return Corrupt(".debug_str_offsets.dwo is cut off");
  if (header != 0 && Read32(offsets, 0) >= 0xfffffff0) {
    return Status(Code::kUnsupported, path() + ": strings of 64-bit DWARF");
  }
  const ElfSection* const section = file_->FindSection(".debug_str.dwo");
  if (section == nullptr || section->type == SHT_NOBITS || (section->flags & SHF_COMPRESSED) != 0) {
    return Status(Code::kUnsupported, path() + ": .debug_str.dwo is missing or compressed");
  }
  std::vector<std::pair<uint32_t, uint32_t>> wanted;  // offset in the package, place in `offsets`
  for (size_t at = header; at + 4 <= offsets.size(); at += 4) {
    wanted.emplace_back(Read32(offsets, at), static_cast<uint32_t>(at));
  }
  std::sort(wanted.begin(), wanted.end());
  StringReader reader(*file_, *section);
  uint32_t copied = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (i == 0 || wanted[i].first != wanted[i - 1].first) {
      const ByteSpan text = reader.At(wanted[i].first);
      if (text.empty()) return Corrupt("a unit names a string that .debug_str.dwo does not have");
      if (strings.size() + text.size() > kMaxUnitBytes) {
        return Status(Code::kOverLimit, path() + ": a unit's strings are too large");
      }
      copied = static_cast<uint32_t>(strings.size());
      strings.insert(strings.end(), text.begin(), text.end());
    }
    std::memcpy(offsets.data() + wanted[i].second, &copied, sizeof copied);
  }
  return Status();
}

Result<std::unique_ptr<DebugImage>> SplitPackage::Cut(uint64_t id) const {
  const PackageUnit* const unit = units_.Find(id);
  if (unit == nullptr) {
    return Status(Code::kNotFound, path() + " has no unit " + IdText(id));
  }
  const bool v5 = units_.version() >= 5;
  SF_ASSIGN_OR_RETURN(auto info, Part(".debug_info.dwo", unit->part(PackageSection::kInfo)));
  if (v5) {  // DWARF 5 §7.5.1.2; before, the id is an attribute, which libdw compares
    ByteReader header(info);
    uint8_t offset_size = 4;
    header.InitialLength(&offset_size);
    const uint16_t version = header.U16();
    const uint8_t type = header.U8();
    header.Skip(1 + offset_size);
    const uint64_t found = header.U64();
    if (!header.ok() || version != 5 || type != DW_UT_split_compile) {
      return Corrupt("where unit " + IdText(id) + " should be is no split unit");
    }
    if (found != id) {
      return Status(Code::kBuildMismatch,
                    path() + " has unit " + IdText(found) + " where its index names " + IdText(id));
    }
    SF_ASSIGN_OR_RETURN(const auto types, TypeUnits(*unit, PackageSection::kInfo));
    info.insert(info.end(), types.begin(), types.end());
  }
  std::vector<DebugImage::Section> sections;
  AddSection(sections, ".debug_info.dwo", std::move(info));
  if (!v5) {
    SF_ASSIGN_OR_RETURN(auto types, TypeUnits(*unit, PackageSection::kTypes));
    AddSection(sections, ".debug_types.dwo", std::move(types));
  }
  const std::pair<const char*, PackageSection> rest[] = {
      {".debug_abbrev.dwo", PackageSection::kAbbreviations},
      {".debug_line.dwo", PackageSection::kLines},
      {v5 ? ".debug_loclists.dwo" : ".debug_loc.dwo", PackageSection::kLocations},
      {".debug_rnglists.dwo", PackageSection::kRanges}};
  for (const auto& [name, kind] : rest) {
    SF_ASSIGN_OR_RETURN(auto bytes, Part(name, unit->part(kind)));
    AddSection(sections, name, std::move(bytes));
  }
  FileBytes offsets, strings;
  SF_RETURN_IF_ERROR(CutStrings(*unit, offsets, strings));
  AddSection(sections, ".debug_str_offsets.dwo", std::move(offsets));
  AddSection(sections, ".debug_str.dwo", std::move(strings));
  return DebugImage::Make(std::move(sections), 2 * kMaxUnitBytes);
}

}  // namespace stillframe
