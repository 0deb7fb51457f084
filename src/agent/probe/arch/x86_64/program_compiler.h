// From verified bytecode (plan/program.h) to machine code inside a trampoline.
//
// The code computes what the interpreter computes, or gives up: whatever it cannot do - an operator
// it does not know, memory outside of what is known to be readable, a fault - leads to `bail`, and
// the interpreter starts from the beginning. Programs have no side effects, so that is always
// right.
//
// Hit-path contract of the emitted code: as in trampoline.cc. RAX is scratch, RCX is kept, and only
// the registers named by `registers_used` are changed besides.
#ifndef STILLFRAME_AGENT_PROBE_ARCH_X86_64_PROGRAM_COMPILER_H_
#define STILLFRAME_AGENT_PROBE_ARCH_X86_64_PROGRAM_COMPILER_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "agent/hit/hit.h"
#include "agent/probe/arch/arch.h"
#include "agent/probe/arch/x86_64/assembler.h"
#include "base/status.h"

namespace stillframe::probe::arch {

// Cell i of the program's stack lives in kCellRegisters[i].
inline constexpr Register kCellRegisters[] = {kRdx, kRsi, kRdi, kR8, kR9, kR10, kR11};
inline constexpr uint32_t kMaxCells = sizeof kCellRegisters / sizeof kCellRegisters[0];

// Where the site's registers are while the code runs. Those that are not saved are where they were.
struct SavedRegisters {
  int32_t rsp_at_site = 0;  // RSP at the site is RSP now + this
  int32_t rax = 0;          // offsets from RSP now
  int32_t rcx = 0;
  int32_t first_cell = 0;  // of kCellRegisters[0]; the others follow downward, 8 bytes each
  uint32_t cells = 0;      // how many of them are saved
};

// A read outside of the range that the thread used last: whether it lies in the other one.
struct SecondTry {
  Label at;
  Label back;
  Register address;
};

struct ProgramLabels {
  Label is_true;
  Label is_false;  // the end of the code leads there as well
  Label bail;
  std::vector<SecondTry> second_tries;
};

// What a program needs, found by a trial run.
struct ProgramNeeds {
  uint32_t cells = 0;          // kCellRegisters used
  bool guarded_reads = false;  // reads memory that must be known to be readable
};

struct ProgramInput {
  std::span<const Insn> code;
  const hit::StringRef* strings = nullptr;
  SiteCfa cfa;
  uint64_t load_bias = 0;
  const hit::CodeLayout* layout = nullptr;
  // Where the result goes, from RSP; the code then ends at is_true. Without it the result decides
  // between is_true and is_false.
  std::optional<int32_t> result_slot;
};

// kUnsupported names the operator that cannot be compiled.
Result<ProgramNeeds> MeasureProgram(const ProgramInput& input);
Status CompileProgram(const ProgramInput& input, const SavedRegisters& saved, Assembler& code,
                      ProgramLabels& labels);
// Bails unless `address` lies in one of the thread's two readable ranges, with room for 8 bytes.
void EmitRangeCheck(const hit::CodeLayout& layout, Register address, Assembler& code,
                    ProgramLabels& labels);
// Rare code of the program, to stand where it is not in the way.
void EmitSecondTries(const hit::CodeLayout& layout, Assembler& code, ProgramLabels& labels);

}  // namespace stillframe::probe::arch

#endif  // STILLFRAME_AGENT_PROBE_ARCH_X86_64_PROGRAM_COMPILER_H_
