// LLVMFuzzerMutate (fuzz.h) where libFuzzer is not the driver: in the replay and in AFL++'s
// mutator.
#ifndef STILLFRAME_TESTS_FUZZ_BYTE_MUTATOR_H_
#define STILLFRAME_TESTS_FUZZ_BYTE_MUTATOR_H_

#include <cstdint>

namespace stillframe::fuzz {

// What LLVMFuzzerMutate does from here on depends on the seed alone.
void SeedRandom(uint64_t seed);
uint64_t Random(uint64_t below);

}  // namespace stillframe::fuzz

#endif  // STILLFRAME_TESTS_FUZZ_BYTE_MUTATOR_H_
