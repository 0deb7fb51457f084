// Pieces of bytecode that are put together before they go into a unit. Internal to the expression
// compiler.
#ifndef STILLFRAME_SYMBOLIZER_EXPRESSION_CODE_H_
#define STILLFRAME_SYMBOLIZER_EXPRESSION_CODE_H_

#include <optional>
#include <vector>

#include "base/status.h"
#include "plan/plan.h"

namespace stillframe::expression {

// A fragment: what it does to the stack is the user's affair. Jumps are relative, so fragments can
// be put one behind the other; there is always an instruction behind a fragment.
class Fragment {
 public:
  void Emit(Op op, uint8_t a = 0, uint8_t b = 0, int64_t imm = 0);
  void Const(uint64_t value) { Emit(Op::kConst, 0, 0, static_cast<int64_t>(value)); }
  // Nothing when delta is 0.
  void AddImm(uint64_t delta);
  void Load(uint32_t size_bytes, bool is_signed);
  // Keeps the low bytes (1, 2, 4, 8); nothing for 8. A constant is folded.
  void Extend(uint32_t size_bytes, bool is_signed);
  // Pops; fails with `code` when the cell was 0.
  void FailIfZero(Code code);
  void Append(const Fragment& other);
  // A forward jump to be bound later.
  size_t Jump(Op op);
  void Bind(size_t jump);
  // Where a loop begins, and the jump back to there.
  size_t Here() const { return insns_.size(); }
  void Loop(size_t target);
  void Get(uint8_t local) { Emit(Op::kGetLocal, local); }
  void Set(uint8_t local) { Emit(Op::kSetLocal, local); }
  void Fail(Code code) { Emit(Op::kFail, static_cast<uint8_t>(code)); }

  const std::vector<Insn>& insns() const { return insns_; }
  // The cell that it pushes when it is nothing but one constant.
  std::optional<uint64_t> constant() const;

 private:
  std::vector<Insn> insns_;
};

// The program as a fragment that pushes its result and leaves nothing else, whatever it does
// inside.
Result<Fragment> Inline(const PlanUnit& unit, const Program& program);

// Pops an address, pushes `size_bytes` (1..8, any) zero-extended, never reading beyond them.
void EmitLoadBytes(Fragment& code, uint32_t size_bytes);

// Appends fragment + kReturn to unit.code. kBadExpression when the machine's limits do not hold it.
// `locals`: as VerifyProgram has them.
Result<Program> Finish(PlanUnit& unit, Fragment code, uint16_t locals = 0);

StringId InternString(PlanUnit& unit, std::string_view text);

}  // namespace stillframe::expression

#endif  // STILLFRAME_SYMBOLIZER_EXPRESSION_CODE_H_
