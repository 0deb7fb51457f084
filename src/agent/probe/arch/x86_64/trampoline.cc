// The body of a trampoline and the island that leads to it.
//
// Hit-path contract: the code emitted here allocates nothing, takes no lock, touches no vector or
// x87 state and keeps every general register, the status flags, the direction flag and the red
// zone (psABI §3.2.2). Stack used before `hit` runs: at most 128 (red zone) + 16 (pushed) + 136
// (frame) + 15 (alignment) + 8 (return address) = 303 bytes.
//
// LAHF/SETO instead of PUSHFQ/POPFQ: POPFQ alone costs more than everything else here.
#include <elf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>

#include "agent/hit/hit.h"
#include "agent/probe/arch/x86_64/assembler.h"
#include "agent/probe/arch/x86_64/relocator.h"
#include "plan/record.h"

namespace stillframe::probe::arch {
namespace {

constexpr int32_t kRedZoneBytes = 128;
constexpr int32_t kPushedBytes = 16;  // rax, rcx
constexpr int32_t kRspSlot = offsetof(RegisterFile, gpr) + 7 * 8;
constexpr int32_t kRbxSlot = offsetof(RegisterFile, gpr) + kDwarfRbx * 8;
constexpr int32_t kRipSlot = offsetof(RegisterFile, rip);
constexpr int32_t kRflagsSlot = offsetof(RegisterFile, rflags);
// The end of the RegisterFile lies over what was pushed: rflags over rcx, and behind it AX after
// LAHF; SETO AL over rax. Both are stored once they have been read.
constexpr int32_t kFrameBytes = kRflagsSlot;
constexpr int32_t kRawFlagsSlot = kRflagsSlot + 8;
static_assert(kRawFlagsSlot + 8 == kFrameBytes + kPushedBytes);
static_assert(sizeof(RegisterFile) == 18 * 8, "the trampoline writes this layout");

// After a retargeted call the program goes on at the return address, else at the site.
CfiRow FrameAtSite(const SiteAnalysis& site, uint32_t bytes) {
  CfiRow frame;
  frame.cfa_offset = site.site_calls() ? 8 + bytes : bytes;
  frame.resume_address = site.site_calls() ? 0 : site.address();
  return frame;
}

// The trampoline of one site. RSP, with S the site's:
//   S - skip              skip is the red zone; after a retargeted call it is the return address
//   S - skip - 16         rcx, rax pushed: what probe code and both ends expect
//   S - skip - 16 - 136   the RegisterFile, whose last word is over rcx
class Body {
 public:
  Body(const X86Site& site, uint64_t address, hit::SiteRuntime* runtime, HitFunction hit,
       const hit::CodeLayout& layout)
      : site_(site), code_(address), runtime_(runtime), hit_(hit), layout_(layout) {}

  Result<EmittedCode> Emit();

 private:
  // After a retargeted call there is no red zone: the bytes below the return address belong to
  // nobody yet.
  bool called() const { return site_.site_calls(); }
  int32_t skip() const { return called() ? 8 : kRedZoneBytes; }
  int32_t red_zone() const { return called() ? 0 : kRedZoneBytes; }

  // The stack pointer is `bytes` below where the site left it.
  CfiRow FrameAt(int32_t bytes) const;
  void Head();
  void Decline();
  void Full();
  void Leave(int32_t stack_bytes);
  void Withdraw() {
    code_.Store32Zero(kRax, static_cast<int32_t>(layout_.slot_announced));
    code_.StoreZero(kRax, static_cast<int32_t>(layout_.slot_stack));
  }
  void SaveRegisters();
  void SaveFlags(Label& direction_is_set);
  void CallHit();
  void RestoreRegisters();

