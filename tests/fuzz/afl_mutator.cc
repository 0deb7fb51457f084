// The mutator of ELF files as a library for AFL++, whose driver does not call a target's own
// LLVMFuzzerCustomMutator: AFL_CUSTOM_MUTATOR_LIBRARY, set by tools/fuzz. Loaded into afl-fuzz, so
// it is built without instrumentation.
#include "tests/fuzz/byte_mutator.h"
#include "tests/fuzz/elf_mutator.h"
#include "tests/fuzz/fuzz.h"

namespace {

struct State {
  std::vector<uint8_t> out;
};

}  // namespace

extern "C" {

// The functions' signatures are AFL++'s: docs/custom_mutators.md there.
__attribute__((visibility("default"))) void* afl_custom_init(void* /*afl*/, unsigned seed) {
  stillframe::fuzz::SeedRandom(seed);
  return new State;
}

__attribute__((visibility("default"))) size_t afl_custom_fuzz(void* data, uint8_t* bytes,
                                                              size_t size, uint8_t** out,
                                                              uint8_t* /*other*/,
                                                              size_t /*other_size*/,
                                                              size_t max_size) {
  std::vector<uint8_t>& buffer = static_cast<State*>(data)->out;
  const size_t room = std::min(max_size, size + 64);
  buffer.assign(bytes, bytes + std::min(size, room));
  const size_t used = buffer.size();
  buffer.resize(room);
  const auto seed = static_cast<unsigned>(stillframe::fuzz::Random(1u << 31));
  *out = buffer.data();
  return stillframe::fuzz::MutateElf(buffer.data(), used, room, seed);
}

__attribute__((visibility("default"))) void afl_custom_deinit(void* data) {
  delete static_cast<State*>(data);
}

}  // extern "C"
