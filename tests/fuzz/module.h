// A module for readers that ask which addresses hold code: one executable segment and nothing else.
#ifndef STILLFRAME_TESTS_FUZZ_MODULE_H_
#define STILLFRAME_TESTS_FUZZ_MODULE_H_

#include <elf.h>

#include "symbolizer/elf_file.h"
#include "tests/fuzz/memory_file.h"

namespace stillframe::fuzz {

// Code at [0x1000, 0x100000).
inline const ElfFile& CodeModule() {
  static const std::unique_ptr<ElfFile> module = [] {
    struct {
      Elf64_Ehdr header{};
      Elf64_Phdr segment{};
    } image;
    std::memcpy(image.header.e_ident, ELFMAG, SELFMAG);
    image.header.e_ident[EI_CLASS] = ELFCLASS64;
    image.header.e_ident[EI_DATA] = ELFDATA2LSB;
    image.header.e_ident[EI_VERSION] = EV_CURRENT;
    image.header.e_type = ET_DYN;
    image.header.e_machine = EM_X86_64;
    image.header.e_version = EV_CURRENT;
    image.header.e_phoff = sizeof(Elf64_Ehdr);
    image.header.e_ehsize = sizeof(Elf64_Ehdr);
    image.header.e_phentsize = sizeof(Elf64_Phdr);
    image.header.e_phnum = 1;
    image.segment.p_type = PT_LOAD;
    image.segment.p_flags = PF_R | PF_X;
    image.segment.p_vaddr = 0x1000;
    image.segment.p_filesz = sizeof image;
    image.segment.p_memsz = 0xff000;
    const MemoryFile file({reinterpret_cast<const uint8_t*>(&image), sizeof image});
    auto opened = ElfFile::Open(file.path());
    SF_FUZZ_CHECK(opened.ok());
    return std::move(opened).value();
  }();
  return *module;
}

}  // namespace stillframe::fuzz

#endif  // STILLFRAME_TESTS_FUZZ_MODULE_H_
