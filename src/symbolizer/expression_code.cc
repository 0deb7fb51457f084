#include "symbolizer/expression_code.h"

#include <bit>

#include "plan/verifier.h"
#include "symbolizer/expression_lexer.h"

namespace stillframe::expression {
namespace {

bool IsJump(Op op) { return op == Op::kJump || op == Op::kJumpIfZero || op == Op::kJumpIfNonZero; }

uint64_t ExtendValue(uint64_t value, uint32_t size_bytes, bool is_signed) {
  const uint32_t shift = 64 - 8 * size_bytes;
  if (is_signed) return static_cast<uint64_t>(static_cast<int64_t>(value << shift) >> shift);
  return value << shift >> shift;
}

}  // namespace

void Fragment::Emit(Op op, uint8_t a, uint8_t b, int64_t imm) {
  Insn insn;
  insn.op = op;
  insn.a = a;
  insn.b = b;
  insn.imm = imm;
  insns_.push_back(insn);
}

void Fragment::AddImm(uint64_t delta) {
  if (delta != 0) Emit(Op::kAddImm, 0, 0, static_cast<int64_t>(delta));
}

void Fragment::Load(uint32_t size_bytes, bool is_signed) {
  Emit(Op::kLoad, static_cast<uint8_t>(size_bytes), is_signed ? 1 : 0);
}

void Fragment::Extend(uint32_t size_bytes, bool is_signed) {
  if (size_bytes >= 8) return;
  if (constant()) {
    Insn& insn = insns_.back();
    insn.imm =
        static_cast<int64_t>(ExtendValue(static_cast<uint64_t>(insn.imm), size_bytes, is_signed));
    return;
  }
  Emit(Op::kExtend, static_cast<uint8_t>(size_bytes), is_signed ? 1 : 0);
}

void Fragment::FailIfZero(Code code) {
  Emit(Op::kJumpIfNonZero, 0, 0, 2);
  Emit(Op::kFail, static_cast<uint8_t>(code));
}

void Fragment::Append(const Fragment& other) {
  insns_.insert(insns_.end(), other.insns_.begin(), other.insns_.end());
}

size_t Fragment::Jump(Op op) {
  Emit(op);
  return insns_.size() - 1;
}

void Fragment::Bind(size_t jump) { insns_[jump].imm = static_cast<int64_t>(insns_.size() - jump); }

void Fragment::Loop(size_t target) {
  Emit(Op::kLoop, 0, 0, static_cast<int64_t>(target) - static_cast<int64_t>(insns_.size()));
}

std::optional<uint64_t> Fragment::constant() const {
  if (insns_.size() != 1 || insns_[0].op != Op::kConst) return std::nullopt;
  return static_cast<uint64_t>(insns_[0].imm);
}

Result<Fragment> Inline(const PlanUnit& unit, const Program& program) {
  SF_ASSIGN_OR_RETURN(const std::vector<uint8_t> depths,
                      StackDepths(unit.code, program, unit.strings.size()));
  Fragment out;
  std::vector<size_t> position(program.count);   // of each instruction in `out`
  std::vector<std::pair<size_t, size_t>> jumps;  // in `out` -> target in the program
  std::vector<size_t> exits;
  for (uint32_t i = 0; i < program.count; ++i) {
    position[i] = out.insns().size();
    if (depths[i] == kNeverRuns) continue;
    const Insn& insn = unit.code[program.first + i];
    if (insn.op == Op::kReturn) {
      for (int extra = depths[i] - 1; extra > 0; --extra) {
        out.Emit(Op::kSwap);
        out.Emit(Op::kDrop);
      }
      if (i + 1 != program.count) exits.push_back(out.Jump(Op::kJump));
      continue;
    }
    if (IsJump(insn.op)) {
      jumps.emplace_back(out.insns().size(), i + static_cast<size_t>(insn.imm));
    }
    out.Emit(insn.op, insn.a, insn.b, insn.imm);
  }
  Fragment bound;
  std::vector<Insn> insns = out.insns();
  for (const auto& [from, target] : jumps) {
    insns[from].imm = static_cast<int64_t>(position[target] - from);
  }
  for (const size_t from : exits) insns[from].imm = static_cast<int64_t>(insns.size() - from);
  for (const Insn& insn : insns) bound.Emit(insn.op, insn.a, insn.b, insn.imm);
  return bound;
}

void EmitLoadBytes(Fragment& code, uint32_t size_bytes) {
  if (std::has_single_bit(size_bytes)) return code.Load(size_bytes, false);
  // [address] -> [address result], then part by part, then the address is dropped.
  code.Const(0);
  for (uint32_t done = 0; done < size_bytes;) {
    const uint32_t part = std::bit_floor(size_bytes - done);
    code.Emit(Op::kOver);
    code.AddImm(done);
    code.Load(part, false);
    if (done != 0) {
      code.Const(uint64_t{8} * done);
      code.Emit(Op::kShl);
    }
    code.Emit(Op::kOr);
    done += part;
  }
  code.Emit(Op::kSwap);
  code.Emit(Op::kDrop);
}

Result<Program> Finish(PlanUnit& unit, Fragment code, uint16_t locals) {
  code.Emit(Op::kReturn);
  if (code.insns().size() > kMaxProgramLength) {
    return BadExpression(1, "the expression is too long for one program");
  }
  Program program;
  program.count = static_cast<uint32_t>(code.insns().size());
  const Status status = VerifyProgram(code.insns(), program, unit.strings.size(), locals);
  if (!status.ok()) return BadExpression(1, "the expression is too complex: " + status.message());
  program.first = static_cast<uint32_t>(unit.code.size());
  unit.code.insert(unit.code.end(), code.insns().begin(), code.insns().end());
  return program;
}

StringId InternString(PlanUnit& unit, std::string_view text) {
  for (size_t i = 0; i < unit.strings.size(); ++i) {
    if (unit.strings[i] == text) return static_cast<StringId>(i);
  }
  unit.strings.emplace_back(text);
  return static_cast<StringId>(unit.strings.size() - 1);
}

}  // namespace stillframe::expression
