// The location reader: the input is the expression of a variable in an otherwise sound file. What
// is made of it passes the verifier and runs. Input: 1 byte which type, then at most 256 of
// expression.
#include <elfutils/libdw.h>

#include <fstream>
#include <iterator>

#include "agent/hit/interpreter.h"
#include "plan/verifier.h"
#include "symbolizer/frame_compiler.h"
#include "tests/fuzz/fuzz.h"

namespace stillframe {
namespace {

constexpr std::string_view kPlaceholder = "STILLFRAME-LOCATION-PLACEHOLDER!";
constexpr size_t kPlaceholderBytes = 256;
// The variable's DW_AT_type lies before the expression's length of two bytes; 16 bytes wide, int
// and double follow each other in the file.
constexpr size_t kTypeBefore = 6;
constexpr uint8_t kTypeOffsets[] = {0, 8, 15};
constexpr char kNop = static_cast<char>(0x96);

struct Template {
  std::string file;
  size_t at;  // of the expression
};

const Template& Load() {
  static const Template loaded = [] {
    std::ifstream in(STILLFRAME_FUZZ_SEEDS "/expressions", std::ios::binary);
    std::string file((std::istreambuf_iterator<char>(in)), {});
    const size_t at = file.find(kPlaceholder);
    SF_FUZZ_CHECK(at != std::string::npos);
    return Template{std::move(file), at};
  }();
  return loaded;
}

bool Read(void*, uint64_t address, void* out, uint32_t size_bytes) {
  std::memset(out, static_cast<int>(address), size_bytes);
  return address % 5 != 0;
}

void RunAll(const PlanUnit& unit) {
  uint64_t registers[kRegisterCount] = {};
  const uint8_t xmm[kXmmCount][16] = {};
  hit::FrameContext frame{};
  frame.registers = registers;
  frame.valid_registers = 0xffff;
  frame.cfa_known = 1;
  frame.cfa = 0x7000;
  frame.xmm = xmm;
  const hit::MemoryReader memory{&Read, nullptr};
  std::vector<hit::StringRef> strings;
  for (const std::string& text : unit.strings) strings.push_back({text.data(), text.size()});
  const auto run = [&](const Program& program) {
    if (program.empty()) return;
    (void)hit::Evaluate(&unit.code[program.first], program.count, frame, memory, strings.data());
  };
  for (const Variable& variable : unit.variables) run(variable.location.program);
  for (const Piece& piece : unit.pieces) run(piece.program);
}

void Compile(Dwarf* dwarf) {
  Dwarf_CU* cu = nullptr;
  Dwarf_Die unit_die;
  uint8_t type = 0;
  if (dwarf_get_units(dwarf, nullptr, &cu, nullptr, &type, &unit_die, nullptr) != 0) return;
  Dwarf_Addr pc = 0;
  if (dwarf_lowpc(&unit_die, &pc) != 0) return;
  for (const bool innermost : {true, false}) {
    PlanUnit unit;
    const auto compiler = FrameCompiler::Create(dwarf, nullptr, unit);
    (void)compiler->AddFrame(&unit_die, LinkAddress(pc + 4), LinkAddress(pc + 4), innermost);
    const auto scope = compiler->OpenScope(&unit_die, LinkAddress(pc + 4));
    if (scope != nullptr) (void)scope->Find("variable");
    const Status status = VerifyUnit(unit);
    if (!status.ok()) fuzz::Broken("units verify", __FILE__, __LINE__, status.ToString());
    RunAll(unit);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Template& sound = Load();
  if (size == 0 || size > kPlaceholderBytes + 1) return 0;
  std::string file = sound.file;
  file.replace(sound.at, kPlaceholderBytes, std::string(kPlaceholderBytes, kNop));
  file.replace(sound.at, size - 1, reinterpret_cast<const char*>(data) + 1, size - 1);
  file[sound.at - kTypeBefore] = static_cast<char>(file[sound.at - kTypeBefore] +
                                                   kTypeOffsets[data[0] % std::size(kTypeOffsets)]);
  elf_version(EV_CURRENT);
  Elf* const elf = elf_memory(file.data(), file.size());
  Dwarf* const dwarf = dwarf_begin_elf(elf, DWARF_C_READ, nullptr);
  SF_FUZZ_CHECK(dwarf != nullptr);
  Compile(dwarf);
  dwarf_end(dwarf);
  elf_end(elf);
  return 0;
}

}  // namespace stillframe
