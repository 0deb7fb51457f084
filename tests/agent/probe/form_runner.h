// Runs one instruction where it stands and again where the relocator puts it, from the same random
// states of processor and memory, and compares what they leave. Changes signal handlers, maps fixed
// addresses and runs whatever it is given: in a forked child only.
#ifndef STILLFRAME_TESTS_AGENT_PROBE_FORM_RUNNER_H_
#define STILLFRAME_TESTS_AGENT_PROBE_FORM_RUNNER_H_

#include <memory>
#include <string>
#include <vector>

#include "agent/probe/arch/x86_64/site.h"
#include "tests/agent/probe/machine_run.h"

namespace stillframe::probe {

class FormRunner {
 public:
  // False with a reason when this machine cannot.
  bool Start(std::string* why_not);

  // How `states` runs ended, for the table.
  struct Tally {
    uint64_t states = 0;
    uint64_t faults = 0;   // of them; the same in both places
    uint64_t illegal = 0;  // of these: the processor does not have the instruction
  };
  // "" or what was different. The relocator accepts the instruction.
  std::string Compare(const arch::Instruction& insn, arch::Flow flow, uint64_t seed,
                      uint32_t states, Tally& tally);
  // False: FS-relative operands need WRFSBASE, which is not there.
  static bool CanRun(const arch::Instruction& insn);

 private:
  static constexpr uint32_t kWindowBytes = 4096;
  static constexpr uint32_t kStackWindowBytes = 4096;
  struct Outcome {
    MachineState state{};
    MachineFault fault;
    uint64_t way = 0;  // which exit was taken
    uint8_t window[kWindowBytes] = {};
    uint8_t stack[kStackWindowBytes] = {};
  };
  // What makes the operands of an instruction point where they should.
  struct Operands {
    bool memory = false;
    int base = -1;  // index into MachineState::gpr
    int index = -1;
    uint8_t scale = 1;
    int64_t displacement = 0;
    bool vector_index = false;
    uint64_t fs_base = 0;
  };

  static Operands Understand(arch::Instruction& insn);
  static void PatchBranch(arch::Instruction& insn);
  void Prepare(const arch::Instruction& insn, arch::Flow flow, const Operands& operands,
               uint64_t seed);
  void PointOperands(const Operands& operands, FastRandom& random, uint64_t target);
  void PointImplicit(const arch::Instruction& insn, FastRandom& random, uint64_t target);
  void FillTargets(const arch::Instruction& insn, arch::Flow flow, uint64_t target);
  void RunAt(uint64_t code, const Operands& operands, Outcome& out);
  void Normalize(uint64_t start, uint64_t size, Outcome& outcome) const;
  std::string Difference(const arch::Instruction& insn, arch::Flow flow, Outcome& expected,
                         Outcome& actual) const;

  MachineState in_{};
  std::vector<Outcome> expected_;
  std::unique_ptr<Outcome> actual_;
  uint64_t relocated_bytes_ = 0;
};

}  // namespace stillframe::probe

#endif  // STILLFRAME_TESTS_AGENT_PROBE_FORM_RUNNER_H_
