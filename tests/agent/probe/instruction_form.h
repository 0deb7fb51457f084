// What makes two instructions the same to a relocator: everything but the choice of registers, the
// values of displacements and immediates.
#ifndef STILLFRAME_TESTS_AGENT_PROBE_INSTRUCTION_FORM_H_
#define STILLFRAME_TESTS_AGENT_PROBE_INSTRUCTION_FORM_H_

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>

#include "agent/probe/arch/x86_64/instruction.h"

namespace stillframe::probe {

using InstructionForm = std::array<uint8_t, 8>;

// Does ModRM.reg belong to the opcode (a "group")?
inline bool RegIsOpcode(const arch::Instruction& insn) {
  const uint8_t op = insn.opcode;
  switch (insn.map) {
    case arch::OpcodeMap::kOneByte:
      return (op >= 0x80 && op <= 0x83) || op == 0x8F || op == 0xC0 || op == 0xC1 || op == 0xC6 ||
             op == 0xC7 || (op >= 0xD0 && op <= 0xD3) || (op >= 0xD8 && op <= 0xDF) || op == 0xF6 ||
             op == 0xF7 || op == 0xFE || op == 0xFF;
    case arch::OpcodeMap::k0F:
      return op <= 0x01 || op == 0x0D || op == 0x18 || op == 0x1C || op == 0x1E || op == 0xAE ||
             op == 0xBA || op == 0xC7 || (op >= 0x71 && op <= 0x73);
    case arch::OpcodeMap::k0F38:
      return op == 0xF3 || op == 0xC6 || op == 0xC7;
    default:
      return false;
  }
}

// Does the whole of a register-form ModRM?
inline bool ModrmIsOpcode(const arch::Instruction& insn) {
  if (insn.map == arch::OpcodeMap::k0F) return insn.opcode == 0x01 || insn.opcode == 0xAE;
  return insn.map == arch::OpcodeMap::kOneByte && insn.opcode >= 0xD8 && insn.opcode <= 0xDF;
}

inline InstructionForm FormOf(const arch::Instruction& insn) {
  InstructionForm form{};
  form[0] = static_cast<uint8_t>(static_cast<int>(insn.encoding) << 4 | static_cast<int>(insn.map));
  form[1] = insn.opcode;
  form[2] = static_cast<uint8_t>(insn.operand_size | insn.address_size << 1 | insn.lock << 2 |
                                 insn.repne << 3 | insn.rep << 4 | insn.segment << 5);
  form[3] = insn.rex & 8;
  if (insn.encoding != arch::Encoding::kLegacy) {  // W, L and pp; b, z and whether masked
    const uint8_t last = insn.bytes[insn.opcode_offset - 1];
    const uint8_t before = insn.bytes[insn.opcode_offset - 2];
    form[3] = last;
    form[4] = before;
    if (insn.encoding == arch::Encoding::kVex) {
      const bool two_bytes = before == 0xC5;
      form[3] = last & (two_bytes ? 0x07 : 0x87);
      form[4] = 0;
    } else {
      form[3] = (last & 0xF0) | ((last & 7) != 0);
      form[4] = before & 0x83;
    }
  }
  if (insn.modrm_offset != 0) {
    const bool memory = insn.modrm_mod() != 3;
    form[5] = static_cast<uint8_t>(1 | memory << 1 | insn.rip_relative << 2 |
                                   (memory && insn.modrm_rm() == 4) << 3);
    if (RegIsOpcode(insn)) form[6] = static_cast<uint8_t>(0x80 | insn.modrm_reg());
    if (!memory && ModrmIsOpcode(insn)) form[6] = insn.modrm();
  }
  form[7] = static_cast<uint8_t>(insn.displacement_bytes << 4 | insn.immediate_bytes);
  return form;
}

inline std::string HexBytes(const uint8_t* bytes, size_t count) {
  std::string text;
  char byte[4];
  for (size_t i = 0; i < count; ++i) {
    std::snprintf(byte, sizeof byte, i == 0 ? "%02x" : " %02x", bytes[i]);
    text += byte;
  }
  return text;
}

}  // namespace stillframe::probe

#endif  // STILLFRAME_TESTS_AGENT_PROBE_INSTRUCTION_FORM_H_
