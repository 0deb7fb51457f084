// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/; at
// most `count` steps and kMaxWork, because jumps go forward but for loops, which are paid for;
// errno untouched; general registers only.
//
// Programs are verified (plan/verifier.h): stack depth, jump targets, operand sizes and string
// indices are not checked again here.
#include "agent/hit/interpreter.h"

#include "agent/hit/float_ops.h"
#include "agent/hit/text_ops.h"
#include "agent/hit/thread_locals.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

// Strings are compared in pieces of this size that never cross a page, so that a short string at
// the end of a mapping is not taken for unreadable.
constexpr uint32_t kPieceBytes = 64;
constexpr uint64_t kPageBytes = 4096;

SF_HIT_INLINE uint64_t Extend(uint64_t value, uint8_t size_bytes, bool is_signed) {
  if (size_bytes >= 8) return value;
  const int shift = 64 - 8 * size_bytes;
  value <<= shift;
  return is_signed ? static_cast<uint64_t>(static_cast<int64_t>(value) >> shift) : value >> shift;
}

SF_HIT_INLINE uint64_t ShiftLeft(uint64_t value, uint64_t count) {
  return count >= 64 ? 0 : value << count;
}
SF_HIT_INLINE uint64_t ShiftRight(uint64_t value, uint64_t count) {
  return count >= 64 ? 0 : value >> count;
}
SF_HIT_INLINE uint64_t ShiftRightSigned(uint64_t value, uint64_t count) {
  return static_cast<uint64_t>(static_cast<int64_t>(value) >> (count >= 64 ? 63 : count));
}

// kDivS, kDivU, kModS, kModU; false where x86 would trap.
SF_HIT_INLINE bool Divide(Op op, uint64_t left, uint64_t right, uint64_t& out) {
  if (right == 0) return false;
  if (op == Op::kDivU || op == Op::kModU) {
    out = op == Op::kDivU ? left / right : left % right;
    return true;
  }
  const auto l = static_cast<int64_t>(left);
  const auto r = static_cast<int64_t>(right);
  if (r == -1 && left == uint64_t{1} << 63) return false;
  out = static_cast<uint64_t>(op == Op::kDivS ? l / r : l % r);
  return true;
}

// A comparison under way. In memory of the caller's and not in registers, which would have to be
// saved on the application's stack.
struct StringWork {
  uint8_t piece[kPieceBytes];
  uint64_t address;
  const char* data;
  uint64_t length;
  uint64_t total;  // to compare: with the NUL, if one must follow
  uint64_t done;
  uint32_t size;  // of the piece
};
static_assert(sizeof(StringWork) <= sizeof(SideWork) - sizeof(SideWork::left));

// Of the piece that was read; a NUL inside of a literal that a NUL must follow is a difference.
SF_HIT_INLINE bool PieceDiffers(const StringWork& work) {
  const bool terminated = work.total != work.length;
  for (uint32_t i = 0; i < work.size; ++i) {
    const bool at_end = work.done + i == work.length;
    const uint8_t expected = at_end ? 0 : static_cast<uint8_t>(work.data[work.done + i]);
    if (work.piece[i] != expected || (terminated && expected == 0 && !at_end)) return true;
  }
  return false;
}

// Compares target memory with what `work` says. kOk or kUnreadable; equal when all is done.
__attribute__((noinline)) Code CompareBytes(const MemoryReader& memory, StringWork& work) {
  while (work.done < work.total) {
    const uint64_t to_page_end = kPageBytes - ((work.address + work.done) & (kPageBytes - 1));
    const uint64_t left = work.total - work.done;
    uint64_t size = left < kPieceBytes ? left : kPieceBytes;
    if (size > to_page_end) size = to_page_end;
    work.size = static_cast<uint32_t>(size);
    if (!memory.read(memory.self, work.address + work.done, work.piece, work.size)) {
      return Code::kUnreadable;
    }
    if (PieceDiffers(work)) return Code::kOk;
    work.done += work.size;
  }
  return Code::kOk;
}

SF_HIT_INLINE StringWork& StartString(uint64_t* cells, uint64_t address, const StringRef& literal,
                                      bool terminated) {
  // Behind SideWork::left.
  auto& work = *reinterpret_cast<StringWork*>(cells + kMaxStack + kMaxLocals + 1);
  work.address = address;
  work.data = literal.data;
  work.length = literal.size_bytes;
  work.total = literal.size_bytes + (terminated ? 1 : 0);
  work.done = 0;
  return work;
}

