// The part of probe code that writes a light record (plan/light_record.h).
#ifndef STILLFRAME_AGENT_PROBE_ARCH_X86_64_LIGHT_CODE_H_
#define STILLFRAME_AGENT_PROBE_ARCH_X86_64_LIGHT_CODE_H_

#include <cstdint>
#include <vector>

#include "agent/probe/arch/x86_64/program_compiler.h"
#include "agent/probe/probe_installer.h"
#include "base/status.h"

namespace stillframe::probe::arch {

// The values are computed first, into slots on the stack, because that may bail; only then is room
// for the record taken, and from there on nothing bails.
class LightCode {
 public:
  LightCode(const ProbeCodeSpec& spec, const hit::CodeLayout& layout)
      : spec_(spec), layout_(layout) {}

  // kUnsupported when an expression cannot be compiled.
  Result<ProgramNeeds> Measure();
  // Bytes of slots below the saved registers; slot 0 is at RSP.
  uint32_t slot_bytes() const { return slots_ * 8; }
  // Goes on behind it once the record is written but for its state, which RDI points to; to `full`
  // when there is no room. RCX is the thread's slot.
  Status Emit(const SavedRegisters& saved, Assembler& code, ProgramLabels& labels, Label& full);

 private:
  // One program of a field: what it needs of the object, as a value.
  struct Value {
    std::vector<Insn> code;
    int32_t slot = 0;
  };
  Status MakeValues();
  Status AddValue(const LightField& field, int64_t add, uint8_t load_bytes);
  void CheckTexts(Assembler& code, ProgramLabels& labels);
  void Reserve(Assembler& code, Label& full);
  void WriteHeader(Assembler& code);
  void WriteFields(Assembler& code);
  void CopyText(Assembler& code, const LightField& field, int32_t slot);
  int32_t Thread(uint32_t field) const {
    return static_cast<int32_t>(layout_.thread) + static_cast<int32_t>(field);
  }

  const ProbeCodeSpec& spec_;
  const hit::CodeLayout& layout_;
  std::vector<Value> values_;
  std::vector<int32_t> first_slot_;  // of each field
  uint32_t slots_ = 0;
};

}  // namespace stillframe::probe::arch

#endif  // STILLFRAME_AGENT_PROBE_ARCH_X86_64_LIGHT_CODE_H_
