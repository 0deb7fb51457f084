#include "tests/fuzz/elf_mutator.h"

#include <elf.h>

#include <array>
#include <optional>
#include <random>

#include "tests/fuzz/fuzz.h"

namespace stillframe::fuzz {
namespace {

struct Section {
  size_t header;  // offset of its Elf64_Shdr
  size_t offset;
  size_t size;
  bool debug;
};

template <typename T>
std::optional<T> ReadAt(const uint8_t* data, size_t size, uint64_t offset) {
  if (offset > size || size - offset < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, data + offset, sizeof value);
  return value;
}

// Sections with content in the file.
std::vector<Section> ReadSections(const uint8_t* data, size_t size) {
  std::vector<Section> sections;
  const auto header = ReadAt<Elf64_Ehdr>(data, size, 0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return sections;
  const auto shdr = [&](uint64_t index) {
    return ReadAt<Elf64_Shdr>(data, size, header->e_shoff + index * sizeof(Elf64_Shdr));
  };
  const auto names = shdr(header->e_shstrndx);
  for (uint64_t i = 1; i < header->e_shnum; ++i) {
    const auto section = shdr(i);
    if (!section || !names) break;
    const bool inside = section->sh_offset < size && section->sh_size <= size - section->sh_offset;
    if (section->sh_type == SHT_NOBITS || section->sh_size == 0 || !inside) continue;
    const uint64_t name_at = names->sh_offset + section->sh_name;
    const auto name = ReadAt<std::array<char, 6>>(data, size, name_at);
    const bool debug = name && std::memcmp(name->data(), ".debug", 6) == 0;
    sections.push_back(
        {header->e_shoff + i * sizeof(Elf64_Shdr), section->sh_offset, section->sh_size, debug});
  }
  return sections;
}

class Mutator {
 public:
  Mutator(uint8_t* data, size_t size, unsigned seed) : data_(data), size_(size), random_(seed) {}

  void MutateSection(const Section& section) {
    uint8_t* const bytes = data_ + section.offset;
    switch (Below(6)) {
      case 0:  // a varint of the longest kind, or the end of one gone
        for (size_t at = Below(section.size), i = 0; i < 12 && at < section.size; ++i, ++at) {
          bytes[at] |= 0x80;
        }
        return;
      case 1: {  // an offset or address near others
        if (section.size < 8) return;
        uint32_t word;
        const size_t at = Below(section.size - 3);
        std::memcpy(&word, bytes + at, sizeof word);
        word += static_cast<uint32_t>(Below(64)) - 32;
        std::memcpy(bytes + at, &word, sizeof word);
        return;
      }
      case 2: {  // a piece of the section elsewhere in it
        const size_t count = 1 + Below(std::min<size_t>(section.size, 64));
        std::memmove(bytes + Below(section.size - count + 1),
                     bytes + Below(section.size - count + 1), count);
        return;
      }
      default: {
        const size_t count = std::min<size_t>(section.size, 1 + Below(32));
        const size_t at = Below(section.size - count + 1);
        LLVMFuzzerMutate(bytes + at, count, count);  // what it cuts off simply stays
      }
    }
  }

  // The section's own header: where it lies, how long it is, what it is linked to.
  void MutateHeader(const Section& section) {
    Elf64_Shdr header;
    std::memcpy(&header, data_ + section.header, sizeof header);
    switch (Below(6)) {
      case 0:
        header.sh_size = Below(section.size + 1);
        break;
      case 1:
        header.sh_size += 1 + Below(64);
        break;
      case 2:
        header.sh_offset = Below(size_);
        break;
      case 3:
        header.sh_flags ^= SHF_COMPRESSED;
        break;
      case 4:
        header.sh_link = static_cast<uint32_t>(Below(64));
        break;
      default:
        header.sh_entsize = Below(64);
    }
    std::memcpy(data_ + section.header, &header, sizeof header);
  }

  size_t Below(size_t limit) { return limit == 0 ? 0 : random_() % limit; }

 private:
  uint8_t* data_;
  size_t size_;
  std::mt19937 random_;
};

}  // namespace

size_t MutateElf(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  const std::vector<Section> sections = ReadSections(data, size);
  Mutator mutator(data, size, seed);
  if (sections.empty() || mutator.Below(64) == 0) return LLVMFuzzerMutate(data, size, max_size);
  if (mutator.Below(64) == 0) return 1 + mutator.Below(size);  // cut off
  for (size_t steps = 1 + mutator.Below(3); steps > 0; --steps) {
    const Section& section = sections[mutator.Below(sections.size())];
    // Debug sections are what most of the reading is about.
    if (!section.debug && mutator.Below(4) != 0) {
      ++steps;
      continue;
    }
    mutator.Below(24) == 0 ? mutator.MutateHeader(section) : mutator.MutateSection(section);
  }
  return size;
}

}  // namespace stillframe::fuzz
