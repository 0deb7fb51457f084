// .debug_cu_index and .debug_tu_index of a package of split units: which parts of the package's
// sections are one unit's (DWARF 5 §7.3.5; version 2: "DebugFissionDWP" of the GCC wiki).
#ifndef STILLFRAME_SYMBOLIZER_PACKAGE_INDEX_H_
#define STILLFRAME_SYMBOLIZER_PACKAGE_INDEX_H_

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "symbolizer/byte_reader.h"

namespace stillframe {

enum class PackageSection : uint8_t {
  kInfo,
  kTypes,  // DWARF 4
  kAbbreviations,
  kLines,
  kLocations,  // .debug_loc.dwo or .debug_loclists.dwo
  kStringOffsets,
  kRanges,  // DWARF 5
};
constexpr size_t kPackageSectionCount = 7;

// Bytes [offset, offset + size) of a section; not checked against the section.
struct PackagePart {
  uint32_t offset = 0;
  uint32_t size_bytes = 0;

  bool operator==(const PackagePart&) const = default;
};

struct PackageUnit {
  uint64_t id = 0;  // dwo_id, or the signature of a type unit
  std::array<PackagePart, kPackageSectionCount> parts{};

  const PackagePart& part(PackageSection section) const {
    return parts[static_cast<size_t>(section)];
  }
};

class PackageIndex {
 public:
  PackageIndex() = default;  // of no units
  // Errors: kCorrupt, kUnsupported (a version that is not known), kOverLimit.
  static Result<PackageIndex> Read(ByteSpan section);

  uint16_t version() const { return version_; }  // 2 (units of DWARF 4) or 5
  // nullptr: there is none.
  const PackageUnit* Find(uint64_t id) const;
  std::span<const PackageUnit> units() const { return units_; }

 private:
  uint16_t version_ = 0;
  std::vector<PackageUnit> units_;  // by id
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_PACKAGE_INDEX_H_
