// A site of x86-64 code once understood: the decoded instruction, how control leaves it, and the
// ways to patch it.
#ifndef STILLFRAME_AGENT_PROBE_ARCH_X86_64_SITE_H_
#define STILLFRAME_AGENT_PROBE_ARCH_X86_64_SITE_H_

#include <cstdint>
#include <vector>

#include "agent/probe/arch/arch.h"
#include "agent/probe/arch/x86_64/instruction.h"

namespace stillframe::probe::arch {

// How control leaves the instruction; decides how it is relocated.
enum class Flow : uint8_t {
  kPlain,         // falls through
  kCallDirect,    // E8 rel32
  kCallIndirect,  // FF /2
  kJump,          // E9, EB
  kConditional,   // 7x, 0F 8x
  kLoop,          // LOOPcc, JRCXZ: rel8 only
  kReturn,        // C2, C3
  kJumpIndirect,  // FF /4
};

class X86Site final : public SiteAnalysis {
 public:
  X86Site(uint64_t address, const Instruction& insn, Flow flow)
      : address_(address), insn_(insn), flow_(flow) {}

  uint64_t address() const override { return address_; }
  uint32_t instruction_bytes() const override { return insn_.length; }
  std::span<const uint8_t> instruction() const override { return {insn_.bytes, insn_.length}; }
  const std::vector<PatchOption>& options() const override { return options_; }
  bool falls_through() const override {
    return flow_ != Flow::kJump && flow_ != Flow::kReturn && flow_ != Flow::kJumpIndirect;
  }
  bool is_filler() const override {
    const bool nop = insn_.legacy(OpcodeMap::kOneByte, 0x90) && insn_.rex == 0 && !insn_.rep;
    return nop || insn_.legacy(OpcodeMap::k0F, 0x1F);
  }
  bool replaces_call() const override { return flow_ == Flow::kCallIndirect && !site_calls(); }
  // Is the patched site a call itself? Then the trampoline finds the return address on the stack
  // and goes on to the callee. Direct calls are retargeted; indirect ones that are long enough
  // become direct ones with prefixes in front.
  bool site_calls() const override {
    return flow_ == Flow::kCallDirect || (flow_ == Flow::kCallIndirect && CanPadCall());
  }
  // The operand's base is RSP, which a call has moved by 8 when the trampoline reads it.
  bool operand_uses_rsp() const;

  const Instruction& insn() const { return insn_; }
  Flow flow() const { return flow_; }
  uint64_t end() const { return address_ + insn_.length; }
  // Of direct branches and calls.
  uint64_t branch_target() const {
    return end() + static_cast<uint64_t>(insn_.BranchDisplacement());
  }
  // Of RIP-relative operands.
  uint64_t operand_target() const { return end() + static_cast<uint64_t>(insn_.Displacement()); }
  bool CanPadCall() const;

  void set_options(std::vector<PatchOption> options) { options_ = std::move(options); }

 private:
  uint64_t address_;
  Instruction insn_;
  Flow flow_;
  std::vector<PatchOption> options_;
};

// Looks the instruction up in the allow-list and checks that Capstone sees the same length, the
// same control flow and the same RIP-relative operand. kUnsafeSite names the mnemonic.
Result<Flow> CheckAllowed(const Instruction& insn, uint64_t address);

// The ways to divert the site, best first. `window` are the bytes from the site on, at most
// kPatchWindowBytes of them; a jump that would need more is not offered.
std::vector<PatchOption> PatchOptions(const X86Site& site, std::span<const uint8_t> window);

}  // namespace stillframe::probe::arch

#endif  // STILLFRAME_AGENT_PROBE_ARCH_X86_64_SITE_H_
