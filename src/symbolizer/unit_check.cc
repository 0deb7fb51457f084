#include "symbolizer/unit_check.h"

#include <dwarf.h>
#include <gelf.h>

#include <cstdio>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "symbolizer/abbrev_table.h"

namespace stillframe {
namespace {

constexpr uint64_t kMaxRootBytes = 64u << 20;  // of abbreviations, and so many for each byte:
constexpr uint64_t kMaxRootBytesPerByte = 16;
constexpr size_t kGiveBackEvery = 256;  // units
// dwarf_siblingof goes over all that is below an entry that does not name its sibling. A walk's
// cost is therefore the sum of each entry's bytes and attributes times how often it is gone over.
// GCC names siblings; Clang does not, and its units come to less than ten times their bytes.
constexpr uint64_t kMaxCost = 16u << 20;
constexpr uint64_t kMaxCostPerByte = 32;
constexpr size_t kMaxDepth = 4096;
constexpr uint64_t kMaxRanges = 256u << 10;

struct UnitHeader {
  uint64_t end = 0;    // offset of the next unit
  uint64_t root = 0;   // of the first entry
  uint64_t table = 0;  // in .debug_abbrev
  uint16_t version = 0;
  uint8_t address_size = 0;
  uint8_t offset_size = 4;
};

// DWARF 5 §7.5.1; nullopt when it cannot be read, which ends the section for libdw, too.
std::optional<UnitHeader> ReadHeader(ByteSpan section, uint64_t at, bool is_types) {
  ByteReader reader(section, at);
  UnitHeader header;
  const uint64_t length = reader.InitialLength(&header.offset_size);
  if (!reader.ok() || length > reader.remaining()) return std::nullopt;
  header.end = reader.position() + length;
  header.version = reader.U16();
  uint8_t type = is_types ? DW_UT_type : DW_UT_compile;
  if (header.version >= 5) {
    type = reader.U8();
    header.address_size = reader.U8();
  }
  header.table = reader.Unsigned(header.offset_size);
  if (header.version < 5) header.address_size = reader.U8();
  const bool has_id = type == DW_UT_skeleton || type == DW_UT_split_compile;
  if (has_id && header.version >= 5) reader.Skip(8);
  if (type == DW_UT_type || type == DW_UT_split_type) reader.Skip(8 + header.offset_size);
  header.root = reader.position();
  if (!reader.ok() || header.root > header.end) return std::nullopt;
  return header;
}

class RootCheck {
 public:
  RootCheck(const UnitSections& sections, const std::function<void()>& give_back)
      : sections_(sections), give_back_(give_back) {
    const uint64_t bytes =
        sections.info.size() + sections.types.size() + sections.abbreviations.size();
    left_ = left_of_tables_ = kMaxRootBytes + kMaxRootBytesPerByte * bytes;
  }

  Status Run(ByteSpan units, bool is_types) {
    for (uint64_t at = 0; at < units.size();) {
      const auto header = ReadHeader(units, at, is_types);
      if (!header) return Status();
      const uint64_t code = ByteReader(units, header->root).Uleb();
      SF_RETURN_IF_ERROR(CheckRoot(header->table, code));
      if (++count_ % kGiveBackEvery == 0) give_back_();
      at = header->end;
    }
    return Status();
  }

 private:
  // libdw reads the table up to there for each unit anew.
  Status CheckRoot(uint64_t table, uint64_t code) {
    const auto [known, is_new] = costs_.try_emplace({table, code}, 0);
    const uint64_t before = left_;
    if (!is_new && known->second > left_) {
      return Status(Code::kOverLimit, "its tables of .debug_abbrev are too much to read");
    }
    if (is_new) {
      SF_RETURN_IF_ERROR(AbbrevTable::Check(sections_.abbreviations, table, code, left_));
      known->second = before - left_;
    } else {
      left_ -= known->second;
    }
    if (!sections_.whole_tables || !tables_.insert(table).second) return Status();
    return AbbrevTable::Check(sections_.abbreviations, table, 0, left_of_tables_);
  }

