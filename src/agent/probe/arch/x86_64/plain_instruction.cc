#include "agent/probe/arch/x86_64/instruction.h"
#include "agent/probe/plain_code.h"

namespace stillframe::probe {
namespace {

using arch::DecodeInstruction;
using arch::Encoding;
using arch::Instruction;
using arch::OpcodeMap;

bool In(uint8_t opcode, uint8_t first, uint8_t last) { return opcode >= first && opcode <= last; }

// Intel SDM volume 2, appendix A: what may go elsewhere, or into the kernel.
bool Diverts(const Instruction& insn) {
  if (insn.encoding != Encoding::kLegacy) return false;
  const uint8_t op = insn.opcode;
  switch (insn.map) {
    case OpcodeMap::kOneByte:
      if (op == 0xff) return insn.modrm_reg() >= 2 && insn.modrm_reg() <= 5;
      return In(op, 0x70, 0x7f) || In(op, 0xe0, 0xe3) || In(op, 0xe8, 0xeb) || op == 0xc2 ||
             op == 0xc3 || In(op, 0xca, 0xcf) || op == 0xf1 || op == 0xf4 || op == 0x9b;
    case OpcodeMap::k0F:
      return In(op, 0x80, 0x8f) || op == 0x05 || op == 0x07 || op == 0x0b || op == 0x34 ||
             op == 0x35 || op == 0xb9 || op == 0xff || op == 0x01;
    default:
      return false;
  }
}

bool IsRelativeBranch(const Instruction& insn) {
  if (insn.encoding != Encoding::kLegacy) return false;
  if (insn.map == OpcodeMap::k0F) return In(insn.opcode, 0x80, 0x8f);
  return insn.map == OpcodeMap::kOneByte &&
         (In(insn.opcode, 0x70, 0x7f) || In(insn.opcode, 0xe0, 0xe3) ||
          In(insn.opcode, 0xe8, 0xe9) || insn.opcode == 0xeb);
}

bool IsLandingPad(const Instruction& insn) {
  return insn.legacy(OpcodeMap::k0F, 0x1e) && insn.rep && insn.modrm_offset != 0 &&
         insn.modrm() == 0xfa;
}

// Copies of code may jump the other way, and nearer or farther.
uint64_t OperationOf(const Instruction& insn) {
  if (IsRelativeBranch(insn)) return insn.legacy(OpcodeMap::kOneByte, 0xe8) ? 0xe8 : 0x70;
  uint64_t operation = static_cast<uint64_t>(insn.encoding) << 16 |
                       static_cast<uint64_t>(insn.map) << 12 | insn.opcode;
  if (insn.modrm_offset == 0) return operation;
  operation |= insn.modrm_mod() == 3 ? 1u << 20 : 2u << 20;
  // Where the field extends the opcode.
  const uint8_t op = insn.opcode;
  const bool group = insn.encoding == Encoding::kLegacy && insn.map == OpcodeMap::kOneByte &&
                     (In(op, 0x80, 0x83) || In(op, 0xc0, 0xc1) || In(op, 0xd0, 0xd3) ||
                      In(op, 0xf6, 0xf7) || In(op, 0xfe, 0xff));
  if (group) operation |= uint64_t{insn.modrm_reg()} << 24;
  return operation;
}

}  // namespace

uint32_t PlainInstructionBytes(std::span<const uint8_t> text) {
  const std::optional<Instruction> insn = DecodeInstruction(text);
  return insn && !Diverts(*insn) ? insn->length : 0;
}

ControlFlow ReadControlFlow(std::span<const uint8_t> text, uint64_t address) {
  ControlFlow flow;
  const std::optional<Instruction> insn = DecodeInstruction(text);
  if (!insn) return flow;
  flow.length = insn->length;
  flow.operation = OperationOf(*insn);
  const bool one_byte = insn->encoding == Encoding::kLegacy && insn->map == OpcodeMap::kOneByte;
  const uint8_t op = insn->opcode;
  const bool call = one_byte && op == 0xe8;
  flow.is_call = call || (one_byte && op == 0xff && In(insn->modrm_reg(), 2, 3));
  flow.is_filler = (one_byte && (op == 0x90 || op == 0xcc)) || insn->legacy(OpcodeMap::k0F, 0x1f);
  if (call) {
    // Not followed: it comes back.
    flow.callee = address + insn->length + static_cast<uint64_t>(insn->BranchDisplacement());
    flow.operation |= *flow.callee << 8;
  }
  if (IsRelativeBranch(*insn) && !call) {
    flow.target = address + insn->length + static_cast<uint64_t>(insn->BranchDisplacement());
    flow.goes_on = !(one_byte && (op == 0xe9 || op == 0xeb));
  } else if (one_byte && op == 0xff && (insn->modrm_reg() == 4 || insn->modrm_reg() == 5)) {
    flow.anywhere = true;
    flow.goes_on = false;
  } else if (one_byte) {
    flow.goes_on = !(op == 0xc2 || op == 0xc3 || In(op, 0xca, 0xcb) || op == 0xcf || op == 0xf4);
  } else {
    flow.goes_on = !insn->legacy(OpcodeMap::k0F, 0x0b);
  }
  return flow;
}

std::optional<uint64_t> PlainInstructionBefore(std::span<const uint8_t> text, uint64_t text_address,
                                               uint64_t address) {
  for (size_t at = 0; at < text.size();) {
    const std::optional<Instruction> insn = DecodeInstruction(text.subspan(at));
    if (!insn || text_address + at >= address) return std::nullopt;
    if (text_address + at + insn->length == address) {
      return Diverts(*insn) ? std::nullopt : std::optional(text_address + at);
    }
    at += insn->length;
  }
  return std::nullopt;
}

std::optional<std::vector<FunctionExit>> FindExits(std::span<const uint8_t> text,
                                                   uint64_t text_address,
                                                   const std::function<bool(uint64_t)>& inside) {
  std::vector<FunctionExit> exits;
  for (size_t at = 0; at < text.size();) {
    const std::optional<Instruction> insn = DecodeInstruction(text.subspan(at));
    if (!insn) return std::nullopt;
    const uint64_t next = text_address + at + insn->length;
    const bool one_byte = insn->encoding == Encoding::kLegacy && insn->map == OpcodeMap::kOneByte;
    const bool returns = one_byte && (insn->opcode == 0xc2 || insn->opcode == 0xc3);
    const bool jumps = one_byte && (insn->opcode == 0xe9 || insn->opcode == 0xeb);
    if (returns || (jumps && !inside(next + static_cast<uint64_t>(insn->BranchDisplacement())))) {
      exits.push_back({text_address + at, !returns});
    }
    at += insn->length;
  }
  return exits;
}

uint32_t LandingPadBytes(std::span<const uint8_t> text) {
  const std::optional<Instruction> insn = DecodeInstruction(text);
  return insn && IsLandingPad(*insn) ? insn->length : 0;
}

uint32_t EntryInstructionBytes(std::span<const uint8_t> text) {
  const std::optional<Instruction> insn = DecodeInstruction(text);
  if (!insn || insn->encoding != Encoding::kLegacy || insn->lock) return 0;
  const uint8_t op = insn->opcode;
  if (insn->map == OpcodeMap::k0F) return IsLandingPad(*insn) || op == 0x1f ? insn->length : 0;
  if (insn->map != OpcodeMap::kOneByte) return 0;
  const bool moves = op == 0x89 || op == 0x8b;
  const bool to_rbp = moves && (insn->rex & 0x48) == 0x48 && (insn->rex & 0x05) == 0 &&
                      insn->modrm() == (op == 0x89 ? 0xe5 : 0xec);  // mov %rsp, %rbp
  const bool room = (op == 0x81 || op == 0x83) && (insn->rex & 0x49) == 0x48 &&
                    insn->modrm() == 0xec;  // sub $n, %rsp
  const bool push = In(op, 0x50, 0x57) && !insn->operand_size;
  return to_rbp || room || push || op == 0x90 ? insn->length : 0;
}

std::optional<std::vector<BackJump>> FindBackJumps(std::span<const uint8_t> text,
                                                   uint64_t text_address, uint64_t first,
                                                   uint64_t last) {
  std::vector<BackJump> jumps;
  for (size_t at = 0; at < text.size();) {
    const std::optional<Instruction> insn = DecodeInstruction(text.subspan(at));
    if (!insn) return std::nullopt;
    const uint64_t address = text_address + at;
    at += insn->length;
    const uint64_t next = text_address + at;
    if (IsRelativeBranch(*insn) && !insn->legacy(OpcodeMap::kOneByte, 0xe8)) {
      const uint64_t target = next + static_cast<uint64_t>(insn->BranchDisplacement());
      if (target >= first && target <= last) jumps.push_back({address, next, true});
    } else if (insn->legacy(OpcodeMap::kOneByte, 0xff) && insn->modrm_reg() == 4 &&
               !insn->rip_relative) {
      jumps.push_back({address, next, false});
    }
  }
  return jumps;
}

bool MayBeBranchTarget(std::span<const uint8_t> text, uint64_t text_address, uint64_t address) {
  for (size_t at = 0; at < text.size();) {
    const std::optional<Instruction> insn = DecodeInstruction(text.subspan(at));
    if (!insn) return true;
    at += insn->length;
    if (IsRelativeBranch(*insn) &&
        text_address + at + static_cast<uint64_t>(insn->BranchDisplacement()) == address) {
      return true;
    }
  }
  return false;
}

}  // namespace stillframe::probe
