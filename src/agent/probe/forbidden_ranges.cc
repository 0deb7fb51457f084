#include "agent/probe/forbidden_ranges.h"

#include <algorithm>

#include "agent/probe/module_file.h"

namespace stillframe::probe {
namespace {

constexpr uint64_t kMaxSequences = 4096;
constexpr uint64_t kMaxSymbolBytes = 256ull << 20;
constexpr uint64_t kSymbolsAtOnce = 4096;
constexpr uint64_t kLeastResolverBytes = 1;

// struct rseq_cs of linux/rseq.h.
struct RestartableSequence {
  uint32_t version;
  uint32_t flags;
  uint64_t start_ip;
  uint64_t post_commit_offset;
  uint64_t abort_ip;
};
static_assert(sizeof(RestartableSequence) == 32);

// The addresses in the section are relocated at load time, so they are read from memory.
void AddSequences(const Elf64_Shdr& section, uint64_t bias, TextSystem& system,
                  std::vector<ForbiddenRange>& ranges) {
  const uint64_t count =
      std::min<uint64_t>(section.sh_size / sizeof(RestartableSequence), kMaxSequences);
  for (uint64_t i = 0; i < count; ++i) {
    RestartableSequence sequence;
    const uint64_t address = bias + section.sh_addr + i * sizeof sequence;
    if (!system.Read(address, {reinterpret_cast<uint8_t*>(&sequence), sizeof sequence}).ok())
      return;
    const uint64_t end = sequence.start_ip + sequence.post_commit_offset;
    if (end <= sequence.start_ip) continue;
    ranges.push_back(
        {sequence.start_ip, end, "the site is in a restartable sequence, which must not be left"});
  }
}

void AddResolvers(const ModuleFile& file, const Elf64_Shdr& section,
                  std::vector<ForbiddenRange>& ranges) {
  if (section.sh_entsize != sizeof(Elf64_Sym) || section.sh_size > kMaxSymbolBytes) return;
  const uint64_t count = section.sh_size / sizeof(Elf64_Sym);
  std::vector<Elf64_Sym> symbols(std::min(count, kSymbolsAtOnce));
  for (uint64_t first = 0; first < count; first += symbols.size()) {
    symbols.resize(std::min(count - first, kSymbolsAtOnce));
    const std::span<uint8_t> bytes(reinterpret_cast<uint8_t*>(symbols.data()),
                                   symbols.size() * sizeof(Elf64_Sym));
    if (!file.ReadAt(section.sh_offset + first * sizeof(Elf64_Sym), bytes).ok()) return;
    for (const Elf64_Sym& symbol : symbols) {
      if (ELF64_ST_TYPE(symbol.st_info) != STT_GNU_IFUNC || symbol.st_shndx == SHN_UNDEF) continue;
      const uint64_t start = file.load_bias() + symbol.st_value;
      ranges.push_back({start, start + std::max<uint64_t>(symbol.st_size, kLeastResolverBytes),
                        "the loader runs this function to choose another (ifunc resolver)"});
    }
  }
}

}  // namespace

Result<std::vector<ForbiddenRange>> ReadForbiddenRanges(const Mapping& mapping,
                                                        TextSystem& system) {
  SF_ASSIGN_OR_RETURN(ModuleFile file, ModuleFile::Open(mapping));
  SF_RETURN_IF_ERROR(file.ReadHeaders(mapping));
  std::vector<ForbiddenRange> ranges;
  for (const Elf64_Shdr& section : file.sections()) {
    const std::string name = file.SectionName(section);
    if (name == ".plt" || name == ".plt.got" || name == ".plt.sec") {
      const uint64_t start = file.load_bias() + section.sh_addr;
      ranges.push_back({start, start + section.sh_size,
                        "the site is in the linkage table, which the loader fills"});
    } else if (name == "__rseq_cs") {
      AddSequences(section, file.load_bias(), system, ranges);
    } else if (section.sh_type == SHT_SYMTAB || section.sh_type == SHT_DYNSYM) {
      AddResolvers(file, section, ranges);
    }
  }
  return ranges;
}

Status CheckNotForbidden(const std::vector<ForbiddenRange>& ranges, uint64_t site) {
  for (const ForbiddenRange& range : ranges) {
    if (range.start <= site && site < range.end) return Status(Code::kUnsafeSite, range.why);
  }
  return Status();
}

}  // namespace stillframe::probe