  const UnitSections& sections_;
  const std::function<void()>& give_back_;
  std::map<std::pair<uint64_t, uint64_t>, uint64_t> costs_;  // by table and code of the root
  std::set<uint64_t> tables_;
  uint64_t left_ = 0;
  uint64_t left_of_tables_ = 0;
  size_t count_ = 0;
};

// Goes to the end of an attribute's value; what it is when it is an offset in the unit. A form that
// is not known fails, as it does in libdw.
uint64_t SkipValue(ByteReader& reader, uint64_t form, const UnitHeader& header) {
  switch (form) {
    case DW_FORM_flag_present:
    case DW_FORM_implicit_const:
      return 0;
    case DW_FORM_data1:
    case DW_FORM_flag:
    case DW_FORM_strx1:
    case DW_FORM_addrx1:
    case DW_FORM_ref1:
      return reader.U8();
    case DW_FORM_data2:
    case DW_FORM_strx2:
    case DW_FORM_addrx2:
    case DW_FORM_ref2:
      return reader.U16();
    case DW_FORM_strx3:
    case DW_FORM_addrx3:
      return reader.Skip(3), 0;
    case DW_FORM_data4:
    case DW_FORM_strx4:
    case DW_FORM_addrx4:
    case DW_FORM_ref_sup4:
    case DW_FORM_ref4:
      return reader.U32();
    case DW_FORM_data8:
    case DW_FORM_ref_sig8:
    case DW_FORM_ref_sup8:
    case DW_FORM_ref8:
      return reader.U64();
    case DW_FORM_data16:
      return reader.Skip(16), 0;
    case DW_FORM_addr:
      return reader.Skip(header.address_size), 0;
    case DW_FORM_ref_addr:
      return reader.Skip(header.version < 3 ? header.address_size : header.offset_size), 0;
    case DW_FORM_strp:
    case DW_FORM_line_strp:
    case DW_FORM_strp_sup:
    case DW_FORM_sec_offset:
    case DW_FORM_GNU_ref_alt:
    case DW_FORM_GNU_strp_alt:
      return reader.Skip(header.offset_size), 0;
    case DW_FORM_udata:
    case DW_FORM_sdata:  // as long as an unsigned one
    case DW_FORM_strx:
    case DW_FORM_addrx:
    case DW_FORM_loclistx:
    case DW_FORM_rnglistx:
    case DW_FORM_GNU_addr_index:
    case DW_FORM_GNU_str_index:
    case DW_FORM_ref_udata:
      return reader.Uleb();
    case DW_FORM_string:
      return reader.CString(), 0;
    case DW_FORM_block1:
      return reader.Skip(reader.U8()), 0;
    case DW_FORM_block2:
      return reader.Skip(reader.U16()), 0;
    case DW_FORM_block4:
      return reader.Skip(reader.U32()), 0;
    case DW_FORM_block:
    case DW_FORM_exprloc:
      return reader.Skip(reader.Uleb()), 0;
    case DW_FORM_indirect: {
      const uint64_t real = reader.Uleb();
      if (real == DW_FORM_indirect || real == DW_FORM_implicit_const) return reader.Fail(), 0;
      return SkipValue(reader, real, header);
    }
    default:
      return reader.Fail(), 0;
  }
}

// A unit's entries in the order of the file, as our walks and libdw's dwarf_siblingof meet them.
class TreeCheck {
 public:
  TreeCheck(ByteSpan section, uint64_t begin, const UnitHeader& header, const AbbrevTable& table,
            const Dwarf_Die& unit)
      : section_(section.first(header.end)),
        begin_(begin),
        header_(header),
        table_(table),
        unit_(unit) {
    const uint64_t size = header.end - begin;
    left_ = kMaxCost + kMaxCostPerByte * size;
    ranges_left_ = kMaxRanges + size / 2;
  }

  Status Run() {
    uint64_t at = header_.root;
    do {
      if (at >= header_.end) return Status();
      if (section_[at] == 0) {
        SF_ASSIGN_OR_RETURN(at, Leave(at + 1));
        continue;
      }
      const uint64_t next = Read(at);
      if (!status_.ok()) return status_;
      if (next == 0) {
        SF_ASSIGN_OR_RETURN(at, Recover(at));
      } else {
        at = next;
      }
    } while (at != 0 && !open_.empty());
    return Status();
  }

 private:
  struct Open {
    uint64_t sibling;  // 0: not named
    uint64_t rounds;   // how many of the entries around go over what is in this one
  };

  // Behind the entry, or where its sibling is when it has no children; 0 when it cannot be read.
  uint64_t Read(uint64_t at) {
    ByteReader reader(section_, at);
    const AbbrevTable::Entry* const entry = table_.Find(reader.Uleb());
    if (!reader.ok() || entry == nullptr) return 0;
    uint64_t sibling = 0;
    bool has_ranges = false;
    for (const AbbrevAttribute& attribute : table_.AttributesOf(*entry)) {
      const uint64_t value = SkipValue(reader, attribute.form, header_);
      if (attribute.name == DW_AT_sibling) sibling = value;
      has_ranges = has_ranges || attribute.name == DW_AT_ranges;
    }
    if (!reader.ok()) return 0;
    const uint64_t rounds = 1 + (open_.empty() ? 0 : open_.back().rounds);
    const uint64_t cost = (reader.position() - at + entry->count) * rounds;
    if (cost > left_ || open_.size() >= kMaxDepth) return Refuse("nests its entries too deep");
    left_ -= cost;
    if (has_ranges && !CountRanges(at)) return Refuse("has too many ranges of addresses");
    if (sibling != 0) {  // libdw refuses others, too
      if (sibling >= header_.end - begin_ || sibling <= at - begin_) return 0;
      sibling += begin_;
      if (sibling < reader.position()) return Refuse(kSiblingInside);
    }
    if (entry->has_children) {
      open_.push_back({sibling, sibling != 0 ? 0 : rounds});
    } else if (sibling != 0) {
      return sibling;
    }
    return reader.position();
  }

