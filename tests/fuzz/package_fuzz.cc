// Packages of split units (.dwp), as two sound programs whose units were split off read them: the
// index, the parts that are cut out, and what libdw and the plans make of the units.
#include <fcntl.h>
#include <unistd.h>

#include "symbolizer/symbolizer.h"
#include "tests/fuzz/elf_mutator.h"
#include "tests/fuzz/exercise.h"
#include "tests/fuzz/memory_file.h"

namespace stillframe {
namespace {

constexpr int kPackageFd = 100;
constexpr const char* kPrograms[] = {"split_4", "split_5"};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fuzz::MemoryFile file({data, size});
  const int fd = open(file.path().c_str(), O_RDONLY | O_CLOEXEC);
  SF_FUZZ_CHECK(fd >= 0 && dup3(fd, kPackageFd, O_CLOEXEC) == kPackageFd);
  close(fd);
  for (const char* program : kPrograms) {
    SymbolizerOptions options;
    options.max_sites = 64;
    // There the package of each program is whatever kPackageFd is.
    options.debug_path = {STILLFRAME_FUZZ_SEEDS "/from_fd"};
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
