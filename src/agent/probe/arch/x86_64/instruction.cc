#include "agent/probe/arch/x86_64/instruction.h"

#include <cstring>

#include "agent/probe/arch/arch.h"

namespace stillframe::probe::arch {
namespace {

// What follows an opcode.
enum Shape : uint8_t {
  kBad = 0,
  kNone,        // nothing
  kModrm,       // ModRM
  kModrmByte,   // ModRM, imm8
  kModrmZ,      // ModRM, imm16/32
  kByte,        // imm8 or rel8
  kWord,        // imm16
  kZ,           // imm16/32 by operand size
  kRel32,       // rel32 whatever the operand size
  kMoveImm,     // B8+r: imm16/32/64
  kOffset,      // A0..A3: a full address
  kEnter,       // imm16, imm8
  kGroup3Byte,  // F6: imm8 when reg is 0 or 1
  kGroup3,      // F7: immz when reg is 0 or 1
};

Shape ArithmeticShape(uint8_t opcode) {  // 00..3F, eight operations in rows of eight
  switch (opcode & 7) {
    case 4:
      return kByte;
    case 5:
      return kZ;
    case 6:
    case 7:
      return kBad;
    default:
      return kModrm;
  }
}

Shape HighOneByteShape(uint8_t op) {  // C0..FF
  if (op <= 0xC1 || op == 0xC6) return kModrmByte;
  if (op == 0xC2) return kWord;
  if (op == 0xC7) return kModrmZ;
  if (op == 0xC8) return kEnter;
  if (op == 0xCA) return kWord;
  if (op == 0xCD || (op >= 0xE0 && op <= 0xE7) || op == 0xEB) return kByte;
  if (op >= 0xD0 && op <= 0xD3) return kModrm;
  if (op >= 0xD8 && op <= 0xDF) return kModrm;
  if (op == 0xE8 || op == 0xE9) return kRel32;
  if (op == 0xF6) return kGroup3Byte;
  if (op == 0xF7) return kGroup3;
  if (op == 0xFE || op == 0xFF) return kModrm;
  const bool bad =
      op == 0xC4 || op == 0xC5 || op == 0xCE || (op >= 0xD4 && op <= 0xD6) || op == 0xEA;
  return bad ? kBad : kNone;
}

Shape OneByteShape(uint8_t op) {
  if (op < 0x40) return ArithmeticShape(op);
  if (op < 0x50) return kBad;  // a REX prefix that is not last
  if (op < 0x60) return kNone;
  if (op < 0x63) return kBad;
  if (op == 0x63) return kModrm;
  if (op == 0x68) return kZ;
  if (op == 0x69) return kModrmZ;
  if (op == 0x6A) return kByte;
  if (op == 0x6B) return kModrmByte;
  if (op < 0x70) return op < 0x6C ? kBad : kNone;
  if (op < 0x80) return kByte;
  if (op == 0x80 || op == 0x83) return kModrmByte;
  if (op == 0x81) return kModrmZ;
  if (op == 0x82 || op == 0x9A) return kBad;
  if (op < 0x90) return kModrm;
  if (op < 0xA0) return kNone;
  if (op < 0xA4) return kOffset;
  if (op == 0xA8) return kByte;
  if (op == 0xA9) return kZ;
  if (op < 0xB0) return kNone;
  if (op < 0xB8) return kByte;
  if (op < 0xC0) return kMoveImm;
  return HighOneByteShape(op);
}

Shape EscapedShape(uint8_t op) {  // 0F xx
  if (op >= 0x80 && op <= 0x8F) return kRel32;
  if ((op >= 0x70 && op <= 0x73) || op == 0xA4 || op == 0xAC || op == 0xBA || op == 0xC2 ||
      (op >= 0xC4 && op <= 0xC6)) {
    return kModrmByte;
  }
  if ((op >= 0x05 && op <= 0x09) || op == 0x0B || op == 0x0E || (op >= 0x30 && op <= 0x37) ||
      op == 0x77 || (op >= 0xA0 && op <= 0xA2) || (op >= 0xA8 && op <= 0xAA) ||
      (op >= 0xC8 && op <= 0xCF)) {
    return kNone;
  }
  const bool bad = op == 0x04 || op == 0x0A || op == 0x0C || op == 0x0F ||
                   (op >= 0x24 && op <= 0x27) || op == 0x38 || op == 0x3A || op == 0x78 ||
                   op == 0x79 || op == 0x7A || op == 0x7B || op == 0xA6 || op == 0xA7;
  return bad ? kBad : kModrm;
}

Shape ShapeOf(const Instruction& insn) {
  switch (insn.map) {
    case OpcodeMap::kOneByte:
      return OneByteShape(insn.opcode);
    case OpcodeMap::k0F:  // EVEX has conversions at 0F 78..7B
      if (insn.encoding == Encoding::kEvex && (insn.opcode & 0xFC) == 0x78) return kModrm;
      return EscapedShape(insn.opcode);
    case OpcodeMap::k0F38:
      return kModrm;
    case OpcodeMap::k0F3A:
      return kModrmByte;
  }
  return kBad;
}

// Reads forward; a read past the end makes everything after it fail.
class Cursor {
 public:
  Cursor(std::span<const uint8_t> text, Instruction& insn) : text_(text), insn_(insn) {}