  const X86Site& site_;
  Assembler code_;
  hit::SiteRuntime* runtime_;
  HitFunction hit_;
  const hit::CodeLayout& layout_;
  Label unannounced_;
};

CfiRow Body::FrameAt(int32_t bytes) const {
  return FrameAtSite(site_, static_cast<uint32_t>(bytes));
}

// Announces the hit in the thread's slot before it reads what is to be run: from then on the agent
// frees nothing of it. No instruction here touches a flag, so JRCXZ decides:
//   - the thread has no slot: the hit path gives it one;
//   - its slot has announced a hit already: this is a signal handler that interrupted one.
// Both go on without announcing.
void Body::Head() {
  code_.SetFrame(FrameAt(0));
  if (!called()) code_.LoadAddress(kRsp, kRsp, -red_zone());
  code_.Push(kRax);
  code_.Push(kRcx);
  code_.LoadThread(kRcx, static_cast<int32_t>(layout_.thread) + static_cast<int32_t>(layout_.slot));
  code_.Put({0xE3});  // jrcxz
  const size_t no_slot = code_.PutShort();
  code_.Move(kRax, kRcx);
  code_.Load(kRcx, kRax, static_cast<int32_t>(layout_.slot_announced), 4);
  code_.Put({0xE3});  // jrcxz
  const size_t free = code_.PutShort();
  code_.PatchShort(no_slot, code_.size());
  code_.Jump(unannounced_);
  code_.PatchShort(free, code_.size());
  code_.MoveImmediate(kRcx, layout_.epoch);
  code_.Load(kRcx, kRcx, 0, 4);
  // In this order: see hit.cc's Enter.
  code_.Store32(kRax, static_cast<int32_t>(layout_.slot_announced), kRcx);
  code_.Store(kRax, static_cast<int32_t>(layout_.slot_stack), kRsp);
  code_.MoveImmediate(kRcx, reinterpret_cast<uint64_t>(&runtime_->entry));
  code_.JumpThrough(kRcx);
}

// Gives the stack back and goes on with the program.
void Body::Leave(int32_t stack_bytes) {
  stack_bytes += red_zone();
  if (stack_bytes != 0) code_.LoadAddress(kRsp, kRsp, stack_bytes);
  Relocate(site_, code_);
}

void Body::Decline() {
  runtime_->decline_entry = code_.here();
  code_.SetFrame(FrameAt(red_zone() + kPushedBytes));
  Withdraw();
  code_.Pop(kRcx);
  code_.Pop(kRax);
  Leave(0);
}

void Body::SaveRegisters() {
  code_.LoadAddress(kRsp, kRsp, -kFrameBytes);
  code_.Load(kRax, kRsp, kFrameBytes + 8);
  code_.Load(kRcx, kRsp, kFrameBytes);
  code_.Store(kRsp, 0, kRax);
  code_.SaveFlags();
  code_.Store(kRsp, kRawFlagsSlot, kRax);
  for (uint32_t i = 1; i < kRegisterCount; ++i) {
    if (kDwarfOrder[i] != kRsp) code_.Store(kRsp, static_cast<int32_t>(i * 8), kDwarfOrder[i]);
  }
  code_.LoadAddress(kRcx, kRsp, kFrameBytes + kPushedBytes + skip());
  code_.Store(kRsp, kRspSlot, kRcx);
}

// RegisterFile::rflags from AH and AL, in ECX. The direction flag is in neither: LODSB shows it,
// for less than PUSHFQ costs. The rare path clears the flag for `hit` (psABI §3.2.1) and notes it.
void Body::SaveFlags(Label& direction_is_set) {
  code_.Put({0x0F, 0xB6, 0xCC});  // movzx ecx, ah
  code_.Put({0x0F, 0xB6, 0xC0});  // movzx eax, al
  code_.Put({0xC1, 0xE0, 0x0B});  // shl eax, 11
  code_.Put({0x09, 0xC1});        // or ecx, eax
  code_.Move(kRsi, kRsp);
  code_.Put({0xAC});  // lodsb
  code_.Operate(kCmp, kRsi, kRsp);
  code_.JumpIf(kBelow, direction_is_set);
}

void Body::CallHit() {
  code_.Store(kRsp, kRflagsSlot, kRcx);
  code_.MoveImmediate(kRax, site_.address());
  code_.Store(kRsp, kRipSlot, kRax);
  code_.MoveImmediate(kRdi, reinterpret_cast<uint64_t>(runtime_));
  code_.Move(kRsi, kRsp);
  code_.Move(kRbx, kRsp);  // callee-saved
  CfiRow frame = code_.frame();
  frame.saved = {{kDwarfRbx, kRbxSlot - static_cast<int32_t>(frame.cfa_offset)}};
  frame.cfa_register = kDwarfRbx;
  code_.SetFrame(frame);
  code_.Put({0x48, 0x83, 0xE4, 0xF0});  // and rsp, -16
  code_.MoveImmediate(kRax, reinterpret_cast<uint64_t>(hit_));
  code_.Put({0xFF, 0xD0});  // call rax
  code_.Move(kRsp, kRbx);
  frame.cfa_register = kDwarfRsp;
  code_.SetFrame(std::move(frame));
}

// `hit` keeps rbp and r12 to r15; rbx held the stack pointer.
void Body::RestoreRegisters() {
  code_.Load(kRax, kRsp, kRawFlagsSlot, 2);
  code_.RestoreFlags();
  for (uint32_t i = kRegisterCount; i-- > 0;) {
    const Register reg = kDwarfOrder[i];
    if (reg != kRsp && reg != kRbp && reg < kR12) {
      code_.Load(reg, kRsp, static_cast<int32_t>(i * 8));
    }
    if (reg == kRbx) {
      CfiRow frame = code_.frame();
      frame.saved.clear();
      code_.SetFrame(std::move(frame));
    }
  }
}

void Body::Full() {
  Label direction_is_set, direction_is_clear, set_direction, direction_is_kept;
  runtime_->full_entry = code_.here();
  code_.SetFrame(FrameAt(red_zone() + kPushedBytes));
  Withdraw();
  code_.Bind(unannounced_);
  SaveRegisters();
  const CfiRow before_hit = code_.frame();
  SaveFlags(direction_is_set);
  code_.Bind(direction_is_clear);
  CallHit();
  code_.Put({0xF6, 0x84, 0x24});  // test byte [rsp+rflags+1], DF >> 8
  code_.Put32(kRflagsSlot + 1);
  code_.Put({0x04});
  code_.JumpIf(kNotEqual, set_direction);
  const CfiRow after_hit = code_.frame();
  code_.Bind(direction_is_kept);
  RestoreRegisters();
  Leave(kFrameBytes + kPushedBytes);
  // The rare paths, out of the way.
  code_.SetFrame(before_hit);
  code_.Bind(direction_is_set);
  code_.Put({0xFC, 0x81, 0xC9, 0x00, 0x04, 0x00, 0x00});  // cld; or ecx, DF
  code_.Jump(direction_is_clear);
  code_.Bind(set_direction);
  code_.SetFrame(after_hit);
  code_.Put({0xFD});  // std
  code_.Jump(direction_is_kept);
}

Result<EmittedCode> Body::Emit() {
  Head();
  Decline();
  Full();
  if (!code_.in_reach()) {
    return Status(Code::kUnsafeSite,
                  "no trampoline can be placed within 2 GiB of everything that the instruction "
                  "refers to");
  }
  runtime_->rsp_below_site_bytes = static_cast<uint32_t>(skip());
  runtime_->entry.store(runtime_->full_entry, std::memory_order_release);
  const CfiRange frames = code_.Frames();
  return EmittedCode{std::move(code_).Take(), EncodeEhFrame({&frames, 1})};
}

}  // namespace

Result<EmittedCode> EmitBody(const SiteAnalysis& site, uint64_t body_address,
                             hit::SiteRuntime* runtime, HitFunction hit,
                             const hit::CodeLayout& layout) {
  return Body(static_cast<const X86Site&>(site), body_address, runtime, hit, layout).Emit();
}

uint32_t IslandBytes(uint64_t island_address, uint64_t body_address) {
  const auto distance = static_cast<int64_t>(body_address - (island_address + 5));
  return distance == static_cast<int32_t>(distance) ? 5 : 14;
}

EmittedCode EmitIsland(const SiteAnalysis& site, uint64_t island_address, uint64_t body_address) {
  CodeBuffer code(island_address);
  code.SetFrame(FrameAtSite(site, 0));
  if (IslandBytes(island_address, body_address) == 5) {
    code.JumpTo(body_address);
  } else {
    code.Put({0xFF, 0x25, 0x00, 0x00, 0x00, 0x00});  // jmp [rip+0]
    code.Put64(body_address);
  }
  const CfiRange frames = code.Frames();
  return EmittedCode{std::move(code).Take(), EncodeEhFrame({&frames, 1})};
}

std::span<const uint8_t> GuardBytes() {
  static constexpr uint8_t kSelfJump[] = {0xEB, 0xFE};
  return kSelfJump;
}

bool IsFunctionImport(uint32_t relocation_type) {
  return relocation_type == R_X86_64_JUMP_SLOT || relocation_type == R_X86_64_GLOB_DAT;
}

bool ShadowStackActive() {
  constexpr long kArchShstkStatus = 0x5005;  // asm/prctl.h since Linux 6.6; EINVAL before
  constexpr uint64_t kShstkEnabled = 1;
  uint64_t features = 0;
  return syscall(SYS_arch_prctl, kArchShstkStatus, &features) == 0 &&
         (features & kShstkEnabled) != 0;
}

std::vector<uint8_t> EmitConstantFunction(uint8_t value) {
  return {0xB8, value, 0x00, 0x00, 0x00, 0xC3};  // mov eax, value; ret
}

}  // namespace stillframe::probe::arch
