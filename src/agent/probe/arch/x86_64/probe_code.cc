// Code made for one probe at one site: it decides the hit by itself where it can. Entered from the
// trampoline's head (trampoline.cc) with
//   RAX       the thread's slot, which has announced the hit
//   [RSP]     RCX of the site, [RSP+8] RAX of the site
// and everything else, flags included, as at the site. It leaves to `decline`, which goes on with
// the program, or to `full`, which saves everything and calls the hit path; both expect the same
// again.
//
// Hit-path contract as in trampoline.cc. Stack: 8 bytes for each register used and 8 for the flags.
#include "agent/hit/hit.h"
#include "agent/probe/arch/arch.h"
#include "agent/probe/arch/x86_64/program_compiler.h"

namespace stillframe::probe::arch {
namespace {

void Enter(Assembler& code, uint32_t cells) {
  code.Move(kRcx, kRax);
  code.SaveFlags();
  for (uint32_t i = 0; i < cells; ++i) code.Push(kCellRegisters[i]);
  code.Push(kRax);
}

// Everything as it was at the entry.
void Leave(Assembler& code, uint32_t cells, uint64_t to) {
  code.Pop(kRax);
  code.RestoreFlags();
  for (uint32_t i = cells; i-- > 0;) code.Pop(kCellRegisters[i]);
  code.Move(kRax, kRcx);
  code.JumpTo(to);
}

// One instruction counts, so that a hit in a signal handler of this thread loses nothing.
void Count(Assembler& code, const ProbeCodeSpec& spec, hit::Counter what,
           const hit::CodeLayout& layout) {
  code.MoveImmediate(kRax, spec.first_counter + sizeof(uint64_t) * what);
  code.Operate(kAdd, kRax, kRcx, static_cast<int32_t>(layout.slot_shard_bytes));
  code.IncrementMemory(kRax);
}

// Guarded reads are usable and the thread's ranges are those of this turn of the agent.
void CheckTurn(Assembler& code, const hit::CodeLayout& layout, Label& bail) {
  code.MoveImmediate(kRax, layout.guard_turn);
  code.Load(kRax, kRax, 0, 4);
  code.Test(kRax, kRax);
  code.JumpIf(kEqual, bail);
  code.CompareThread32(
      kRax, static_cast<int32_t>(layout.thread) + static_cast<int32_t>(layout.fast_turn));
  code.JumpIf(kNotEqual, bail);
}

SavedRegisters WhereSaved(uint32_t cells, const hit::SiteRuntime& site) {
  SavedRegisters saved;
  saved.cells = cells;
  saved.first_cell = static_cast<int32_t>(8 * cells);  // above the flags and the later ones
  saved.rcx = static_cast<int32_t>(8 + 8 * cells);
  saved.rax = saved.rcx + 8;
  saved.rsp_at_site = saved.rax + 8 + static_cast<int32_t>(site.rsp_below_site_bytes);
  return saved;
}

}  // namespace

Result<std::vector<uint8_t>> EmitProbeCode(const ProbeCodeSpec& spec, uint64_t address,
                                           const hit::SiteRuntime& site,
                                           const hit::CodeLayout& layout) {
  const ProgramInput input{spec.condition, spec.strings, spec.cfa, spec.load_bias, &layout};
  ProgramNeeds needs;
  if (!spec.condition.empty()) {
    SF_ASSIGN_OR_RETURN(needs, MeasureProgram(input));
  } else if (!spec.counts_only) {
    return Status(Code::kUnsupported, "every hit is captured: there is nothing to decide");
  }
  Assembler code(address);
  ProgramLabels labels;
  Label leave;
  Enter(code, needs.cells);
  if (needs.guarded_reads) CheckTurn(code, layout, labels.bail);
  if (!spec.condition.empty()) {
    SF_RETURN_IF_ERROR(CompileProgram(input, WhereSaved(needs.cells, site), code, labels));
    code.Bind(labels.is_false);
    Count(code, spec, hit::kConditionFalse, layout);
  } else {
    Count(code, spec, hit::kCaptured, layout);
  }
  code.Bind(leave);
  Leave(code, needs.cells, site.decline_entry);
  EmitSecondTries(layout, code, labels);
  if (spec.counts_only && !spec.condition.empty()) {
    code.Bind(labels.is_true);
    Count(code, spec, hit::kCaptured, layout);
    code.Jump(leave);
  }
  if (!spec.counts_only) code.Bind(labels.is_true);
  code.Bind(labels.bail);
  Leave(code, needs.cells, site.full_entry);
  if (!code.in_reach()) return Status(Code::kInternal, "probe code is out of its site's reach");
  return std::move(code).Take();
}

}  // namespace stillframe::probe::arch
