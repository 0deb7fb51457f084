// The compiler of program_compiler.h: a stack of cells, of which what is not in a register yet
// costs no instruction. Its parts: control and cells (program_compiler.cc), memory
// (program_memory.cc), arithmetic and comparison (program_arithmetic.cc).
#ifndef STILLFRAME_AGENT_PROBE_ARCH_X86_64_PROGRAM_COMPILER_IMPL_H_
#define STILLFRAME_AGENT_PROBE_ARCH_X86_64_PROGRAM_COMPILER_IMPL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/probe/arch/x86_64/program_compiler.h"

namespace stillframe::probe::arch {

// Reads this far above the site's stack pointer are taken for reads of frames that are alive, and
// those in the red zone for the function's own. A fault there is caught like any other.
inline constexpr int32_t kFrameReach = 32 * 1024;
inline constexpr int32_t kRedZone = 128;

// The stack of the program at compile time: what is not in a register yet costs no instruction.
struct Cell {
  enum Kind : uint8_t { kRegister, kConst, kBase } kind = kRegister;
  Register base = kRsp;   // kBase: RSP stands for the site's stack pointer
  bool is_frame = false;  // derived from the CFA or the stack pointer
  int64_t value = 0;      // kConst, or what is added to the base
};

class Compiler {
 public:
  Compiler(const ProgramInput& input, const SavedRegisters& saved, Assembler& code,
           ProgramLabels& labels)
      : input_(input), saved_(saved), code_(code), labels_(labels) {}

  Status Run();
  const ProgramNeeds& needs() const { return needs_; }

 private:
  Status Step(const Insn& insn);
  Status FindTargets();
  Status Unsupported(const char* what) const {
    return Status(Code::kUnsupported, std::string(what) + " is not compiled");
  }

  size_t depth() const { return cells_.size(); }
  static Register CellRegister(size_t index) { return kCellRegisters[index]; }
  Status Push(const Cell& cell);
  // Makes sure that the cell is in its register.
  Register Materialize(size_t index);
  void MaterializeAll();
  // Register that holds the cell's value now, for reading only.
  void LoadSite(Register to, Register from);
  bool IsPreserved(Register reg) const;
  int32_t FrameOffset(int64_t from_site_rsp) const {
    return static_cast<int32_t>(from_site_rsp) + saved_.rsp_at_site;
  }

  Status PushRegister(uint8_t dwarf_register);
  Status PushCfa();
  void AddImmediate(int64_t value);
  Status LoadMemory(uint8_t size_bytes, bool is_signed);
  void CheckFrame(Register base, int64_t offset);
  void CheckRange(Register address);
  void Fixup() {
    code_.Put({0x0F, 0x1F, 0x80});  // nop dword [rax+rel32]: where a fault in what follows goes on
    code_.Refer(labels_.bail);
  }
  Status Binary(const Insn& insn);
  void ShiftCell(Shift op);
  Status Divide(const Insn& insn);
  Status CompareString(const Insn& insn);
  void FloatOrder(Register reg);
  Status ConvertToFloat(Op op);
  void Rotate();
  Status Duplicate(size_t below_top);
  void Swap();
  // Sets the flags from the two top cells and pops them. Falls through.
  Condition CompareTop(Op op);
  static std::optional<Condition> ConditionOf(Op op);
  Status Compare(const Insn& insn);
  Status JumpTo(size_t target);
  void JumpToLabelOf(size_t target, std::optional<Condition> condition);
  void Return(std::optional<Condition> condition);

  const ProgramInput& input_;
  const SavedRegisters& saved_;
  Assembler& code_;
  ProgramLabels& labels_;
  ProgramNeeds needs_;
  std::vector<Cell> cells_;
  size_t position_ = 0;
  bool reachable_ = true;
  std::vector<char> is_target_;
  std::vector<int> target_depth_;  // -1 = not known yet
  std::vector<Label> target_labels_;
};

}  // namespace stillframe::probe::arch

#endif  // STILLFRAME_AGENT_PROBE_ARCH_X86_64_PROGRAM_COMPILER_IMPL_H_