  bool Peek(uint8_t& byte) const {
    if (position_ >= text_.size() || position_ >= kMaxInstructionBytes) return false;
    byte = text_[position_];
    return true;
  }
  bool Next(uint8_t& byte) {
    if (!Peek(byte)) return false;
    insn_.bytes[position_++] = byte;
    return true;
  }
  bool Skip(uint8_t count) {
    uint8_t byte = 0;
    while (count-- != 0) {
      if (!Next(byte)) return false;
    }
    return true;
  }
  uint8_t position() const { return position_; }

 private:
  std::span<const uint8_t> text_;
  Instruction& insn_;
  uint8_t position_ = 0;
};

bool TakeLegacyPrefix(uint8_t byte, Instruction& insn) {
  switch (byte) {
    case 0x66:
      return insn.operand_size = true;
    case 0x67:
      return insn.address_size = true;
    case 0xF0:
      return insn.lock = true;
    case 0xF2:
      return insn.repne = true;
    case 0xF3:
      return insn.rep = true;
    case 0x26:
    case 0x2E:
    case 0x36:
    case 0x3E:
    case 0x64:
    case 0x65:
      return insn.segment = true;
    default:
      return false;
  }
}

// VEX.mmmmm and EVEX.mmm select the same maps; 5 and 6 (half precision) are not known here.
bool SelectMap(uint8_t number, Instruction& insn) {
  if (number < 1 || number > 3) return false;
  insn.map = static_cast<OpcodeMap>(number);
  return true;
}

// C5 RvvvvLpp, C4 RXBmmmmm WvvvvLpp, 62 P0 P1 P2: each before the opcode.
bool TakeVector(uint8_t lead, Cursor& cursor, Instruction& insn) {
  uint8_t payload = 0;
  insn.encoding = lead == 0x62 ? Encoding::kEvex : Encoding::kVex;
  if (!cursor.Next(payload)) return false;
  if (lead == 0xC5) return SelectMap(1, insn);
  if (lead == 0x62 && (payload & 0x08) != 0) return false;  // reserved bit
  return SelectMap(payload & (lead == 0xC4 ? 0x1F : 0x07), insn) &&
         cursor.Skip(lead == 0xC4 ? 1 : 2);
}

bool TakeEscapes(Cursor& cursor, Instruction& insn) {
  uint8_t byte = 0;
  if (!cursor.Next(byte)) return false;
  if (byte == 0x62 || byte == 0xC4 || byte == 0xC5) {
    // These raise #UD after 66, F2, F3, LOCK or REX.
    if (insn.rex != 0 || insn.operand_size || insn.rep || insn.repne || insn.lock) return false;
    if (!TakeVector(byte, cursor, insn)) return false;
  } else if (byte == 0x0F) {
    insn.map = OpcodeMap::k0F;
    if (!cursor.Peek(byte)) return false;
    if (byte == 0x38 || byte == 0x3A) {
      insn.map = byte == 0x38 ? OpcodeMap::k0F38 : OpcodeMap::k0F3A;
      if (!cursor.Skip(1)) return false;
    }
  } else {
    insn.opcode = byte;
    insn.opcode_offset = cursor.position() - 1;
    return true;
  }
  insn.opcode_offset = cursor.position();
  return cursor.Next(insn.opcode);
}

// ModRM, SIB and displacement (SDM volume 2, tables 2-2 and 2-3).
bool TakeModrm(Cursor& cursor, Instruction& insn) {
  uint8_t modrm = 0;
  insn.modrm_offset = cursor.position();
  if (!cursor.Next(modrm)) return false;
  const uint8_t mod = modrm >> 6;
  const uint8_t rm = modrm & 7;
  if (mod == 3) return true;
  uint8_t base = rm;
  if (rm == 4) {
    uint8_t sib = 0;
    if (!cursor.Next(sib)) return false;
    base = sib & 7;
  }
  if (mod == 1) insn.displacement_bytes = 1;
  if (mod == 2 || (mod == 0 && base == 5)) insn.displacement_bytes = 4;
  insn.rip_relative = mod == 0 && rm == 5;
  if (insn.displacement_bytes != 0) insn.displacement_offset = cursor.position();
  return cursor.Skip(insn.displacement_bytes);
}

uint8_t ImmediateBytes(Shape shape, const Instruction& insn) {
  const bool wide = (insn.rex & 0x08) != 0;
  const uint8_t z = insn.operand_size && !wide ? 2 : 4;
  const bool has_group3 = insn.modrm_offset != 0 && insn.modrm_reg() < 2;
  switch (shape) {
    case kByte:
    case kModrmByte:
      return 1;
    case kWord:
      return 2;
    case kEnter:
      return 3;
    case kZ:
    case kModrmZ:
      return z;
    case kRel32:
      return 4;
    case kMoveImm:
      return wide ? 8 : z;
    case kOffset:
      return insn.address_size ? 4 : 8;
    case kGroup3Byte:
      return has_group3 ? 1 : 0;
    case kGroup3:
      return has_group3 ? z : 0;
    default:
      return 0;
  }
}

bool HasModrm(Shape shape) {
  return shape == kModrm || shape == kModrmByte || shape == kModrmZ || shape == kGroup3Byte ||
         shape == kGroup3;
}

int64_t ReadSigned(const uint8_t* bytes, uint8_t size) {
  if (size == 1) return static_cast<int8_t>(*bytes);
  int32_t value = 0;
  if (size == 4) std::memcpy(&value, bytes, sizeof value);
  return value;
}

}  // namespace

int64_t Instruction::Displacement() const {
  return ReadSigned(bytes + displacement_offset, displacement_bytes);
}

int64_t Instruction::BranchDisplacement() const {
  return ReadSigned(bytes + length - immediate_bytes, immediate_bytes);
}

std::optional<Instruction> DecodeInstruction(std::span<const uint8_t> text) {
  Instruction insn;
  Cursor cursor(text, insn);
  uint8_t byte = 0;
  while (cursor.Peek(byte) && TakeLegacyPrefix(byte, insn)) cursor.Skip(1);
  if (cursor.Peek(byte) && (byte & 0xF0) == 0x40) {
    insn.rex = byte;
    cursor.Skip(1);
  }
  if (!TakeEscapes(cursor, insn)) return std::nullopt;
  const Shape shape = ShapeOf(insn);
  const bool branch = shape == kRel32 || (insn.map == OpcodeMap::kOneByte && shape == kByte &&
                                          ((insn.opcode & 0xF0) == 0x70 || insn.opcode >= 0xE0));
  // Intel ignores 66 on near branches, AMD shortens them: nobody emits that, so refuse it. With
  // REX.W it counts nowhere: compilers pad calls of __tls_get_addr to 66 66 48 e8 rel32.
  const bool shortened = insn.operand_size && (insn.rex & 0x08) == 0;
  if (shape == kBad || (branch && shortened)) return std::nullopt;
  // VZEROUPPER and VZEROALL are the only vector-encoded instructions without ModRM.
  if (HasModrm(shape) && !TakeModrm(cursor, insn)) return std::nullopt;
  const bool xop = insn.legacy(OpcodeMap::kOneByte, 0x8F) && insn.modrm_reg() != 0;
  if (xop) return std::nullopt;
  insn.immediate_bytes = ImmediateBytes(shape, insn);
  if (!cursor.Skip(insn.immediate_bytes)) return std::nullopt;
  insn.length = cursor.position();
  return insn;
}

uint32_t InstructionBytes(std::span<const uint8_t> text) {
  const auto insn = DecodeInstruction(text);
  return insn ? insn->length : 0;
}

}  // namespace stillframe::probe::arch
