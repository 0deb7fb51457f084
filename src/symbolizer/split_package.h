// A package of split units, PROGRAM.dwp, and single units cut out of it.
//
// libdw 0.188 knows .dwo files and no packages: in a package, every offset that a unit holds counts
// from the unit's own part of a section, which only the package's index knows. So a unit gets what
// it had before it was packed: a file of its own, with its parts as the whole sections and of the
// package's strings those that it names.
#ifndef STILLFRAME_SYMBOLIZER_SPLIT_PACKAGE_H_
#define STILLFRAME_SYMBOLIZER_SPLIT_PACKAGE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "symbolizer/debug_image.h"
#include "symbolizer/elf_file.h"
#include "symbolizer/package_index.h"

namespace stillframe {

class SplitPackage {
 public:
  // Errors: ElfFile::Open's, kCorrupt, kUnsupported, kOverLimit; kNoDebugInfo: no index of units.
  static Result<std::unique_ptr<SplitPackage>> Open(const std::string& path);

  const std::string& path() const { return file_->path(); }
  // The .dwo file of the compile unit with that id: the unit, and type units that were packed with
  // it. Type units that the package keeps once for several files are with one of them only: see
  // OwnerOfType.
  // Errors: kNotFound (no such unit), kBuildMismatch (the index is wrong about it), kCorrupt,
  // kUnsupported (compressed sections), kOverLimit, kIoError.
  Result<std::unique_ptr<DebugImage>> Cut(uint64_t id) const;
  // Id of the compile unit that the type unit was packed with; nullopt: there is no such type unit.
  std::optional<uint64_t> OwnerOfType(uint64_t signature) const;

 private:
  SplitPackage() = default;
  static bool AreOfOneFile(const PackageUnit& a, const PackageUnit& b);
  Status Corrupt(const std::string& what) const;
  Result<FileBytes> Part(const char* section, PackagePart part) const;
  Result<FileBytes> TypeUnits(const PackageUnit& unit, PackageSection kind) const;
  Status CutStrings(const PackageUnit& unit, FileBytes& offsets, FileBytes& strings) const;

  std::unique_ptr<ElfFile> file_;
  PackageIndex units_;
  PackageIndex types_;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_SPLIT_PACKAGE_H_
