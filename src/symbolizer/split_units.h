// The split unit (.dwo) of a skeleton unit: from a package when there is one, else from the file
// that the skeleton names, which libdw opens.
//
// libdw takes a split unit only from a file that it opens by the name in the skeleton, and it links
// the two by that alone. So the names in our image of the debug information are made to say
// /proc/thread-self/fd/N, and N, a descriptor of this process, is made to be the unit that is
// wanted before libdw is asked for it.
//
// One thread. The descriptor is the table's of the thread that makes this.
#ifndef STILLFRAME_SYMBOLIZER_SPLIT_UNITS_H_
#define STILLFRAME_SYMBOLIZER_SPLIT_UNITS_H_

#include <elfutils/libdw.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "symbolizer/debug_image.h"
#include "symbolizer/split_package.h"
#include "symbolizer/type_units.h"

namespace stillframe {

class SplitUnits : private dwarf::TypeUnitSource {
 public:
  // Takes the first of the packages that is there and is one. Never fails: WhyNone tells.
  explicit SplitUnits(const std::vector<std::string>& packages);
  ~SplitUnits() override;
  SplitUnits(const SplitUnits&) = delete;
  SplitUnits& operator=(const SplitUnits&) = delete;

  // Whether the units of `dwarf` are in files (.dwo) that libdw cannot read: compressed by zstd.
  // Then name() is not empty from now on.
  bool TakesFiles(Dwarf* dwarf);
  // What the image has to hold as one string more; "" when there is no package and no such file.
  const std::string& name() const { return name_; }
  // The image that the skeletons are in. Needed when name() is not empty.
  void set_image(DebugImage* image) { image_ = image; }

  // The split unit; nullopt when the DIE is no skeleton's root or the unit is not to be had.
  std::optional<Dwarf_Die> BodyOf(const Dwarf_Die& skeleton);
  // Roots of the type units that are in the file of such a split unit.
  const std::vector<Dwarf_Die>& TypeUnitsBeside(const Dwarf_Die& body);
  // Why a unit has no functions: kNoDebugInfo, or kBuildMismatch when what should be its split unit
  // is another one.
  Status WhyNone(const Dwarf_Die& unit) const;

 private:
  struct Known {
    std::optional<Dwarf_Die> body;
    Status why_none;
  };
  // Of a type unit that the package keeps with another unit, which is supplied for that.
  std::optional<Dwarf_Die> TypeUnit(uint64_t signature) override;
  std::optional<Dwarf_Die> SkeletonOf(uint64_t id);
  Known Find(Dwarf_Die skeleton, uint64_t id);
  Status Supply(Dwarf_Die skeleton, uint64_t id);
  Status SupplyFile(Dwarf_Die skeleton, const std::string& path);
  Status Hand(Dwarf_Die skeleton, const DebugImage& unit);
  Status OpenPlace();
  Status NameSupplied(Dwarf_Die skeleton);

  std::unique_ptr<SplitPackage> package_;
  Status package_status_;  // of the first one that is there and cannot be used
  UniqueFd fd_;
  std::string name_;
  DebugImage* image_ = nullptr;
  uint64_t supplied_bytes_ = 0;
  std::unordered_map<const void*, Known> known_;       // by address of the skeleton's root
  Dwarf* dwarf_ = nullptr;                             // that the skeletons are in
  std::unordered_map<uint64_t, Dwarf_Die> skeletons_;  // by id; filled when one is looked for
  std::unordered_map<uint64_t, std::optional<Dwarf_Die>> type_units_;  // by signature
  std::unordered_map<const Dwarf*, std::vector<Dwarf_Die>> beside_;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_SPLIT_UNITS_H_
