// Code made for one probe at one site: it decides the hit by itself where it can. Entered from the
// trampoline's head (trampoline.cc) with
//   RAX       the thread's slot, which has announced the hit
//   [RSP]     RCX of the site, [RSP+8] RAX of the site
// and everything else, flags included, as at the site. It leaves to `decline`, which goes on with
// the program, or to `full`, which saves everything and calls the hit path; both expect the same
// again.
//
// Hit-path contract as in trampoline.cc. Stack: 8 bytes for each register used and 8 for the flags.
#include <algorithm>
#include <cstddef>

#include "agent/hit/hit.h"
#include "agent/probe/arch/arch.h"
#include "agent/probe/arch/x86_64/light_code.h"
#include "agent/probe/arch/x86_64/program_compiler.h"

namespace stillframe::probe::arch {
namespace {

constexpr uint32_t kPushedBytes = 16;  // by the trampoline's head

// What stands on the stack while the code runs: saved registers, flags, slots.
struct Frame {
  uint32_t cells = 0;
  uint32_t slot_bytes = 0;
};

void Enter(Assembler& code, const Frame& frame) {
  code.Move(kRcx, kRax);
  code.SaveFlags();
  for (uint32_t i = 0; i < frame.cells; ++i) code.Push(kCellRegisters[i]);
  code.Push(kRax);
  if (frame.slot_bytes != 0) {
    code.LoadAddress(kRsp, kRsp, -static_cast<int32_t>(frame.slot_bytes));
  }
}

// Everything as it was at the entry.
void Leave(Assembler& code, const Frame& frame, uint64_t to) {
  const CfiRow inside = code.frame();
  if (frame.slot_bytes != 0) {
    code.LoadAddress(kRsp, kRsp, static_cast<int32_t>(frame.slot_bytes));
  }
  code.Pop(kRax);
  code.RestoreFlags();
  for (uint32_t i = frame.cells; i-- > 0;) code.Pop(kCellRegisters[i]);
  code.Move(kRax, kRcx);
  code.JumpTo(to);
  code.SetFrame(inside);  // what follows is led to from elsewhere
}

SavedRegisters WhereSaved(const Frame& frame, const hit::SiteRuntime& site) {
  const auto slots = static_cast<int32_t>(frame.slot_bytes);
  const auto cells = static_cast<int32_t>(8 * frame.cells);
  SavedRegisters saved;
  saved.cells = frame.cells;
  saved.first_cell = slots + cells;  // above the flags and the later ones
  saved.rcx = slots + 8 + cells;
  saved.rax = saved.rcx + 8;
  saved.rsp_at_site = saved.rax + 8 + static_cast<int32_t>(site.rsp_below_site_bytes);
  return saved;
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

}  // namespace

Result<EmittedCode> EmitProbeCode(const ProbeCodeSpec& spec, uint64_t address,
                                  const SiteAnalysis& analysis, const hit::SiteRuntime& site,
                                  const hit::CodeLayout& layout) {
  using hit::Action;
  const bool logs = spec.action == Action::kLog && spec.light != nullptr;
  const bool counts = spec.action == Action::kCount;
  const bool has_condition = !spec.condition.empty();
  if (!has_condition && !logs && !counts) {
    return Status(Code::kUnsupported, "every hit goes the full way: there is nothing to decide");
  }
  const ProgramInput input{spec.condition, spec.strings, spec.cfa, spec.load_bias, &layout, {}};
  ProgramNeeds needs;
  if (has_condition) {
    SF_ASSIGN_OR_RETURN(needs, MeasureProgram(input));
  }
  LightCode light(spec, layout);
  Frame frame;
  if (logs) {
    SF_ASSIGN_OR_RETURN(const ProgramNeeds more, light.Measure());
    needs.cells = std::max(needs.cells, more.cells);
    needs.guarded_reads = needs.guarded_reads || more.guarded_reads;
    frame.slot_bytes = light.slot_bytes();
  }
  frame.cells = needs.cells;
  const SavedRegisters saved = WhereSaved(frame, site);
  Assembler code(address);
  ProgramLabels labels;
  Label no_room;
  CfiRow at_entry;
  at_entry.cfa_offset = site.rsp_below_site_bytes + kPushedBytes;
  at_entry.resume_address = analysis.site_calls() ? 0 : analysis.address();
  code.SetFrame(at_entry);
  Enter(code, frame);
  if (needs.guarded_reads) CheckTurn(code, layout, labels.bail);
  if (has_condition) {
    SF_RETURN_IF_ERROR(CompileProgram(input, saved, code, labels));
    code.Bind(labels.is_false);
    Count(code, spec, hit::kConditionFalse, layout);
    Leave(code, frame, site.decline_entry);
  }
  if (counts || logs) {
    code.Bind(labels.is_true);
    if (logs) SF_RETURN_IF_ERROR(light.Emit(saved, code, labels, no_room));
    // Counted before it can be taken, so that a taken record is never ahead of the sum.
    Count(code, spec, hit::kCaptured, layout);
    if (logs) code.StoreImmediate32(kRdi, offsetof(LightHeader, state), kLightCommitted);
    Leave(code, frame, site.decline_entry);
  }
  if (logs) {
    code.Bind(no_room);
    Count(code, spec, hit::kRingFull, layout);
    Leave(code, frame, site.decline_entry);
  }
  EmitSecondTries(layout, code, labels);
  if (!counts && !logs) code.Bind(labels.is_true);
  code.Bind(labels.bail);
  Leave(code, frame, site.full_entry);
  if (!code.in_reach()) return Status(Code::kInternal, "probe code is out of its site's reach");
  const CfiRange frames = code.Frames();
  return EmittedCode{std::move(code).Take(), EncodeEhFrame({&frames, 1})};
}

}  // namespace stillframe::probe::arch
