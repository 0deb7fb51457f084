// The instructions that emitted code is made of, one function each. Intel SDM volume 2; operands in
// Intel's order, destination first. All operations are 64 bits wide unless the name says otherwise.
#ifndef STILLFRAME_AGENT_PROBE_ARCH_X86_64_ASSEMBLER_H_
#define STILLFRAME_AGENT_PROBE_ARCH_X86_64_ASSEMBLER_H_

#include <cstdint>
#include <vector>

#include "agent/probe/arch/x86_64/code_buffer.h"
#include "plan/program.h"

namespace stillframe::probe::arch {

enum Register : uint8_t {  // hardware numbers
  kRax,
  kRcx,
  kRdx,
  kRbx,
  kRsp,
  kRbp,
  kRsi,
  kRdi,
  kR8,
  kR9,
  kR10,
  kR11,
  kR12,
  kR13,
  kR14,
  kR15,
};

// DWARF numbers (psABI figure 3.36) to hardware numbers.
inline constexpr Register kDwarfOrder[kRegisterCount] = {
    kRax, kRdx, kRcx, kRbx, kRsi, kRdi, kRbp, kRsp, kR8, kR9, kR10, kR11, kR12, kR13, kR14, kR15};

enum Condition : uint8_t {  // the low bits of Jcc, SETcc, CMOVcc
  kBelow = 2,
  kAboveEqual = 3,
  kEqual = 4,
  kNotEqual = 5,
  kBelowEqual = 6,
  kAbove = 7,
  kLess = 12,
  kGreaterEqual = 13,
  kLessEqual = 14,
  kGreater = 15,
};
inline Condition Inverse(Condition condition) { return static_cast<Condition>(condition ^ 1); }

enum Arithmetic : uint8_t { kAdd = 0, kOr = 1, kAnd = 4, kSub = 5, kXor = 6, kCmp = 7 };
enum Shift : uint8_t { kShl = 4, kShr = 5, kSar = 7 };

// A place that jumps lead to, forward or backward.
struct Label {
  int64_t offset = -1;
  std::vector<size_t> fields;  // rel32s to be filled in
};

class Assembler : public CodeBuffer {
 public:
  using CodeBuffer::CodeBuffer;