SF_HIT_INLINE bool LoadXmm(const FrameContext& frame, const Insn& insn, uint64_t& out) {
  if (frame.xmm == nullptr) return false;
  const uint8_t* bytes = frame.xmm[insn.a];
  out = 0;
  for (int i = 0; i < insn.b; ++i) out |= static_cast<uint64_t>(bytes[i]) << (8 * i);
  return true;
}

Code ReasonOf(const EntryValues* entry) {
  return entry == nullptr || entry->absent == Code::kOk ? Code::kEntryValueUnknown : entry->absent;
}

// Eight hexadecimal digits, the first one at the lowest address.
uint64_t HexDigits(const uint8_t* bytes) {
  uint64_t out = 0;
  for (int i = 0; i < 8; ++i) {
    const uint8_t digit = i % 2 == 0 ? bytes[i / 2] >> 4 : bytes[i / 2] & 15;
    out |= static_cast<uint64_t>(digit < 10 ? '0' + digit : 'a' + digit - 10) << (8 * i);
  }
  return out;
}

__attribute__((noinline)) Code ReadFact(const FrameContext& frame, uint8_t fact, uint64_t& out) {
  const HitFacts* const facts = frame.facts;
  if (facts == nullptr) return Code::kUnavailable;
  switch (static_cast<Fact>(fact)) {
    case Fact::kThreadId:
      out = facts->thread_id;
      return Code::kOk;
    case Fact::kHits:
      out = facts->hits;
      return Code::kOk;
    case Fact::kDuration:
      out = facts->duration_ns;
      return facts->has_duration != 0 ? Code::kOk : Code::kUnavailable;
    default: {
      const bool traced = facts->trace != nullptr && facts->trace->valid != 0;
      const int at = 4 * (fact - static_cast<int>(Fact::kTrace0));
      out = traced ? HexDigits(facts->trace->trace_id + at) : 0;
      return Code::kOk;
    }
  }
}

// The result goes where the lowest operand was.
__attribute__((noinline)) Code RunTextTest(uint64_t* cells, uint64_t* top, const Insn& insn,
                                           const MemoryReader& memory, const StringRef* strings) {
  SideWork& work = SideOf(cells);
  if (insn.imm < 0) {
    work.other.size_bytes = top[0];
    work.other.address = top[-1];
    work.other.literal = nullptr;
    top -= 2;
  } else {
    work.other.size_bytes = strings[insn.imm].size_bytes;
    work.other.literal = strings[insn.imm].data;
  }
  work.one.size_bytes = top[0];
  work.one.address = top[-1];
  work.one.literal = nullptr;
  return TestTexts(memory, work, static_cast<TextTest>(insn.a), top[-1]);
}

// Rare enough to stand outside of the interpreter's loop, where their registers would cost every
// program.
__attribute__((noinline)) Code RunSide(uint64_t* cells, uint64_t* top, const Insn& insn,
                                       const FrameContext& frame, const MemoryReader& memory,
                                       const StringRef* strings) {
  switch (insn.op) {
    case Op::kFact:
      return ReadFact(frame, insn.a, top[1]);
    case Op::kTextTest:
      return RunTextTest(cells, top, insn, memory, strings);
    case Op::kNameTest: {
      SideWork& work = SideOf(cells);
      const StringRef& list = strings[insn.imm];
      work.one = {top[-1], nullptr, *top};
      work.other = {0, list.data, list.size_bytes};
      return TestName(memory, work, top[-1]);
    }
    case Op::kTextLength:
      return MeasureText(memory, SideOf(cells), static_cast<uint64_t>(insn.imm), insn.b != 0, *top);
    case Op::kThreadBlock:
      return ThreadLocalBlock(frame, *top, memory, *top);
    case Op::kThreadOffset:
      return ThreadLocalAt(frame, *top, *top);
    default:
      return NextInOrder(memory, SideOf(cells), insn, *top);
  }
}

// False: the work is used up.
SF_HIT_INLINE bool PayRound(uint64_t* cells, int64_t distance) {
  SideWork& work = SideOf(cells);
  const uint64_t price = RoundWork(uint64_t{0} - static_cast<uint64_t>(distance));
  if (work.left < price) return false;
  work.left -= price;
  return true;
}

}  // namespace

