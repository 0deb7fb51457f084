// A second opinion on instruction boundaries: the length of one x86-64 instruction and where its
// fields stand. Capstone decides what an instruction is; this decides nothing but refuses a site
// where the two disagree.
//
// Source: Intel SDM volume 2, chapter 2 (formats) and appendix A (opcode maps).
#ifndef STILLFRAME_AGENT_PROBE_ARCH_X86_64_INSTRUCTION_H_
#define STILLFRAME_AGENT_PROBE_ARCH_X86_64_INSTRUCTION_H_

#include <cstdint>
#include <optional>
#include <span>

namespace stillframe::probe::arch {

inline constexpr uint8_t kMaxInstructionBytes = 15;

enum class OpcodeMap : uint8_t {
  kOneByte,  // no escape
  k0F,
  k0F38,
  k0F3A,
};

enum class Encoding : uint8_t { kLegacy, kVex, kEvex };

struct Instruction {
  uint8_t bytes[kMaxInstructionBytes] = {};
  uint8_t length = 0;
  Encoding encoding = Encoding::kLegacy;
  OpcodeMap map = OpcodeMap::kOneByte;
  uint8_t opcode = 0;
  uint8_t opcode_offset = 0;
  uint8_t rex = 0;            // 0: none
  bool operand_size = false;  // 66
  bool address_size = false;  // 67
  bool lock = false;          // F0
  bool repne = false;         // F2
  bool rep = false;           // F3
  bool segment = false;       // 2E 36 3E 26 64 65
  uint8_t modrm_offset = 0;   // 0: none
  uint8_t displacement_offset = 0;
  uint8_t displacement_bytes = 0;  // 0: none
  uint8_t immediate_bytes = 0;     // stand last; branch displacements count as immediates
  bool rip_relative = false;

  uint8_t modrm() const { return bytes[modrm_offset]; }
  uint8_t modrm_mod() const { return modrm() >> 6; }
  uint8_t modrm_reg() const { return (modrm() >> 3) & 7; }
  uint8_t modrm_rm() const { return modrm() & 7; }
  bool legacy(OpcodeMap m, uint8_t op) const {
    return encoding == Encoding::kLegacy && map == m && opcode == op;
  }
  // Of a relative branch or a RIP-relative operand: the signed field, and what it is relative to.
  int64_t Displacement() const;
  int64_t BranchDisplacement() const;
};

// nullopt: not an instruction, cut off, or a form this project does not probe (far pointers, XOP,
// 3DNow!, a REX prefix that is not last).
std::optional<Instruction> DecodeInstruction(std::span<const uint8_t> text);

}  // namespace stillframe::probe::arch

#endif  // STILLFRAME_AGENT_PROBE_ARCH_X86_64_INSTRUCTION_H_
