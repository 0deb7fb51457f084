#include "symbolizer/package_index.h"

#include <algorithm>
#include <optional>
#include <string>

namespace stillframe {
namespace {

constexpr uint32_t kMaxUnits = 1u << 20;
constexpr uint32_t kMaxSlots = 1u << 22;
constexpr uint32_t kMaxColumns = 16;

// DW_SECT_* (DWARF 5 table 7.1) and DW_SECT_* of version 2, where some numbers mean something else.
std::optional<PackageSection> ColumnOf(uint16_t version, uint32_t number) {
  switch (number) {
    case 1:
      return PackageSection::kInfo;
    case 2:
      if (version == 2) return PackageSection::kTypes;
      return std::nullopt;
    case 3:
      return PackageSection::kAbbreviations;
    case 4:
      return PackageSection::kLines;
    case 5:
      return PackageSection::kLocations;
    case 6:
      return PackageSection::kStringOffsets;
    case 8:
      if (version == 5) return PackageSection::kRanges;
      return std::nullopt;
    default:
      return std::nullopt;  // macros
  }
}

Status CutOff() { return Status(Code::kCorrupt, "the index of units is cut off"); }

}  // namespace

//   version (2 bytes and 2 of padding, or 4) | columns | units | slots     4 bytes each
//   id of each slot, 8 bytes | row of each slot, from 1; 0 = empty, 4 bytes
//   what each column is | rows of offsets | rows of sizes, 4 bytes each
Result<PackageIndex> PackageIndex::Read(ByteSpan section) {
  ByteReader reader(section);
  PackageIndex index;
  const uint32_t version = reader.U32();
  index.version_ = static_cast<uint16_t>(version);
  const uint32_t columns = reader.U32(), units = reader.U32(), slots = reader.U32();
  if (!reader.ok()) return CutOff();
  if (version != 2 && index.version_ != 5) {
    return Status(Code::kUnsupported,
                  "its index of units has version " + std::to_string(index.version_));
  }
  if (units > kMaxUnits || slots > kMaxSlots || columns > kMaxColumns) {
    return Status(Code::kOverLimit, "its index of units is too large");
  }
  ByteReader ids(reader.Bytes(uint64_t{slots} * 8));
  ByteReader rows(reader.Bytes(uint64_t{slots} * 4));
  std::vector<std::optional<PackageSection>> kinds(columns);
  for (auto& kind : kinds) kind = ColumnOf(index.version_, reader.U32());
  const uint64_t row_bytes = uint64_t{columns} * 4;
  const ByteSpan offsets = reader.Bytes(row_bytes * units);
  const ByteSpan sizes = reader.Bytes(row_bytes * units);
  if (!reader.ok()) return CutOff();
  for (uint32_t slot = 0; slot < slots; ++slot) {
    PackageUnit unit;
    unit.id = ids.U64();
    const uint32_t row = rows.U32();
    if (row == 0) continue;
    if (row > units || index.units_.size() >= units) {
      return Status(Code::kCorrupt, "a slot of its index names a unit that is not there");
    }
    ByteReader offset(offsets, (row - 1) * row_bytes), size(sizes, (row - 1) * row_bytes);
    for (const auto& kind : kinds) {
      const PackagePart part{offset.U32(), size.U32()};
      if (kind) unit.parts[static_cast<size_t>(*kind)] = part;
    }
    index.units_.push_back(unit);
  }
  std::sort(index.units_.begin(), index.units_.end(),
            [](const PackageUnit& a, const PackageUnit& b) { return a.id < b.id; });
  return index;
}

const PackageUnit* PackageIndex::Find(uint64_t id) const {
  const auto at =
      std::lower_bound(units_.begin(), units_.end(), id,
                       [](const PackageUnit& unit, uint64_t wanted) { return unit.id < wanted; });
  return at != units_.end() && at->id == id ? &*at : nullptr;
}

}  // namespace stillframe