EvalResult EvaluateWithStack(uint64_t* cells, const Insn* code, uint32_t count,
                             const FrameContext& frame, const MemoryReader& memory,
                             const StringRef* strings) {
  // `top` points at the top cell; cells[-1] is never touched by a verified program.
  uint64_t* top = cells - 1;
  uint64_t result = 0;
  SideOf(cells).left = kMaxWork;
  const Insn* const end = code + count;
  // The right operand is popped into `right`; the left one is the new top.
#define SF_BINARY(expression)      \
  {                                \
    const uint64_t right = *top--; \
    const uint64_t left = *top;    \
    *top = (expression);           \
  }                                \
  break
#define SF_SIGNED(x) static_cast<int64_t>(x)
  for (const Insn* insn = code; insn < end; ++insn) {
    switch (insn->op) {
      case Op::kReturn:
        return {*top, Code::kOk};
      case Op::kFail:
        return {0, static_cast<Code>(insn->a)};
      case Op::kConst:
        *++top = static_cast<uint64_t>(insn->imm);
        break;
      case Op::kRegister:
        if ((frame.valid_registers >> insn->a & 1) == 0) return {0, Code::kNotSaved};
        *++top = frame.registers[insn->a];
        break;
      case Op::kCfa:
        if (frame.cfa_known == 0) return {0, Code::kNotSaved};
        *++top = frame.cfa;
        break;
      case Op::kModuleAddress:
        *++top = static_cast<uint64_t>(insn->imm) + frame.load_bias;
        break;
      case Op::kXmm:
        if (!LoadXmm(frame, *insn, *++top)) return {0, Code::kNotSaved};
        break;
      case Op::kThreadLocal: {
        const Code code_or_ok = ThreadLocalBlock(frame, frame.tls_module, memory, *++top);
        if (code_or_ok != Code::kOk) return {0, code_or_ok};
        *top += static_cast<uint64_t>(insn->imm);
        break;
      }
      case Op::kEntryValue:
        if (frame.entry == nullptr || (frame.entry->valid >> insn->a & 1) == 0) {
          return {0, ReasonOf(frame.entry)};
        }
        *++top = frame.entry->cells[insn->a];
        break;
      case Op::kLoad:
        result = *top;
        *top = 0;  // the bytes above what is read
        if (!memory.read(memory.self, result, top, insn->a)) return {0, Code::kUnreadable};
        *top = Extend(*top, insn->a, insn->b != 0);
        break;
      case Op::kDup:
        result = *top;
        *++top = result;
        break;
      case Op::kDrop:
        --top;
        break;
      case Op::kSwap:
        result = *top;
        *top = top[-1];
        top[-1] = result;
        break;
      case Op::kOver:
        result = top[-1];
        *++top = result;
        break;
      case Op::kRot:  // DWARF 5 §2.5.1.3: the top becomes the third, the second becomes the top
        result = *top;
        *top = top[-1];
        top[-1] = top[-2];
        top[-2] = result;
        break;
      case Op::kPick:
        result = *(top - insn->a);
        *++top = result;
        break;
      case Op::kAddImm:
        *top += static_cast<uint64_t>(insn->imm);
        break;
      case Op::kAdd:
        SF_BINARY(left + right);
      case Op::kSub:
        SF_BINARY(left - right);
      case Op::kMul:
        SF_BINARY(left * right);
      case Op::kDivS:
      case Op::kDivU:
      case Op::kModS:
      case Op::kModU:
        --top;
        if (!Divide(insn->op, top[0], top[1], *top)) return {0, Code::kBadExpression};
        break;
      case Op::kAnd:
        SF_BINARY(left & right);
      case Op::kOr:
        SF_BINARY(left | right);
      case Op::kXor:
        SF_BINARY(left ^ right);
      case Op::kShl:
        SF_BINARY(ShiftLeft(left, right));
      case Op::kShrU:
        SF_BINARY(ShiftRight(left, right));
      case Op::kShrS:
        SF_BINARY(ShiftRightSigned(left, right));
      case Op::kNeg:
        *top = uint64_t{0} - *top;
        break;
      case Op::kNot:
        *top = ~*top;
        break;
      case Op::kLogicalNot:
        *top = *top == 0 ? 1 : 0;
        break;
      case Op::kBool:
        *top = *top != 0 ? 1 : 0;
        break;
      case Op::kExtend:
        *top = Extend(*top, insn->a, insn->b != 0);
        break;
      case Op::kEq:
        SF_BINARY(left == right ? 1 : 0);
      case Op::kNe:
        SF_BINARY(left != right ? 1 : 0);
      case Op::kLtS:
        SF_BINARY(SF_SIGNED(left) < SF_SIGNED(right) ? 1 : 0);
      case Op::kLtU:
        SF_BINARY(left < right ? 1 : 0);
      case Op::kLeS:
        SF_BINARY(SF_SIGNED(left) <= SF_SIGNED(right) ? 1 : 0);
      case Op::kLeU:
        SF_BINARY(left <= right ? 1 : 0);
      case Op::kFAdd:
        SF_BINARY(stillframe_f64_add(left, right));
      case Op::kFSub:
        SF_BINARY(stillframe_f64_sub(left, right));
      case Op::kFMul:
        SF_BINARY(stillframe_f64_mul(left, right));
      case Op::kFDiv:
        SF_BINARY(stillframe_f64_div(left, right));
      case Op::kFNeg:
        *top ^= kF64Sign;
        break;
      case Op::kFEq:
        SF_BINARY(F64Equal(left, right) ? 1 : 0);
      case Op::kFNe:
        SF_BINARY(F64Equal(left, right) ? 0 : 1);
      case Op::kFLt:
        SF_BINARY(F64Less(left, right) ? 1 : 0);
      case Op::kFLe:
        SF_BINARY(F64LessEqual(left, right) ? 1 : 0);
      case Op::kF32ToF64:
        *top = stillframe_f32_to_f64(*top);
        break;
      case Op::kF64ToF32:
        *top = stillframe_f64_to_f32(*top);
        break;
      case Op::kS64ToF64:
        *top = stillframe_s64_to_f64(*top);
        break;
      case Op::kU64ToF64:
        *top = stillframe_u64_to_f64(*top);
        break;
      case Op::kF64ToS64:
        if (!F64ToS64(*top, *top)) return {0, Code::kBadExpression};
        break;
      case Op::kF64ToU64:
        if (!F64ToU64(*top, *top)) return {0, Code::kBadExpression};
        break;
      case Op::kJump:
        insn += insn->imm - 1;
        break;
      case Op::kJumpIfZero:
        if (*top-- == 0) insn += insn->imm - 1;
        break;
      case Op::kJumpIfNonZero:
        if (*top-- != 0) insn += insn->imm - 1;
        break;
      case Op::kStringEq: {
        const StringRef& literal = strings[insn->imm];
        const uint64_t length = *top--;
        const uint64_t address = *top;
        *top = 0;
        if (length != literal.size_bytes) break;
        if (SideOf(cells).left < length) return {0, Code::kLimit};
        SideOf(cells).left -= length;
        StringWork& work = StartString(cells, address, literal, false);
        if (CompareBytes(memory, work) != Code::kOk) return {0, Code::kUnreadable};
        *top = work.done == work.total ? 1 : 0;
        break;
      }
      case Op::kCStringEq: {
        if (SideOf(cells).left < strings[insn->imm].size_bytes) return {0, Code::kLimit};
        SideOf(cells).left -= strings[insn->imm].size_bytes;
        StringWork& work = StartString(cells, *top, strings[insn->imm], true);
        if (CompareBytes(memory, work) != Code::kOk) return {0, Code::kUnreadable};
        *top = work.done == work.total ? 1 : 0;
        break;
      }
      case Op::kGetLocal:
        *++top = cells[kMaxStack + insn->a];
        break;
      case Op::kSetLocal:
        cells[kMaxStack + insn->a] = *top--;
        break;
      case Op::kLoop:
        if (!PayRound(cells, insn->imm)) return {0, Code::kLimit};
        insn += insn->imm - 1;
        break;
      case Op::kFact:
      case Op::kTextTest:
      case Op::kTextLength:
      case Op::kNameTest:
      case Op::kTreeNext:
      case Op::kThreadBlock:
      case Op::kThreadOffset: {
        const Code code_or_ok = RunSide(cells, top, *insn, frame, memory, strings);
        if (code_or_ok != Code::kOk) return {0, code_or_ok};
        if (insn->op == Op::kFact) ++top;
        if (insn->op == Op::kTextTest) top -= insn->imm < 0 ? 3 : 1;
        if (insn->op == Op::kNameTest) --top;
        break;
      }
    }
  }
#undef SF_BINARY
#undef SF_SIGNED
  return {0, Code::kCorrupt};  // ran off the end: the program was not verified
}

EvalResult Evaluate(const Insn* code, uint32_t count, const FrameContext& frame,
                    const MemoryReader& memory, const StringRef* strings) {
  uint64_t cells[kMaxStack + kSideCells];
  return EvaluateWithStack(cells, code, count, frame, memory, strings);
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