  void Move(Register to, Register from) {
    if (to != from) RegReg({0x8B}, to, from);
  }
  void MoveImmediate(Register to, uint64_t value) {
    if (value <= UINT32_MAX) {  // B8+r id: zero-extends
      if (to >= 8) Put({0x41});
      Put({static_cast<uint8_t>(0xB8 | (to & 7))});
      Put32(static_cast<uint32_t>(value));
    } else if (static_cast<int64_t>(value) == static_cast<int32_t>(value)) {  // C7 /0 id
      Put({Rex(0, to), 0xC7, ModRegister(0, to)});
      Put32(static_cast<uint32_t>(value));
    } else {
      Put({Rex(0, to), static_cast<uint8_t>(0xB8 | (to & 7))});
      Put64(value);
    }
  }
  // size_bytes 1, 2, 4 or 8, extended to 64 bits.
  void Load(Register to, Register base, int32_t offset, uint8_t size_bytes = 8,
            bool is_signed = false) {
    RegMem(LoadOpcode(size_bytes, is_signed), to, base, offset, size_bytes == 8 || is_signed);
  }
  void Store(Register base, int32_t offset, Register from) {
    RegMem({0x89}, from, base, offset, true);
  }
  void Store32(Register base, int32_t offset, Register from) {
    RegMem({0x89}, from, base, offset, false);
  }
  void Store32Zero(Register base, int32_t offset) {
    RegMem({0xC7}, kRax, base, offset, false);
    Put32(0);
  }
  void StoreImmediate(Register base, int32_t offset, int32_t value) {  // sign-extended
    RegMem({0xC7}, kRax, base, offset, true);
    Put32(static_cast<uint32_t>(value));
  }
  void StoreImmediate32(Register base, int32_t offset, uint32_t value) {
    RegMem({0xC7}, kRax, base, offset, false);
    Put32(value);
  }
  // If [base+offset] is RAX, `from` goes there and ZF is set; else RAX becomes what is there.
  void CompareExchange(Register base, int32_t offset, Register from) {
    RegMem({0x0F, 0xB1}, from, base, offset, true);
  }
  void ReadTicks() {  // to RAX; RDX is lost
    Put({0x0F, 0x31});
    ShiftImmediate(kShl, kRdx, 32);
    Operate(kOr, kRax, kRdx);
  }
  void LoadThread32(Register to, int32_t offset) { Thread(0x8B, to, offset, false); }
  // The low size_bytes (4 or 8) of XMM register `xmm`: 66 REX 0F 7E /r.
  void MoveFromXmm(Register to, uint8_t xmm, uint8_t size_bytes) {
    Put({0x66, Rex(xmm, to, size_bytes == 8), 0x0F, 0x7E, ModRegister(xmm, to)});
  }
  void StoreZero(Register base, int32_t offset) {
    RegMem({0xC7}, kRax, base, offset, true);
    Put32(0);
  }
  void LoadAddress(Register to, Register base, int32_t offset) {
    RegMem({0x8D}, to, base, offset, true);
    if (to == kRsp && base == kRsp) StackGrew(-offset);
  }
  void LoadThread(Register to, int32_t offset) { Thread(0x8B, to, offset, true); }
  void ArithmeticThread(Arithmetic op, Register left, int32_t offset) {
    Thread(static_cast<uint8_t>(op << 3 | 3), left, offset, true);
  }
  void CompareThread32(Register left, int32_t offset) { Thread(0x3B, left, offset, false); }
  void Extend(Register to, Register from, uint8_t size_bytes, bool is_signed) {
    if (size_bytes == 8) return Move(to, from);
    RegReg(LoadOpcode(size_bytes, is_signed), to, from, is_signed || size_bytes == 1);
  }
  void Operate(Arithmetic op, Register left, Register right) {
    RegReg({static_cast<uint8_t>(op << 3 | 3)}, left, right);
  }
  void Operate(Arithmetic op, Register left, Register base, int32_t offset) {
    RegMem({static_cast<uint8_t>(op << 3 | 3)}, left, base, offset, true);
  }
  void OperateImmediate(Arithmetic op, Register left, int32_t value) {
    if (value == static_cast<int8_t>(value)) {
      Put({Rex(0, left), 0x83, ModRegister(op, left), static_cast<uint8_t>(value)});
    } else {
      Put({Rex(0, left), 0x81, ModRegister(op, left)});
      Put32(static_cast<uint32_t>(value));
    }
  }
  void Multiply(Register left, Register right) { RegReg({0x0F, 0xAF}, left, right); }
  void Test(Register left, Register right) { RegReg({0x85}, right, left); }
  void Negate(Register reg) { Put({Rex(0, reg), 0xF7, ModRegister(3, reg)}); }
  void Not(Register reg) { Put({Rex(0, reg), 0xF7, ModRegister(2, reg)}); }
  void ClearSign(Register reg) {  // btr reg, 63
    Put({Rex(0, reg), 0x0F, 0xBA, ModRegister(6, reg), 63});
  }
  // RDX:RAX by RCX; the quotient in RAX, the remainder in RDX.
  void DivideByRcx(bool is_signed) {
    if (is_signed) {
      Put({0x48, 0x99, 0x48, 0xF7, 0xF9});  // cqo; idiv rcx
    } else {
      Put({0x31, 0xD2, 0x48, 0xF7, 0xF1});  // xor edx, edx; div rcx
    }
  }
  void ShiftImmediate(Shift op, Register reg, uint8_t count) {
    Put({Rex(0, reg), 0xC1, ModRegister(op, reg), count});
  }
  void ShiftByCl(Shift op, Register reg) { Put({Rex(0, reg), 0xD3, ModRegister(op, reg)}); }
  void Exchange(Register a, Register b) { RegReg({0x87}, a, b); }
  void MoveIf(Condition condition, Register to, Register from) {
    RegReg({0x0F, static_cast<uint8_t>(0x40 | condition)}, to, from);
  }
  // to = condition ? 1 : 0. Flags are kept.
  void SetIf(Condition condition, Register to) {
    Put({Rex(0, to), 0x0F, static_cast<uint8_t>(0x90 | condition), ModRegister(0, to)});
    RegReg({0x0F, 0xB6}, to, to);
  }
  void Push(Register reg) {
    if (reg >= 8) Put({0x41});
    Put({static_cast<uint8_t>(0x50 | (reg & 7))});
    StackGrew(8);
  }
  void Pop(Register reg) {
    if (reg >= 8) Put({0x41});
    Put({static_cast<uint8_t>(0x58 | (reg & 7))});
    StackGrew(-8);
  }
  void IncrementMemory(Register base) { RegMem({0xFF}, kRax, base, 0, true); }
  void JumpThrough(Register base) { RegMem({0xFF}, static_cast<Register>(4), base, 0, false); }