  // The children of the innermost open entry end at `at`: what comes next; 0 for nothing.
  Result<uint64_t> Leave(uint64_t at) {
    if (open_.empty()) return uint64_t{0};
    const uint64_t sibling = open_.back().sibling;
    open_.pop_back();
    if (sibling != 0 && sibling < at) return Refuse(kSiblingInside), status_;
    return sibling != 0 ? sibling : at;
  }

  // Where walks go on that met something unreadable: behind the innermost entry around it that
  // names its sibling.
  Result<uint64_t> Recover(uint64_t at) {
    while (!open_.empty()) {
      const uint64_t sibling = open_.back().sibling;
      open_.pop_back();
      if (sibling != 0 && sibling <= at) return Refuse(kSiblingInside), status_;
      if (sibling != 0) return sibling;
    }
    return uint64_t{0};
  }

  bool CountRanges(uint64_t at) {
    Dwarf_Die die = unit_;
    die.addr = const_cast<uint8_t*>(section_.data()) + at;  // NOLINT: libdw's type
    die.abbrev = nullptr;
    Dwarf_Addr base = 0, start = 0, end = 0;
    for (ptrdiff_t offset = 0; (offset = dwarf_ranges(&die, offset, &base, &start, &end)) > 0;) {
      if (ranges_left_ == 0) return false;
      --ranges_left_;
    }
    return true;
  }

  uint64_t Refuse(const char* what) {
    char unit[64];
    std::snprintf(unit, sizeof unit, "the unit at 0x%llx of the debug information ",
                  static_cast<unsigned long long>(begin_));
    status_ = Status(Code::kCorrupt, std::string(unit) + what);
    return 0;
  }

  static constexpr const char* kSiblingInside = "has an entry whose sibling is inside it";

  ByteSpan section_;
  uint64_t begin_;
  const UnitHeader& header_;
  const AbbrevTable& table_;
  const Dwarf_Die& unit_;
  std::vector<Open> open_;  // the entries around, outermost first
  uint64_t left_ = 0;
  uint64_t ranges_left_ = 0;
  Status status_;
};

struct Found {
  ByteSpan section;        // with the unit
  ByteSpan abbreviations;  // that go with it
  bool is_types = false;
};

// By libdw's own handle: the unit may be of a file that libdw opened.
Found FindSections(const Dwarf_Die& unit) {
  Found found;
  Elf* const elf = dwarf_getelf(dwarf_cu_getdwarf(unit.cu));
  size_t names = 0;
  if (elf == nullptr || elf_getshdrstrndx(elf, &names) != 0) return found;
  ByteSpan plain, split;
  bool is_split = false;
  const auto* const address = static_cast<const uint8_t*>(unit.addr);
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr;
       section = elf_nextscn(elf, section)) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type == SHT_NOBITS) continue;
    const char* const text = elf_strptr(elf, names, header.sh_name);
    const std::string_view name = text == nullptr ? "" : text;
    const bool is_info = name.find("debug_info") != std::string_view::npos;
    const bool is_types = name.find("debug_types") != std::string_view::npos;
    const bool is_abbrev = name.find("debug_abbrev") != std::string_view::npos;
    if (!is_info && !is_types && !is_abbrev) continue;
    const Elf_Data* const data = elf_getdata(section, nullptr);
    if (data == nullptr || data->d_buf == nullptr) continue;
    const ByteSpan bytes(static_cast<const uint8_t*>(data->d_buf), data->d_size);
    if (is_abbrev) (name.ends_with(".dwo") ? split : plain) = bytes;
    if (is_abbrev || address < bytes.data() || address >= bytes.data() + bytes.size()) continue;
    found.section = bytes;
    found.is_types = is_types;
    is_split = name.ends_with(".dwo");
  }
  found.abbreviations = is_split ? split : plain;
  return found;
}

}  // namespace

Status CheckUnitRoots(const UnitSections& sections, const std::function<void()>& give_back) {
  RootCheck check(sections, give_back);
  SF_RETURN_IF_ERROR(check.Run(sections.info, false));
  return check.Run(sections.types, true);
}

Status CheckUnit(const Dwarf_Die& unit) {
  Dwarf_Die root = unit;
  const Found found = FindSections(unit);
  if (found.section.empty()) return Status();
  const auto* const address = static_cast<const uint8_t*>(unit.addr);
  const auto at = static_cast<uint64_t>(address - found.section.data());
  const uint64_t offset = dwarf_cuoffset(&root);  // in the unit
  if (offset > at) return Status();
  const auto header = ReadHeader(found.section, at - offset, found.is_types);
  if (!header || header->root != at) return Status();
  uint64_t max_bytes = kMaxRootBytes + found.abbreviations.size();
  SF_ASSIGN_OR_RETURN(const AbbrevTable table,
                      AbbrevTable::Read(found.abbreviations, header->table, max_bytes));
  return TreeCheck(found.section, at - offset, *header, table, unit).Run();
}

bool UnitChecks::MayRead(const Dwarf_Die& unit) {
  const auto [known, is_new] = known_.try_emplace(unit.addr, true);
  if (!is_new) return known->second;
  const Status status = CheckUnit(unit);
  if (refused_.ok()) refused_ = status;
  return known->second = status.ok();
}

}  // namespace stillframe
