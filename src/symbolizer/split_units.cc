#include "symbolizer/split_units.h"

#include <dwarf.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "symbolizer/byte_reader.h"
#include "symbolizer/dwarf_util.h"
#include "symbolizer/memory_file.h"
#include "symbolizer/section_bytes.h"

namespace stillframe {
namespace {

// Units stay in memory as long as the module's debug information is open.
constexpr uint64_t kMaxSuppliedBytes = 512u << 20;

std::optional<Dwarf_Attribute> SplitName(Dwarf_Die unit) {
  Dwarf_Attribute found;
  for (const unsigned attribute : {DW_AT_dwo_name, DW_AT_GNU_dwo_name}) {
    if (dwarf_attr(&unit, attribute, &found) != nullptr) return found;
  }
  return std::nullopt;
}

// Of the skeleton of a unit that was split off to a file of its own: that file; "" for others.
std::string SplitFileName(const Dwarf_Die& unit) {
  auto attribute = SplitName(unit);
  const char* const name = attribute ? dwarf_formstring(&*attribute) : nullptr;
  return name == nullptr || *name == '\0' ? "" : dwarf::AbsolutePath(unit, name);
}

constexpr char kMemoryName[] = "stillframe-split-unit";
// How many units are asked for their files' sections: a build writes all in one way.
constexpr int kUnitsAsked = 64;
constexpr uint32_t kMaxSkeletons = 1u << 20;
constexpr uint32_t kMaxTypeDies = 1u << 16;     // of one type unit
constexpr uint64_t kMaxFileBytes = 256u << 20;  // of one .dwo, uncompressed

// The DIE below `parent` that begins there: where a type unit's header says that its type is, libdw
// does not check.
std::optional<Dwarf_Die> DieAt(const Dwarf_Die& parent, const void* address, int depth,
                               uint32_t& left) {
  constexpr int kMaxDepth = 32;
  std::optional<Dwarf_Die> found;
  dwarf::ForEachChild(parent, [&](const Dwarf_Die& child) {
    if (left == 0) return false;
    --left;
    if (child.addr == address) found = child;
    if (!found && depth < kMaxDepth) found = DieAt(child, address, depth + 1, left);
    return !found;
  });
  return found;
}

// A file with sections that libelf 0.188 does not decompress, or with units in several sections of
// one name, of which libdw reads one: GCC writes type units so.
bool IsBeyondLibdw(const std::string& path) {
  if (path.empty() || access(path.c_str(), R_OK) != 0) return false;
  const auto file = ElfFile::OpenShared(path);
  if (!file.ok()) return false;
  int infos = 0, types = 0;
  for (const ElfSection& section : (*file)->sections()) {
    if (IsCompressedByZstd(**file, section)) return true;
    infos += PlainName(section) == ".debug_info.dwo" ? 1 : 0;
    types += PlainName(section) == ".debug_types.dwo" ? 1 : 0;
  }
  return infos > 1 || types > 1;
}

// The index that a form of the DW_FORM_strx family holds.
std::optional<uint64_t> StringIndex(unsigned form, ByteReader& reader) {
  switch (form) {
    case DW_FORM_strx:
    case DW_FORM_GNU_str_index:
      return reader.Uleb();
    case DW_FORM_strx1:
      return reader.U8();
    case DW_FORM_strx2:
      return reader.U16();
    case DW_FORM_strx3: {
      const uint64_t low = reader.U16();
      return low | uint64_t{reader.U8()} << 16;
    }
    case DW_FORM_strx4:
      return reader.U32();
    default:
      return std::nullopt;
  }
}

}  // namespace

SplitUnits::SplitUnits(const std::vector<std::string>& packages) {
  for (const std::string& path : packages) {
    if (access(path.c_str(), F_OK) != 0) continue;
    auto opened = SplitPackage::Open(path);
    if (!opened.ok()) {
      if (package_status_.ok()) package_status_ = opened.status();
      continue;
    }
    if (const Status status = OpenPlace(); !status.ok()) {
      package_status_ = status.WithContext("units of " + path);
      return;
    }
    package_ = std::move(opened).value();
    package_status_ = Status();
    return;
  }
}

// Where libdw is made to look for what is supplied.
Status SplitUnits::OpenPlace() {
  SF_ASSIGN_OR_RETURN(fd_, MakeMemoryFile(kMemoryName));
  name_ = "/proc/thread-self/fd/" + std::to_string(fd_.get());
  return Status();
}

bool SplitUnits::TakesFiles(Dwarf* dwarf) {
  if (!name_.empty()) return false;
  Dwarf_CU* unit = nullptr;
  uint8_t type = 0;
  Dwarf_Die root;
  for (int i = 0; i < kUnitsAsked; ++i) {
    if (dwarf_get_units(dwarf, unit, &unit, nullptr, &type, &root, nullptr) != 0) return false;
    if (type != DW_UT_skeleton || !IsBeyondLibdw(SplitFileName(root))) continue;
    return OpenPlace().ok();
  }
  return false;
}

// Makes the skeleton's DW_AT_dwo_name say name_: the offset of the string in .debug_info, or in the
// table that the form looks in.
Status SplitUnits::NameSupplied(Dwarf_Die skeleton) {
  const auto unsupported = [](const char* what) {
    return Status(Code::kUnsupported, std::string("the name of its split unit is ") + what);
  };
  const auto attribute = SplitName(skeleton);
  if (!attribute) return unsupported("missing");
  uint8_t address_size = 0, offset_size = 0;
  Dwarf_Die unit;
  if (dwarf_diecu(&skeleton, &unit, &address_size, &offset_size) == nullptr) {
    return unsupported("in no unit");
  }
  auto* const bytes = reinterpret_cast<uint8_t*>(image_->data());
  const uint8_t* const value = attribute->valp;
  if (value < bytes || value >= bytes + image_->size_bytes()) return unsupported("out of reach");
  uint64_t place = static_cast<uint64_t>(value - bytes);
  const char* section = ".debug_str";
  if (attribute->form == DW_FORM_line_strp) {
    section = ".debug_line_str";
  } else if (attribute->form != DW_FORM_strp) {
    ByteReader reader(ByteSpan(bytes, image_->size_bytes()), place);
    const auto index = StringIndex(attribute->form, reader);
    if (!index || !reader.ok()) return unsupported("not in a table of strings");
    Dwarf_Attribute found;
    Dwarf_Word base = attribute->form == DW_FORM_GNU_str_index ? 0 : 2 * offset_size;
    if (dwarf_attr(&skeleton, DW_AT_str_offsets_base, &found) != nullptr &&
        dwarf_formudata(&found, &base) != 0) {
      return unsupported("in a table without a base");
    }
    const DebugImage::Place table = image_->Find(".debug_str_offsets");
    const uint64_t at = base + *index * offset_size;
    if (*index > table.size_bytes || base > table.size_bytes ||
        at + offset_size > table.size_bytes) {
      return unsupported("outside its table");
    }
    place = table.offset + at;
  }
  const uint64_t string = image_->AppendedTo(section);
  if (string == 0 || place + offset_size > image_->size_bytes()) return unsupported("out of reach");
  std::memcpy(bytes + place, &string, offset_size);  // little-endian, as ElfFile has checked
  return Status();
}

Status SplitUnits::Supply(Dwarf_Die skeleton, uint64_t id) {
  SF_ASSIGN_OR_RETURN(const auto unit, package_->Cut(id));
  return Hand(skeleton, *unit).WithContext(package_->path());
}

// kNotFound: libdw can read the file itself.
Status SplitUnits::SupplyFile(Dwarf_Die skeleton, const std::string& path) {
  if (!IsBeyondLibdw(path)) return Status(Code::kNotFound, "");
  SF_ASSIGN_OR_RETURN(const auto file, ElfFile::OpenShared(path));
  SF_ASSIGN_OR_RETURN(const auto unit, DebugImage::Read(*file, kMaxFileBytes));
  return Hand(skeleton, *unit).WithContext(path);
}

Status SplitUnits::Hand(Dwarf_Die skeleton, const DebugImage& unit) {
  if (supplied_bytes_ + unit.size_bytes() > kMaxSuppliedBytes) {
    return Status(Code::kOverLimit, "too many split units at once");
  }
  const ByteSpan bytes(reinterpret_cast<const uint8_t*>(unit.data()), unit.size_bytes());
  SF_ASSIGN_OR_RETURN(const UniqueFd file, MakeMemoryFile(kMemoryName, bytes));
  SF_RETURN_IF_ERROR(NameSupplied(skeleton));
  if (dup3(file.get(), fd_.get(), O_CLOEXEC) < 0) return ErrnoStatus("dup3", errno);
  supplied_bytes_ += unit.size_bytes();
  return Status();
}

std::optional<Dwarf_Die> SplitUnits::BodyOf(const Dwarf_Die& skeleton) {
  uint8_t type = 0;
  uint64_t id = 0;
  Dwarf_Die root;
  if (dwarf_cu_info(skeleton.cu, nullptr, &type, &root, nullptr, &id, nullptr, nullptr) != 0 ||
      type != DW_UT_skeleton) {
    return std::nullopt;
  }
  const auto known = known_.find(root.addr);
  if (known != known_.end()) return known->second.body;
  return known_.emplace(root.addr, Find(root, id)).first->second.body;
}

SplitUnits::~SplitUnits() { dwarf::RemoveTypeUnitSource(this); }

std::optional<Dwarf_Die> SplitUnits::SkeletonOf(uint64_t id) {
  if (skeletons_.empty() && dwarf_ != nullptr) {
    Dwarf_CU* unit = nullptr;
    uint8_t type = 0;
    Dwarf_Die root;
    while (skeletons_.size() < kMaxSkeletons &&
           dwarf_get_units(dwarf_, unit, &unit, nullptr, &type, &root, nullptr) == 0) {
      uint64_t own = 0;
      if (type != DW_UT_skeleton ||
          dwarf_cu_info(unit, nullptr, nullptr, nullptr, nullptr, &own, nullptr, nullptr) != 0) {
        continue;
      }
      skeletons_.emplace(own, root);
    }
  }
  const auto found = skeletons_.find(id);
  return found == skeletons_.end() ? std::nullopt : std::optional(found->second);
}

const std::vector<Dwarf_Die>& SplitUnits::TypeUnitsBeside(const Dwarf_Die& body) {
  Dwarf* const dwarf = dwarf_cu_getdwarf(body.cu);
  const auto [entry, is_new] = beside_.try_emplace(dwarf);
  Dwarf_CU* unit = nullptr;
  uint8_t type = 0;
  Dwarf_Die root;
  while (is_new && entry->second.size() < kMaxSkeletons &&
         dwarf_get_units(dwarf, unit, &unit, nullptr, &type, &root, nullptr) == 0) {
    if (type == DW_UT_type || type == DW_UT_split_type) entry->second.push_back(root);
  }
  return entry->second;
}

std::optional<Dwarf_Die> SplitUnits::TypeUnit(uint64_t signature) {
  const auto known = type_units_.find(signature);
  if (known != type_units_.end()) return known->second;
  std::optional<Dwarf_Die>& found = type_units_[signature];
  const auto owner = package_ == nullptr ? std::nullopt : package_->OwnerOfType(signature);
  const auto skeleton = owner ? SkeletonOf(*owner) : std::nullopt;
  const auto body = skeleton ? BodyOf(*skeleton) : std::nullopt;
  if (!body) return found;
  Dwarf* const dwarf = dwarf_cu_getdwarf(body->cu);
  Dwarf_CU* unit = nullptr;
  uint8_t type = 0;
  Dwarf_Die root, described;
  for (uint32_t i = 0; i < kMaxSkeletons; ++i) {
    if (dwarf_get_units(dwarf, unit, &unit, nullptr, &type, &root, &described) != 0) break;
    uint64_t own = 0;
    const bool is_type = type == DW_UT_type || type == DW_UT_split_type;
    if (!is_type ||
        dwarf_cu_info(unit, nullptr, nullptr, nullptr, nullptr, &own, nullptr, nullptr) != 0) {
      continue;
    }
    if (own != signature) continue;
    uint32_t left = kMaxTypeDies;
    found = DieAt(root, described.addr, 0, left);
    break;
  }
  return found;
}

SplitUnits::Known SplitUnits::Find(Dwarf_Die skeleton, uint64_t id) {
  dwarf_ = dwarf_cu_getdwarf(skeleton.cu);
  const std::string file = SplitFileName(skeleton);  // as the compiler named it
  Status supplied(Code::kNoDebugInfo, "");
  if (package_ != nullptr) supplied = Supply(skeleton, id);
  const bool by_file = !supplied.ok() && !name_.empty();
  if (by_file) {
    const Status status = SupplyFile(skeleton, file);
    if (!status.ok() && status.code() != Code::kNotFound) {
      return {std::nullopt, status.WithContext("the debug information of this code was split off")};
    }
  }
  Dwarf_Die root, body{};
  if (dwarf_cu_info(skeleton.cu, nullptr, nullptr, &root, &body, nullptr, nullptr, nullptr) == 0 &&
      dwarf::Tag(body) == DW_TAG_compile_unit) {
    if (package_ != nullptr) dwarf::AddTypeUnitSource(dwarf_cu_getdwarf(body.cu), this);
    return {body, Status()};
  }
  if (supplied.ok()) {
    return {std::nullopt, Status(Code::kBuildMismatch,
                                 package_->path() + ": what its index names as the debug "
                                                    "information of this code is another unit")};
  }
  const std::string what = "the debug information of this code was split off to " + file;
  if (access(file.c_str(), F_OK) == 0) {
    return {std::nullopt,
            Status(Code::kBuildMismatch, what + ", which is of another build or damaged")};
  }
  std::string why = ", which is not there";
  if (package_ != nullptr) {
    why += "; " + supplied.message();
  } else if (!package_status_.ok()) {
    why += "; " + package_status_.message();
  } else {
    why += ", and there is no package (.dwp) beside the program or on STILLFRAME_DEBUG_PATH";
  }
  const bool mismatch = supplied.code() == Code::kBuildMismatch;
  return {std::nullopt, Status(mismatch ? Code::kBuildMismatch : Code::kNoDebugInfo, what + why)};
}

Status SplitUnits::WhyNone(const Dwarf_Die& unit) const {
  const auto known = known_.find(unit.addr);
  if (known != known_.end() && !known->second.why_none.ok()) return known->second.why_none;
  return Status(Code::kNoDebugInfo, "no function in the debug information covers this address");
}

}  // namespace stillframe
