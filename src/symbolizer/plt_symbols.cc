#include "symbolizer/plt_symbols.h"

#include <elf.h>

#include <cstring>
#include <unordered_map>

#include "symbolizer/byte_reader.h"
#include "symbolizer/symbol_table.h"

namespace stillframe {
namespace {

// GOT entry address -> name of the symbol whose address the loader puts there.
using GotNames = std::unordered_map<uint64_t, std::string>;

void AddRelocations(const ElfFile& module, const ElfSection& section, const FileBytes& symbols,
                    const FileBytes& strings, GotNames& names) {
  const auto relocations = module.ReadSection(section);
  if (!relocations.ok()) return;
  for (size_t at = 0; at + sizeof(Elf64_Rela) <= relocations->size(); at += sizeof(Elf64_Rela)) {
    Elf64_Rela raw;
    memcpy(&raw, relocations->data() + at, sizeof raw);
    const uint64_t type = ELF64_R_TYPE(raw.r_info);
    const uint64_t index = ELF64_R_SYM(raw.r_info);
    if ((type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) || index == 0) continue;
    ByteReader reader(symbols, index * sizeof(Elf64_Sym));
    const std::string_view name = ByteReader(strings, reader.U32()).CString();
    if (reader.ok() && !name.empty()) names.emplace(raw.r_offset, std::string(name));
  }
}

GotNames ReadGotNames(const ElfFile& module) {
  GotNames names;
  const ElfSection* table = module.FindSection(".dynsym");
  if (table == nullptr || table->link >= module.sections().size()) return names;
  const auto symbols = module.ReadSection(*table);
  const auto strings = module.ReadSection(module.sections()[table->link]);
  if (!symbols.ok() || !strings.ok()) return names;
  for (const char* section_name : {".rela.plt", ".rela.dyn"}) {
    const ElfSection* section = module.FindSection(section_name);
    if (section != nullptr) AddRelocations(module, *section, *symbols, *strings, names);
  }
  return names;
}

// The GOT entry that a slot jumps through: `jmp *disp32(%rip)`, ff 25 xx xx xx xx, perhaps after
// `endbr64` (f3 0f 1e fa) and a `bnd` prefix (f2). 0 when the slot holds no such jump.
uint64_t GotEntryOf(ByteSpan slot, uint64_t address) {
  for (size_t i = 0; i + 6 <= slot.size() && i < 6; ++i) {
    if (slot[i] != 0xff || slot[i + 1] != 0x25) continue;
    int32_t displacement;
    memcpy(&displacement, slot.data() + i + 2, sizeof displacement);
    return address + i + 6 + static_cast<uint64_t>(static_cast<int64_t>(displacement));
  }
  return 0;
}

}  // namespace

std::vector<PltSymbol> ReadPltSymbols(const ElfFile& module) {
  std::vector<PltSymbol> found;
  GotNames names;
  for (const ElfSection& section : module.sections()) {
    const bool got = section.name == ".plt.got";
    if (!got && section.name != ".plt" && section.name != ".plt.sec") continue;
    const auto bytes = module.ReadSection(section);
    if (!bytes.ok()) continue;
    if (names.empty()) names = ReadGotNames(module);
    // .plt.got slots are 8 bytes without `endbr64`, which the linker says in the entry size.
    const uint64_t slot_size = got && section.entry_size == 8 ? 8 : 16;
    for (uint64_t at = 0; at + slot_size <= bytes->size(); at += slot_size) {
      const LinkAddress start = section.address + at;
      const auto name =
          names.find(GotEntryOf(ByteSpan(*bytes).subspan(at, slot_size), start.value));
      if (name != names.end()) {
        found.push_back({start, slot_size, name->second});
      }
    }
  }
  return found;
}

}  // namespace stillframe
