// Packages of split units (.dwp), as two sound programs whose units were split off read them: the
// index, the parts that are cut out, and what libdw and the plans make of the units.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>

#include "symbolizer/symbolizer.h"
#include "tests/fuzz/elf_mutator.h"
#include "tests/fuzz/exercise.h"
#include "tests/fuzz/memory_file.h"

namespace stillframe {
namespace {

constexpr int kPackageFd = 100;
constexpr const char* kPrograms[] = {"split_4", "split_5"};

// A folder where the package of each program is whatever kPackageFd is.
class Folder {
 public:
  Folder() {
    char name[] = "/tmp/stillframe-fuzz-XXXXXX";
    SF_FUZZ_CHECK(mkdtemp(name) != nullptr);
    path_ = name;
    for (const char* program : kPrograms) {
      std::filesystem::create_symlink("/proc/self/fd/" + std::to_string(kPackageFd),
                                      path_ + "/" + program + ".dwp");
    }
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  const fuzz::MemoryFile file({data, size});
  const int fd = open(file.path().c_str(), O_RDONLY | O_CLOEXEC);
  SF_FUZZ_CHECK(fd >= 0 && dup3(fd, kPackageFd, O_CLOEXEC) == kPackageFd);
  close(fd);
  for (const char* program : kPrograms) {
    SymbolizerOptions options;
    options.max_sites = 64;
    options.debug_path = {folder.path()};
    const auto symbolizer = Symbolizer::Create(options);
    const auto module =
        symbolizer->OpenModule(std::string(STILLFRAME_FUZZ_SEEDS) + "/" + program, "");
    SF_FUZZ_CHECK(module.ok());
    fuzz::Exercise(**module);
  }
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  return fuzz::MutateElf(data, size, max_size, seed);
}

}  // namespace stillframe
