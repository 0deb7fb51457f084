// The bytecode that the hit path runs and the decoder runs again: DWARF locations, conditions and
// watch expressions are all compiled into it. Plain data: fixed-size instructions, no pointers.
//
// Machine: a stack of at most kMaxStack 64-bit cells. Jumps go forward only, so a program of N
// instructions runs at most N steps. A program ends at kReturn (result: the top cell) or fails with
// a one-byte Code (base/status.h). The verifier (plan/verifier.h) proves stack depth, jump targets
// and operand ranges before a program may reach a hit; the interpreter relies on that.
#ifndef STILLFRAME_PLAN_PROGRAM_H_
#define STILLFRAME_PLAN_PROGRAM_H_

#include <cstdint>

namespace stillframe {

inline constexpr uint32_t kMaxStack = 24;
inline constexpr uint32_t kMaxProgramLength = 1024;

enum class Op : uint8_t {
  kReturn = 0,  // ends; result = top
  kFail,        // ends with Code(a)
  // Pushes.
  kConst,          // push imm
  kRegister,       // push DWARF register a (0..15) of the frame; kNotSaved when it is unknown there
  kCfa,            // push the frame's canonical frame address
  kModuleAddress,  // push imm (a LinkAddress) + load bias of the frame's module
  kXmm,            // push b (4 or 8) low bytes of XMM register a; only in frame 0
  // Memory.
  kLoad,  // pop address; push a (1,2,4,8) bytes, sign-extended when b != 0; kUnreadable
  // Stack.
  kDup,
  kDrop,
  kSwap,
  kOver,
  kRot,
  kPick,  // push a copy of the cell a below the top (0 = kDup)
  // Integers, modulo 2^64. Binary: pop right, pop left, push left OP right.
  kAddImm,  // top += imm
  kAdd,
  kSub,
  kMul,
  kDivS,
  kDivU,
  kModS,
  kModU,  // division by zero and INT64_MIN / -1: kBadExpression
  kAnd,
  kOr,
  kXor,
  kShl,
  kShrU,
  kShrS,  // shift counts >= 64: 0, or the sign
  kNeg,
  kNot,
  kLogicalNot,  // top = top == 0
  kBool,        // top = top != 0
  kExtend,      // keep the low a (1,2,4,8) bytes; sign-extend when b != 0
  kEq,
  kNe,
  kLtS,
  kLtU,
  kLeS,
  kLeU,  // push 0 or 1
  // IEEE doubles held as bits in a cell.
  kFAdd,
  kFSub,
  kFMul,
  kFDiv,
  kFNeg,
  kFEq,
  kFNe,
  kFLt,
  kFLe,
  kF32ToF64,  // low 32 bits as float -> double
  kF64ToF32,
  kS64ToF64,
  kU64ToF64,
  kF64ToS64,
  kF64ToU64,  // truncating; out of range: kBadExpression
  // Control. Target = index of this instruction + imm, imm > 0.
  kJump,
  kJumpIfZero,     // pops
  kJumpIfNonZero,  // pops
  // Strings.
  kStringEq,   // pop length, pop address; push: equals literal strings[imm] of the unit
  kCStringEq,  // pop address; push: the NUL-terminated string there equals strings[imm]
  // What an argument register held when this function was entered, as its caller's call site tells
  // (FramePlan): push entry cell a; kEntryValueUnknown or kTailCallAmbiguous when the
  // caller does not say.
  kEntryValue,
  kThreadLocal,  // push imm + the address of the module's thread-local block of this thread
};

struct Insn {
  Op op = Op::kReturn;
  uint8_t a = 0;
  uint8_t b = 0;
  uint8_t pad[5] = {};
  int64_t imm = 0;
};
static_assert(sizeof(Insn) == 16);

constexpr Insn MakeInsn(Op op, int64_t imm = 0, uint8_t a = 0, uint8_t b = 0) {
  Insn insn;
  insn.op = op;
  insn.a = a;
  insn.b = b;
  insn.imm = imm;
  return insn;
}

// A slice of PlanUnit::code; count == 0 means "no program".
struct Program {
  uint32_t first = 0;
  uint32_t count = 0;
  bool empty() const { return count == 0; }
};

// DWARF register numbers of x86-64 (psABI figure 3.36) that the machine knows.
inline constexpr uint8_t kRegisterCount = 16;
inline constexpr uint8_t kXmmCount = 16;

// Registers that pass arguments, as entry cells: rdi, rsi, rdx, rcx, r8, r9, xmm0-xmm7 (their low 8
// bytes). kEntryCells for every other DWARF register.
inline constexpr uint8_t kEntryCells = 14;
constexpr uint8_t EntryCellOf(uint64_t dwarf_register) {
  constexpr uint8_t kGeneral[] = {kEntryCells, 2,           3,           kEntryCells, 1,
                                  0,           kEntryCells, kEntryCells, 4,           5};
  if (dwarf_register < sizeof(kGeneral)) return kGeneral[dwarf_register];
  return dwarf_register >= 17 && dwarf_register <= 24 ? static_cast<uint8_t>(dwarf_register - 11)
                                                      : kEntryCells;
}

}  // namespace stillframe

#endif  // STILLFRAME_PLAN_PROGRAM_H_
