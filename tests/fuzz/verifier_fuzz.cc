// The bytecode verifier, and that what it accepts runs within its stack and without harm.
// Input: instructions of 4 bytes (op, a, b, imm), with b = 0x80 of 11.
#include "agent/hit/interpreter.h"
#include "plan/verifier.h"
#include "tests/fuzz/fuzz.h"

namespace stillframe {
namespace {

constexpr uint64_t kGuard = 0x5afe5afe5afe5afe;
constexpr size_t kGuards = 4;
constexpr size_t kCells = kMaxStack + hit::kSideCells;

// Memory that depends on the address alone; a third of it cannot be read.
bool Read(void*, uint64_t address, void* out, uint32_t size_bytes) {
  std::memset(out, static_cast<int>(address), size_bytes);
  return address % 3 != 0;
}

void RunVerified(const std::vector<Insn>& code) {
  uint64_t cells[kCells + 2 * kGuards];
  for (uint64_t& cell : cells) cell = kGuard;
  uint64_t registers[kRegisterCount] = {1, 2, 3, ~uint64_t{0}};
  const uint8_t xmm[kXmmCount][16] = {};
  const hit::EntryValues entry{{7, 8, 9}, 0x5, 0, Code::kOk};
  hit::FrameContext frame{};
  frame.registers = registers;
  frame.valid_registers = 0x0fff;
  frame.cfa_known = 1;
  frame.cfa = 0x7000;
  frame.load_bias = 0x10000;
  frame.xmm = xmm;
  frame.entry = &entry;
  const hit::MemoryReader memory{&Read, nullptr};
  const hit::StringRef strings[] = {{"", 0}, {"abc", 3}};
  (void)hit::EvaluateWithStack(cells + kGuards, code.data(), static_cast<uint32_t>(code.size()),
                               frame, memory, strings);
  for (size_t i = 0; i < kGuards; ++i) {
    SF_FUZZ_CHECK(cells[i] == kGuard);
    SF_FUZZ_CHECK(cells[kGuards + kCells + i] == kGuard);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  std::vector<Insn> code;
  while (!input.empty() && code.size() <= kMaxProgramLength + 1) {
    Insn insn;
    // One byte for the displacement or constant of most instructions: fewer bytes to get right.
    insn.op = static_cast<Op>(input.Byte());
    insn.a = input.Byte();
    insn.b = input.Byte();
    insn.imm = insn.b == 0x80 ? input.Take<int64_t>() : input.Take<int8_t>();
    if (insn.b == 0x80) insn.b = 0;
    code.push_back(insn);
  }
  const Program program{0, static_cast<uint32_t>(code.size())};
  if (VerifyProgram(code, program, 2).ok() && !code.empty()) RunVerified(code);
  return 0;
}

}  // namespace stillframe
