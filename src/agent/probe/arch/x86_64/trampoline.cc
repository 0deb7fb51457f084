// The body of a trampoline and the island that leads to it.
//
// Hit-path contract: the code emitted here allocates nothing, takes no lock, touches no vector or
// x87 state and keeps every general register, the status flags, the direction flag and the red
// zone (psABI §3.2.2). Stack used before `hit` runs: at most 128 (red zone) + 152 (frame) + 15
// (alignment) + 8 (return address) = 303 bytes.
//
// LAHF/SETO instead of PUSHFQ/POPFQ: POPFQ alone costs more than everything else here.
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>

#include "agent/probe/arch/x86_64/relocator.h"
#include "plan/record.h"

namespace stillframe::probe::arch {
namespace {

enum Register : uint8_t {  // hardware numbers
  kRax,
  kRcx,
  kRdx,
  kRbx,
  kRsp,
  kRbp,
  kRsi,
  kRdi,
  kR8,
  kR9,
  kR10,
  kR11,
  kR12,
  kR13,
  kR14,
  kR15,
};

// RegisterFile::gpr is in DWARF order (psABI figure 3.36): rax rdx rcx rbx rsi rdi rbp rsp r8...
constexpr Register kDwarfOrder[kRegisterCount] = {kRax, kRdx, kRcx, kRbx, kRsi, kRdi, kRbp, kRsp,
                                                  kR8,  kR9,  kR10, kR11, kR12, kR13, kR14, kR15};

constexpr uint32_t kRedZoneBytes = 128;
constexpr uint32_t kRspSlot = offsetof(RegisterFile, gpr) + 7 * 8;
constexpr uint32_t kRipSlot = offsetof(RegisterFile, rip);
constexpr uint32_t kRflagsSlot = offsetof(RegisterFile, rflags);
constexpr uint32_t kRawFlagsSlot = sizeof(RegisterFile);  // AX after LAHF; SETO AL
constexpr uint32_t kFrameBytes = kRawFlagsSlot + 8;
static_assert(sizeof(RegisterFile) == 18 * 8, "the trampoline writes this layout");

// op reg, [rsp+slot] or op [rsp+slot], reg with REX.W: 89 stores, 8B loads, 8D takes the address.
void StackOp(CodeBuffer& code, uint8_t opcode, uint8_t reg, uint32_t slot) {
  code.Put({static_cast<uint8_t>(reg >= 8 ? 0x4C : 0x48), opcode,
            static_cast<uint8_t>((slot < 128 ? 0x44 : 0x84) | ((reg & 7) << 3)), 0x24});
  if (slot < 128) {
    code.Put({static_cast<uint8_t>(slot)});
  } else {
    code.Put32(slot);
  }
}
void Store(CodeBuffer& code, Register reg, uint32_t slot) { StackOp(code, 0x89, reg, slot); }
void Load(CodeBuffer& code, Register reg, uint32_t slot) { StackOp(code, 0x8B, reg, slot); }
void LoadAddress(CodeBuffer& code, Register reg, int32_t slot) {
  StackOp(code, 0x8D, reg, static_cast<uint32_t>(slot));
}
void MoveImmediate(CodeBuffer& code, Register reg, uint64_t value) {
  code.Put({0x48, static_cast<uint8_t>(0xB8 | reg)});
  code.Put64(value);
}

void SaveRegisters(CodeBuffer& code, uint32_t bytes_to_site_rsp) {
  Store(code, kRax, 0);
  code.Put({0x9F});              // lahf: AH = SF ZF AF PF CF
  code.Put({0x0F, 0x90, 0xC0});  // seto al
  Store(code, kRax, kRawFlagsSlot);
  for (uint32_t i = 1; i < kRegisterCount; ++i) {
    if (kDwarfOrder[i] != kRsp) Store(code, kDwarfOrder[i], i * 8);
  }
  LoadAddress(code, kRcx, static_cast<int32_t>(bytes_to_site_rsp));
  Store(code, kRcx, kRspSlot);
}

// RegisterFile::rflags from AH and AL, in ECX. The direction flag is in neither: LODSB shows it,
// for less than PUSHFQ costs. Returns where the rare path's rel32 stands: it clears the flag for
// `hit` (psABI §3.2.1) and notes it.
size_t SaveFlags(CodeBuffer& code) {
  code.Put({0x0F, 0xB6, 0xCC});  // movzx ecx, ah
  code.Put({0x0F, 0xB6, 0xC0});  // movzx eax, al
  code.Put({0xC1, 0xE0, 0x0B});  // shl eax, 11
  code.Put({0x09, 0xC1});        // or ecx, eax
  code.Put({0x48, 0x89, 0xE6});  // mov rsi, rsp
  code.Put({0xAC});              // lodsb
  code.Put({0x48, 0x39, 0xE6});  // cmp rsi, rsp
  code.Put({0x0F, 0x82});        // jb
  return code.PutNear();
}

void CallHit(CodeBuffer& code, uint64_t site, const void* runtime, HitFunction hit) {
  Store(code, kRcx, kRflagsSlot);
  MoveImmediate(code, kRax, site);
  Store(code, kRax, kRipSlot);
  MoveImmediate(code, kRdi, reinterpret_cast<uint64_t>(runtime));
  code.Put({0x48, 0x89, 0xE6});        // mov rsi, rsp
  code.Put({0x48, 0x89, 0xE3});        // mov rbx, rsp: callee-saved
  code.Put({0x48, 0x83, 0xE4, 0xF0});  // and rsp, -16
  MoveImmediate(code, kRax, reinterpret_cast<uint64_t>(hit));
  code.Put({0xFF, 0xD0});        // call rax
  code.Put({0x48, 0x89, 0xDC});  // mov rsp, rbx
}

// Returns where the rel32 of the path that sets the direction flag again stands.
size_t TestDirection(CodeBuffer& code) {
  code.Put({0xF6, 0x84, 0x24});  // test byte [rsp+rflags+1], DF >> 8
  code.Put32(kRflagsSlot + 1);
  code.Put({0x04, 0x0F, 0x85});  // jnz
  return code.PutNear();
}

// `hit` keeps rbp and r12 to r15; rbx held the stack pointer.
void RestoreRegisters(CodeBuffer& code) {
  code.Put({0x0F, 0xB7, 0x84, 0x24});  // movzx eax, word [rsp+raw flags]
  code.Put32(kRawFlagsSlot);
  code.Put({0x04, 0x7F});  // add al, 127: OF if AL was 1
  code.Put({0x9E});        // sahf
  for (uint32_t i = kRegisterCount; i-- > 0;) {
    const Register reg = kDwarfOrder[i];
    if (reg != kRsp && reg != kRbp && reg < kR12) Load(code, reg, i * 8);
  }
}

}  // namespace

Result<std::vector<uint8_t>> EmitBody(const SiteAnalysis& analysis, uint64_t body_address,
                                      const void* runtime, HitFunction hit) {
  const auto& site = static_cast<const X86Site&>(analysis);
  // After a retargeted call the return address is on the stack and there is no red zone: the bytes
  // below it belong to nobody yet.
  const bool called = site.flow() == Flow::kCallDirect;
  const uint32_t skip = kFrameBytes + (called ? 0 : kRedZoneBytes);
  CodeBuffer code(body_address);
  LoadAddress(code, kRsp, -static_cast<int32_t>(skip));
  SaveRegisters(code, skip + (called ? 8 : 0));
  const size_t direction_is_set = SaveFlags(code);
  const size_t direction_is_clear = code.size();
  CallHit(code, site.address(), runtime, hit);
  const size_t set_direction = TestDirection(code);
  const size_t direction_is_kept = code.size();
  RestoreRegisters(code);
  LoadAddress(code, kRsp, static_cast<int32_t>(skip));
  Relocate(site, code);
  // The rare paths, out of the way.
  code.PatchNear(direction_is_set, code.size());
  code.Put({0xFC, 0x81, 0xC9, 0x00, 0x04, 0x00, 0x00, 0xE9});  // cld; or ecx, DF; jmp
  code.PatchNear(code.PutNear(), direction_is_clear);
  code.PatchNear(set_direction, code.size());
  code.Put({0xFD, 0xE9});  // std; jmp
  code.PatchNear(code.PutNear(), direction_is_kept);
  if (!code.in_reach()) {
    return Status(Code::kUnsafeSite,
                  "no trampoline can be placed within 2 GiB of everything that "
                  "the instruction refers to");
  }
  return std::move(code).Take();
}

uint32_t IslandBytes(uint64_t island_address, uint64_t body_address) {
  const auto distance = static_cast<int64_t>(body_address - (island_address + 5));
  return distance == static_cast<int32_t>(distance) ? 5 : 14;
}

std::vector<uint8_t> EmitIsland(uint64_t island_address, uint64_t body_address) {
  CodeBuffer code(island_address);
  if (IslandBytes(island_address, body_address) == 5) {
    code.JumpTo(body_address);
  } else {
    code.Put({0xFF, 0x25, 0x00, 0x00, 0x00, 0x00});  // jmp [rip+0]
    code.Put64(body_address);
  }
  return std::move(code).Take();
}

std::span<const uint8_t> GuardBytes() {
  static constexpr uint8_t kSelfJump[] = {0xEB, 0xFE};
  return kSelfJump;
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
