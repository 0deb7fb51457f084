#include "agent/probe/arch/x86_64/relocator.h"

namespace stillframe::probe::arch {
namespace {

// The bytes as they are, but for a RIP-relative displacement, which is counted from the new end:
//   at 1000: 48 8b 05 10 00 00 00   mov rax, [rip+0x10]    -> operand 1017
//   at 5000: 48 8b 05 10 c0 ff ff   mov rax, [rip-0x3ff0]  -> operand 1017
void CopyInstruction(const X86Site& site, CodeBuffer& buffer) {
  const Instruction& insn = site.insn();
  if (!insn.rip_relative) {
    buffer.PutBytes(insn.bytes, insn.length);
    return;
  }
  buffer.PutBytes(insn.bytes, insn.displacement_offset);
  buffer.PutRelative(site.operand_target(), insn.immediate_bytes);
  buffer.PutBytes(insn.bytes + insn.length - insn.immediate_bytes, insn.immediate_bytes);
}

// 7x rel8 and 0F 8x rel32 -> 0F 8x rel32. Branch hints are dropped: they mean nothing.
void RelocateConditional(const X86Site& site, CodeBuffer& buffer) {
  const auto condition = static_cast<uint8_t>(site.insn().opcode & 0x0F);
  buffer.Put({0x0F, static_cast<uint8_t>(0x80 | condition)});
  buffer.PutRelative(site.branch_target());
  buffer.ResumesAt(site.end());
  buffer.JumpTo(site.end());
}

// LOOPcc and JRCXZ exist with rel8 only, so they hop over the way back:
//   e3 05              jrcxz taken
//   e9 xx xx xx xx     jmp   behind the site
//   e9 xx xx xx xx     taken: jmp target
void RelocateLoop(const X86Site& site, CodeBuffer& buffer) {
  const Instruction& insn = site.insn();
  buffer.PutBytes(insn.bytes, insn.length - 1);
  const size_t taken = buffer.PutShort();
  buffer.ResumesAt(site.end());
  buffer.JumpTo(site.end());
  buffer.PatchShort(taken, buffer.size());
  buffer.ResumesAt(site.branch_target());
  buffer.JumpTo(site.branch_target());
}

// CALL r/m64 with the return address that the original would have pushed, so that unwinding,
// exceptions and return addresses on the stack are what the program expects:
//   ff /6               push target        read before anything is overwritten, RSP as at the site
//   ff 34 24            push [rsp]         the copy lies in the callee's red zone below
//   48 8d 64 24 10      lea rsp, [rsp+16]  (signals keep off the 128 bytes below RSP, psABI §3.2.2)
//   e8 01 00 00 00      call over          keeps the return predictor's stack balanced: one
//   cc                  int3               misprediction at the callee's return, not one a frame
//   c7 04 24 imm32      over: mov dword [rsp], low half of the return address
//   c7 44 24 04 imm32   mov dword [rsp+4], high half
//   ff 64 24 f8         jmp [rsp-8]
void RelocateIndirectCall(const X86Site& site, CodeBuffer& buffer) {
  const Instruction& insn = site.insn();
  buffer.PutBytes(insn.bytes, insn.modrm_offset);
  buffer.Put({static_cast<uint8_t>((insn.modrm() & 0xC7) | (6 << 3))});
  if (insn.rip_relative) {
    buffer.PutRelative(site.operand_target());
  } else {
    buffer.PutBytes(insn.bytes + insn.modrm_offset + 1, insn.length - insn.modrm_offset - 1u);
  }
  buffer.StackGrew(8);
  buffer.Put({0xFF, 0x34, 0x24});
  buffer.StackGrew(8);
  buffer.Put({0x48, 0x8D, 0x64, 0x24, 0x10});
  buffer.StackGrew(-16);
  buffer.Put({0xE8, 0x01, 0x00, 0x00, 0x00, 0xCC});
  buffer.StackGrew(8);
  buffer.Put({0xC7, 0x04, 0x24});
  buffer.Put32(static_cast<uint32_t>(site.end()));
  buffer.Put({0xC7, 0x44, 0x24, 0x04});
  buffer.Put32(static_cast<uint32_t>(site.end() >> 32));
  buffer.Put({0xFF, 0x64, 0x24, 0xF8});
}

// CALL r/m64 that the patched site makes by itself: the return address is on the stack, what is
// left is JMP r/m64. An operand that counts from RSP finds it 8 lower:
//   ff 94 24 80 00 00 00   call [rsp+0x80]   ->   ff a4 24 88 00 00 00   jmp [rsp+0x88]
void RelocateMadeCall(const X86Site& site, CodeBuffer& buffer) {
  const Instruction& insn = site.insn();
  buffer.PutBytes(insn.bytes, insn.modrm_offset);
  buffer.Put({static_cast<uint8_t>((insn.modrm() & 0xC7) | (4 << 3))});
  if (insn.rip_relative) {
    buffer.PutRelative(site.operand_target());
  } else if (site.operand_uses_rsp()) {
    buffer.PutBytes(insn.bytes + insn.modrm_offset + 1, 1);
    buffer.Put32(static_cast<uint32_t>(insn.Displacement() + 8));
  } else {
    buffer.PutBytes(insn.bytes + insn.modrm_offset + 1, insn.length - insn.modrm_offset - 1u);
  }
}

}  // namespace

bool X86Site::operand_uses_rsp() const {
  return insn_.modrm_offset != 0 && insn_.modrm_rm() == 4 && (insn_.rex & 1) == 0 &&
         (insn_.modrm_mod() == 3 || (insn_.bytes[insn_.modrm_offset + 1] & 7) == 4);
}

bool X86Site::CanPadCall() const {
  if (insn_.length < 5) return false;
  // As the last byte of a word it can neither be one store nor hold a guard.
  if (address_ % 8 == 7) return false;
  // Room for 8 more in the displacement is certain only when it has 32 bits.
  constexpr int64_t kAlmostTwoGiB = 0x7FFFFFF0;
  return !operand_uses_rsp() || (insn_.modrm_mod() == 2 && insn_.Displacement() < kAlmostTwoGiB);
}

void Relocate(const X86Site& site, CodeBuffer& buffer) {
  switch (site.flow()) {
    case Flow::kPlain:
      CopyInstruction(site, buffer);
      buffer.ResumesAt(site.end());
      buffer.JumpTo(site.end());
      return;
    case Flow::kReturn:
    case Flow::kJumpIndirect:
      CopyInstruction(site, buffer);
      return;
    case Flow::kCallDirect:
    case Flow::kJump:
      buffer.JumpTo(site.branch_target());
      return;
    case Flow::kConditional:
      RelocateConditional(site, buffer);
      return;
    case Flow::kLoop:
      RelocateLoop(site, buffer);
      return;
    case Flow::kCallIndirect:
      if (site.site_calls()) {
        RelocateMadeCall(site, buffer);
      } else {
        RelocateIndirectCall(site, buffer);
      }
      return;
  }
}

}  // namespace stillframe::probe::arch