  // LAHF; SETO AL: the status flags in AX. AddFlags puts them back.
  void SaveFlags() { Put({0x9F, 0x0F, 0x90, 0xC0}); }
  void RestoreFlags() { Put({0x04, 0x7F, 0x9E}); }  // add al, 127: OF if AL was 1; sahf

  void JumpIf(Condition condition, Label& label) {
    Put({0x0F, static_cast<uint8_t>(0x80 | condition)});
    Refer(label);
  }
  void Jump(Label& label) {
    Put({0xE9});
    Refer(label);
  }
  // A rel32 to the label inside something that is no jump.
  void Refer(Label& label) {
    const size_t field = PutNear();
    if (label.offset >= 0) {
      PatchNear(field, static_cast<size_t>(label.offset));
    } else {
      label.fields.push_back(field);
    }
  }
  void Bind(Label& label) {
    label.offset = static_cast<int64_t>(size());
    for (size_t field : label.fields) PatchNear(field, size());
    label.fields.clear();
  }

 private:
  static uint8_t Rex(uint8_t reg, uint8_t rm, bool wide = true) {
    return static_cast<uint8_t>(0x40 | (wide ? 8 : 0) | (reg >= 8 ? 4 : 0) | (rm >= 8 ? 1 : 0));
  }
  static uint8_t ModRegister(uint8_t reg, uint8_t rm) {
    return static_cast<uint8_t>(0xC0 | (reg & 7) << 3 | (rm & 7));
  }
  struct Opcode {
    uint8_t bytes[2];
    uint8_t count;
    Opcode(uint8_t one) : bytes{one, 0}, count(1) {}  // NOLINT(google-explicit-constructor)
    Opcode(uint8_t one, uint8_t two) : bytes{one, two}, count(2) {}
  };
  static Opcode LoadOpcode(uint8_t size_bytes, bool is_signed) {
    switch (size_bytes) {
      case 1:
        return {0x0F, static_cast<uint8_t>(is_signed ? 0xBE : 0xB6)};
      case 2:
        return {0x0F, static_cast<uint8_t>(is_signed ? 0xBF : 0xB7)};
      case 4:
        return is_signed ? Opcode(0x63) : Opcode(0x8B);
      default:
        return Opcode(0x8B);
    }
  }
  void RegReg(const Opcode& opcode, Register reg, Register rm, bool wide = true) {
    Put({Rex(reg, rm, wide)});
    PutBytes(opcode.bytes, opcode.count);
    Put({ModRegister(reg, rm)});
  }
  void RegMem(const Opcode& opcode, Register reg, Register base, int32_t offset, bool wide) {
    Put({Rex(reg, base, wide)});
    PutBytes(opcode.bytes, opcode.count);
    const bool short_offset = offset == static_cast<int8_t>(offset);
    Put({static_cast<uint8_t>((short_offset ? 0x40 : 0x80) | (reg & 7) << 3 | (base & 7))});
    if ((base & 7) == kRsp) Put({0x24});
    if (short_offset) {
      Put({static_cast<uint8_t>(offset)});
    } else {
      Put32(static_cast<uint32_t>(offset));
    }
  }
  // fs:[offset]
  void Thread(uint8_t opcode, Register reg, int32_t offset, bool wide) {
    Put({0x64, Rex(reg, 0, wide), opcode, static_cast<uint8_t>(0x04 | (reg & 7) << 3), 0x25});
    Put32(static_cast<uint32_t>(offset));
  }
};

}  // namespace stillframe::probe::arch

#endif  // STILLFRAME_AGENT_PROBE_ARCH_X86_64_ASSEMBLER_H_
