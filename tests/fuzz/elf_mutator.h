// Mutates ELF files so that most of them are still taken for ELF files: the header and the section
// table stay, and what changes lies in the sections that the symbolizer reads.
#ifndef STILLFRAME_TESTS_FUZZ_ELF_MUTATOR_H_
#define STILLFRAME_TESTS_FUZZ_ELF_MUTATOR_H_

#include <cstddef>
#include <cstdint>

namespace stillframe::fuzz {

// As LLVMFuzzerCustomMutator. Files that are no 64-bit ELF files are mutated anywhere.
size_t MutateElf(uint8_t* data, size_t size, size_t max_size, unsigned seed);

}  // namespace stillframe::fuzz

#endif  // STILLFRAME_TESTS_FUZZ_ELF_MUTATOR_H_
