// The bytecode that the hit path runs and the decoder runs again: DWARF locations, conditions and
// watch expressions are all compiled into it. Plain data: fixed-size instructions, no pointers.
//
// Machine: a stack of at most kMaxStack 64-bit cells, and kMaxLocals cells beside it. Jumps go
// forward only, so a program of N instructions runs at most N steps; but kLoop, and what reads
// texts or trees, spend work of which an evaluation has kMaxWork. A program ends at kReturn
// (result: the top cell) or fails with a one-byte Code (base/status.h). The verifier
// (plan/verifier.h) proves stack depth, jump targets and operand ranges before a program may reach
// a hit; the interpreter relies on that.
#ifndef STILLFRAME_PLAN_PROGRAM_H_
#define STILLFRAME_PLAN_PROGRAM_H_

#include <cstdint>

namespace stillframe {

inline constexpr uint32_t kMaxStack = 24;
inline constexpr uint32_t kMaxProgramLength = 1024;
inline constexpr uint32_t kMaxLocals = 16;

// A byte of text costs 1, a node of a tree kNodeWork, a round of a loop kStepWork for every
// instruction in it, but at least for kMinRound: so all loops together go at most 1,000 rounds.
inline constexpr uint64_t kMaxWork = 64'000;
inline constexpr uint64_t kNodeWork = 16;
inline constexpr uint64_t kStepWork = 4;
inline constexpr uint64_t kMinRound = 16;
constexpr uint64_t RoundWork(uint64_t instructions) {
  return kStepWork * (instructions < kMinRound ? kMinRound : instructions);
}

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
  // What an argument register held when this function was entered, or a parameter would have been,
  // as its caller's call site tells (FramePlan) or a probe there has stashed it: push entry cell a;
  // kEntryValueUnknown, kTailCallAmbiguous, kEntryNotStashed or kEntryNotProbed when neither says.
  kEntryValue,
  kThreadLocal,  // push imm + the address of the module's thread-local block of this thread
  // Beside the stack. A local is set on every way to where it is read.
  kGetLocal,  // push local a
  kSetLocal,  // pop into local a
  kLoop,      // jump back by imm < 0; kLimit when the work is used up
  kFact,      // push a Fact about the hit; kUnavailable where it is none
  // Texts of bytes, compared as unsigned numbers.
  kTextTest,  // imm >= 0: pop length, address; the other text is strings[imm]. imm < 0: pop length
              // and address of the other, then of the one. Push TextTest(a) of the one; kLimit
  kTextLength,  // pop address; push the number of bytes before the first NUL, of at most imm bytes.
                // None among them: imm when b != 0 (an array), else kLimit
  kTreeNext,    // pop node; push the next in order, with links at a (left), b (right), imm (parent)
  kNameTest,    // pop length, address; push whether that text is on the list of names strings[imm]
                // (base/name_list.h); of a long one the beginning; kLimit
  // Thread-local storage of any module (psABI: ELF Handling For Thread-Local Storage).
  kThreadBlock,   // pop a module's number; push the address of its block for this thread
  kThreadOffset,  // pop an offset from the thread pointer; push the address
};

enum class Fact : uint8_t {
  kThreadId,
  kHits,      // of the tracepoint in this process, this one included
  kDuration,  // of the span that ends, in nanoseconds
  kTrace0,    // eight hexadecimal digits of the trace id each, as characters; 0 without a trace
  kTrace1,
  kTrace2,
  kTrace3,
};
inline constexpr uint8_t kFactCount = 7;

enum class TextTest : uint8_t {
  kEqual,
  kStartsWith,
  kEndsWith,
  kContains,
  kOrder,  // below 0, 0 or above 0, as memcmp and then the lengths tell
};
inline constexpr uint8_t kTextTestCount = 5;

struct Insn {
  Op op = Op::kReturn;
  uint8_t a = 0;
  uint8_t b = 0;
  uint8_t pad[5] = {};
  int64_t imm = 0;
};
static_assert(sizeof(Insn) == 16);
static_assert(kMaxLocals <= 16);  // the verifier has a bit for each

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
// Behind them in a record, where a location (no program) asks for them: st(0) and st(1), in which
// functions return long double.
inline constexpr uint8_t kX87Result = kXmmCount;
inline constexpr uint8_t kVectorCount = kXmmCount + 2;

// Registers that pass arguments, as entry cells: rdi, rsi, rdx, rcx, r8, r9, xmm0-xmm7 (their low 8
// bytes). kEntryCells for every other DWARF register.
inline constexpr uint8_t kEntryCells = 14;
inline constexpr uint8_t kGeneralEntryCells = 6;
// Behind them, parameters that the function takes in no register because the compiler found that it
// does without, by their position in its declaration: only callers tell what they would have been.
inline constexpr uint8_t kParameterCells = 12;
inline constexpr uint8_t kAllEntryCells = kEntryCells + kParameterCells;
// kAllEntryCells for those farther behind.
constexpr uint8_t ParameterCellOf(uint64_t position) {
  return position < kParameterCells ? static_cast<uint8_t>(kEntryCells + position) : kAllEntryCells;
}
// The first of them that a probe at the function's entry stashes (agent/hit/entry_stash.h): all but
// xmm6 and xmm7, so that a stash fits into two cache lines.
inline constexpr uint8_t kStashCells = 12;
constexpr uint8_t EntryCellOf(uint64_t dwarf_register) {
  constexpr uint8_t kGeneral[] = {kEntryCells, 2,           3,           kEntryCells, 1,
                                  0,           kEntryCells, kEntryCells, 4,           5};
  if (dwarf_register < sizeof(kGeneral)) return kGeneral[dwarf_register];
  return dwarf_register >= 17 && dwarf_register <= 24 ? static_cast<uint8_t>(dwarf_register - 11)
                                                      : kEntryCells;
}

}  // namespace stillframe

#endif  // STILLFRAME_PLAN_PROGRAM_H_
