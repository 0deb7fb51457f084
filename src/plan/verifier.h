// Proves a plan safe to run: every index in range, every program well-formed (stack depth between
// 0 and kMaxStack at every instruction and equal on all paths that join, forward jumps and loops
// inside the program, locals set before they are read, operand sizes legal, ends in kReturn or
// kFail on every path), every type acyclic where it is laid out inline and with members inside
// their parent's size. A plan that came over the wire or from a cache is hostile until this says
// OK.
#ifndef STILLFRAME_PLAN_VERIFIER_H_
#define STILLFRAME_PLAN_VERIFIER_H_

#include <span>
#include <vector>

#include "base/status.h"
#include "plan/plan.h"

namespace stillframe {

// kCorrupt with the place of the first violation.
// `locals` = those that are set when it begins, bit i: local i.
Status VerifyProgram(std::span<const Insn> code, const Program& program, size_t string_count,
                     uint16_t locals = 0);
inline constexpr uint16_t kFilterLocals = 1;  // of Variable::filter
// The same proof; on success the stack depth before each instruction of the program, kNeverRuns
// where no path leads. For who puts one program inside another.
inline constexpr uint8_t kNeverRuns = 0xff;
Result<std::vector<uint8_t>> StackDepths(std::span<const Insn> code, const Program& program,
                                         size_t string_count);
Status VerifyUnit(const PlanUnit& unit);
Status VerifyPlan(const ProbePlan& plan);

}  // namespace stillframe

#endif  // STILLFRAME_PLAN_VERIFIER_H_
