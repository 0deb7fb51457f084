#include "tests/agent/probe/form_runner.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>

#include "agent/probe/arch/x86_64/relocator.h"
#include "tests/agent/probe/instruction_form.h"

namespace stillframe::probe {
namespace {

using arch::Encoding;
using arch::Flow;
using arch::Instruction;
using arch::OpcodeMap;

// Everything lies below 4 GiB, so that 32-bit addresses reach it, and far from everything else.
constexpr uint64_t kArena = 0x40000000;
constexpr uint64_t kHome = kArena + 0x40;
constexpr uint64_t kTarget = kHome + 96;  // of relative branches: within reach of a rel8
constexpr uint64_t kRelocated = kArena + 0x1000;
constexpr uint64_t kExitA = kArena + 0x2000;  // behind the instruction
constexpr uint64_t kExitB = kArena + 0x2100;  // at its target
constexpr uint64_t kWay = kArena + 0x80000;   // the exit's number
constexpr uint64_t kData = kArena + 0x110000;
constexpr uint64_t kWindow = kData - 1024;  // what is filled and compared
constexpr uint64_t kStack = kArena + 0x210000;
constexpr uint64_t kStackWindow = kStack - 1024;
constexpr uint64_t kFsBase = 0x10000;

// Hardware numbers to DWARF order.
constexpr int kDwarf[16] = {0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15};
constexpr int kRax = 0, kRdx = 1, kRcx = 2, kRbx = 3, kRsi = 4, kRdi = 5, kRbp = 6, kRsp = 7;

void Write(uint64_t address, const void* bytes, size_t size) {
  std::memcpy(reinterpret_cast<void*>(address), bytes, size);
}
void Write64(uint64_t address, uint64_t value) { Write(address, &value, sizeof value); }
uint64_t Read64(uint64_t address) {
  uint64_t value = 0;
  std::memcpy(&value, reinterpret_cast<void*>(address), sizeof value);
  return value;
}

bool Map(uint64_t offset, uint64_t size, int protection) {
  void* const wanted = reinterpret_cast<void*>(kArena + offset);
  return mmap(wanted, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
         wanted;
}

// mov dword [rip+way], number; jmp [rip+0]; the runner's exit
void WriteExit(uint64_t at, uint32_t number) {
  arch::CodeBuffer code(at);
  code.Put({0xC7, 0x05});
  code.PutRelative(kWay, 4);
  code.Put32(number);
  code.Put({0xFF, 0x25, 0, 0, 0, 0});
  code.Put64(MachineExit());
  const auto bytes = std::move(code).Take();
  Write(at, bytes.data(), bytes.size());
}

bool HasFsPrefix(const Instruction& insn) {
  for (uint8_t i = 0; i < insn.opcode_offset && insn.segment; ++i) {
    if (insn.bytes[i] == 0x64) return true;
    if ((insn.bytes[i] & 0xF0) == 0x40) break;
  }
  return false;
}

bool IsOneByte(const Instruction& insn, uint8_t first, uint8_t last) {
  return insn.encoding == Encoding::kLegacy && insn.map == OpcodeMap::kOneByte &&
         insn.opcode >= first && insn.opcode <= last;
}
bool Is0F(const Instruction& insn, uint8_t opcode) { return insn.legacy(OpcodeMap::k0F, opcode); }

bool IsString(const Instruction& insn) {
  return IsOneByte(insn, 0xA4, 0xA7) || IsOneByte(insn, 0xAA, 0xAF);
}
bool IsMemory(const Instruction& insn) { return insn.modrm_offset != 0 && insn.modrm_mod() != 3; }

bool HasVectorIndex(const Instruction& insn) {
  if (insn.encoding == Encoding::kLegacy || insn.map != OpcodeMap::k0F38) return false;
  return (insn.opcode & 0xFC) == 0x90 || (insn.opcode & 0xFC) == 0xA0 ||
         (insn.encoding == Encoding::kEvex && (insn.opcode == 0xC6 || insn.opcode == 0xC7));
}

// REX.X and REX.B, or their counterparts.
struct HighBits {
  uint8_t x = 0;
  uint8_t b = 0;
};
HighBits HighBitsOf(const Instruction& insn) {
  if (insn.encoding == Encoding::kLegacy) {
    return {static_cast<uint8_t>(insn.rex >> 1 & 1), static_cast<uint8_t>(insn.rex & 1)};
  }
  const int payload = insn.encoding == Encoding::kEvex ? 3 : 2;
  const bool two_bytes =
      insn.encoding == Encoding::kVex && insn.bytes[insn.opcode_offset - 2] == 0xC5;
  if (two_bytes) return {};
  const uint8_t byte = insn.bytes[insn.opcode_offset - payload];
  return {static_cast<uint8_t>(~byte >> 6 & 1), static_cast<uint8_t>(~byte >> 5 & 1)};
}

void SetField(Instruction& insn, uint8_t at, uint8_t size, uint64_t value) {
  std::memcpy(insn.bytes + at, &value, size);
}

// Registers whose value nobody can foretell.
uint32_t RandomResults(const Instruction& insn) {
  if (Is0F(insn, 0x31)) return 1u << kRax | 1u << kRdx;
  if (Is0F(insn, 0x01) && insn.modrm() == 0xF9) return 1u << kRax | 1u << kRdx;
  const bool random = Is0F(insn, 0xC7) && insn.modrm_mod() == 3 && insn.modrm_reg() >= 6;
  if (random) return 1u << kDwarf[insn.modrm_rm() | HighBitsOf(insn).b << 3];
  return 0;
}

void MakeVectorsSmall(FastRandom& random, MachineState& state) {
  const uint64_t parity = random() & 1;
  for (uint32_t at = 160; at + 16 <= Machine().xsave_bytes; at += 16) {
    if (at >= 416 && at < 576) continue;
    for (uint32_t i = 0; i < 16; i += 4) {
      uint32_t value = static_cast<uint32_t>(random.Below(64));
      if ((at / 16 & 1) == parity) value |= 0x80000000u;  // a mask, when it is one
      std::memcpy(state.xsave + at + i, &value, sizeof value);
    }
  }
}

}  // namespace

bool FormRunner::Start(std::string* why_not) {
  if (!StartMachine(why_not)) return false;
  if (!Map(0, 0x4000, PROT_READ | PROT_WRITE | PROT_EXEC) ||
      !Map(0x80000, 0x1000, PROT_READ | PROT_WRITE) ||
      !Map(0x100000, 0x20000, PROT_READ | PROT_WRITE) ||
      !Map(0x200000, 0x20000, PROT_READ | PROT_WRITE)) {
    *why_not = "the addresses that the test needs are taken";
    return false;
  }
  WriteExit(kExitA, 1);
  WriteExit(kExitB, 2);
  arch::CodeBuffer jump(kTarget);
  jump.JumpTo(kExitB);
  const auto bytes = std::move(jump).Take();
  Write(kTarget, bytes.data(), bytes.size());
  actual_ = std::make_unique<Outcome>();
  return true;
}

bool FormRunner::CanRun(const Instruction& insn) {
  return Machine().fsgsbase || !HasFsPrefix(insn);
}

// Rewrites displacements that a register cannot make up for; that does not change the form.
FormRunner::Operands FormRunner::Understand(Instruction& insn) {
  Operands operands;
  if (HasFsPrefix(insn)) operands.fs_base = kFsBase;
  const uint64_t target = kData - operands.fs_base;
  if (IsOneByte(insn, 0xA0, 0xA3)) {
    SetField(insn, insn.length - insn.immediate_bytes, insn.immediate_bytes, target);
    return operands;
  }
  if (!IsMemory(insn)) return operands;
  operands.memory = true;
  operands.vector_index = HasVectorIndex(insn);
  if (insn.rip_relative) {
    SetField(insn, insn.displacement_offset, 4, target - (kHome + insn.length));
    return operands;
  }
  const HighBits high = HighBitsOf(insn);
  uint8_t base = insn.modrm_rm();
  if (insn.modrm_rm() == 4) {
    const uint8_t sib = insn.bytes[insn.modrm_offset + 1];
    const uint8_t index = (sib >> 3 & 7) | high.x << 3;
    if (index != 4 && !operands.vector_index) operands.index = kDwarf[index];
    operands.scale = static_cast<uint8_t>(1 << (sib >> 6));
    base = sib & 7;
  }
  if (insn.modrm_mod() == 0 && base == 5) {
    SetField(insn, insn.displacement_offset, 4, target);
    return operands;
  }
  // EVEX scales a displacement of one byte by the operand's size.
  if (insn.encoding == Encoding::kEvex && insn.displacement_bytes == 1) {
    SetField(insn, insn.displacement_offset, 1, 0);
  }
  operands.base = kDwarf[base | high.b << 3];
  // The stack pointer stays where it is.
  if (operands.base == kRsp && insn.displacement_bytes == 4) {
    SetField(insn, insn.displacement_offset, 4, 64);
  }
  operands.displacement = insn.displacement_bytes == 0 ? 0 : insn.Displacement();
  return operands;
}

void FormRunner::PatchBranch(Instruction& insn) {
  SetField(insn, insn.length - insn.immediate_bytes, insn.immediate_bytes,
           kTarget - (kHome + insn.length));
}

void FormRunner::PointOperands(const Operands& operands, FastRandom& random, uint64_t target) {
  const uint64_t effective =
      target - operands.fs_base - static_cast<uint64_t>(operands.displacement);
  uint64_t& base = in_.gpr[operands.base < 0 ? 0 : operands.base];
  if (operands.index >= 0 && operands.index == operands.base) {
    base = effective / (1u + operands.scale);
    return;
  }
  uint64_t offset = 0;
  if (operands.index >= 0) {
    in_.gpr[operands.index] = random.Below(16);
    offset = in_.gpr[operands.index] * operands.scale;
  }
  if (operands.base < 0 || operands.base == kRsp) return;
  base = effective - offset;
}

// Registers that an opcode uses without naming them.
void FormRunner::PointImplicit(const Instruction& insn, FastRandom& random, uint64_t target) {
  if (IsString(insn)) {
    in_.gpr[kRdi] = target;
    in_.gpr[kRsi] = target + 512;
    in_.gpr[kRcx] = random.Below(32);
  }
  if (IsOneByte(insn, 0xD7, 0xD7)) in_.gpr[kRbx] = target;  // XLAT
  if (Is0F(insn, 0xF7) ||
      (insn.encoding == Encoding::kVex && insn.opcode == 0xF7 && insn.map == OpcodeMap::k0F)) {
    in_.gpr[kRdi] = target;  // MASKMOVQ, MASKMOVDQU
  }
  if (IsOneByte(insn, 0xC8, 0xC9)) in_.gpr[kRbp] = kStack - 8 * random.Below(16);  // ENTER, LEAVE
  if (IsOneByte(insn, 0xE0, 0xE3) && random.OneIn(2)) in_.gpr[kRcx] = random.Below(3);
  const bool bit_string =
      Is0F(insn, 0xA3) || Is0F(insn, 0xAB) || Is0F(insn, 0xB3) || Is0F(insn, 0xBB);
  if (bit_string && IsMemory(insn)) {
    const int reg = kDwarf[insn.modrm_reg() | (insn.rex & 4) << 1];
    const Operands operands = [&] {
      Instruction copy = insn;
      return Understand(copy);
    }();
    if (reg != operands.base && reg != operands.index) in_.gpr[reg] &= 0xFFF;
  }
  if (IsOneByte(insn, 0xF6, 0xF7) && insn.modrm_reg() >= 6 && random.OneIn(2)) {
    in_.gpr[kRdx] = 0;  // DIV, IDIV that succeed
  }
}

// Memory that must hold something in particular.
void FormRunner::FillTargets(const Instruction& insn, Flow flow, uint64_t target) {
  const uint64_t rsp = in_.gpr[kRsp];
  if (flow == Flow::kReturn) Write64(rsp, kExitB);
  if (flow == Flow::kCallIndirect || flow == Flow::kJumpIndirect) {
    const int reg = kDwarf[insn.modrm_rm() | HighBitsOf(insn).b << 3];
    if (!IsMemory(insn)) {
      if (reg != kRsp) in_.gpr[reg] = kExitB;
    } else {
      Write64(target, kExitB);
      for (uint64_t at = rsp - 512; at < rsp + 256; at += 8) Write64(at, kExitB);
    }
  }
  if (IsOneByte(insn, 0x9D, 0x9D)) {  // POPF: flags that are safe to have
    Write64(rsp, 0x202 | (Read64(rsp) & (kRflagsStatus | kRflagsDirection)));
  }
  // LDMXCSR and FXRSTOR fault on reserved bits, which random ones nearly always are.
  if (Is0F(insn, 0xAE) && insn.modrm_reg() <= 2) {
    const uint64_t at = target + (insn.modrm_reg() == 1 ? 24 : 0);
    Write64(at, Read64(at) & 0xFFFFFFFF0000FFFF);
  }
  const bool compare_exchange = Is0F(insn, 0xB0) || Is0F(insn, 0xB1);
  if (compare_exchange && (Read64(target) & 1) != 0) in_.gpr[kRax] = Read64(target);
}

void FormRunner::Prepare(const Instruction& insn, Flow flow, const Operands& operands,
                         uint64_t seed) {
  FastRandom random(seed);
  RandomizeState(random, in_, random.OneIn(4));
  for (uint64_t& reg : in_.gpr) {
    if (random.OneIn(4)) reg = static_cast<uint64_t>(static_cast<int64_t>(random() << 56) >> 56);
  }
  random.Fill(reinterpret_cast<void*>(kWindow), kWindowBytes);
  random.Fill(reinterpret_cast<void*>(kStackWindow), kStackWindowBytes);
  in_.gpr[kRsp] = kStack - 8 * random.Below(8);
  const bool fixed = operands.memory && operands.base < 0;
  const uint64_t target = kData + (fixed || !random.OneIn(4) ? 0 : random.Below(64));
  if (operands.memory) PointOperands(operands, random, target);
  if (operands.vector_index) MakeVectorsSmall(random, in_);
  PointImplicit(insn, random, target);
  FillTargets(insn, flow, target);
}

void FormRunner::RunAt(uint64_t code, const Operands& operands, Outcome& out) {
  Write64(kWay, 0);
  out.fault = RunMachine(in_, out.state, code, operands.fs_base);
  out.way = Read64(kWay);
  std::memcpy(out.window, reinterpret_cast<void*>(kWindow), sizeof out.window);
  std::memcpy(out.stack, reinterpret_cast<void*>(kStackWindow), sizeof out.stack);
}

// Addresses inside the instruction count from its start: it stands elsewhere by design.
void FormRunner::Normalize(uint64_t start, uint64_t size, Outcome& outcome) const {
  auto rebase = [&](uint64_t& address) {
    if (address >= start && address < start + size) address = address - start + 1;
  };
  rebase(outcome.fault.rip);
  rebase(outcome.fault.address);
  uint64_t fip = 0;  // where x87 remembers its last instruction
  std::memcpy(&fip, outcome.state.xsave + 8, sizeof fip);
  rebase(fip);
  std::memcpy(outcome.state.xsave + 8, &fip, sizeof fip);
}

// What x87 remembers of its last instruction (FOP, FIP, FDP: bytes 6 to 23 of the image). AMD's
// processors save it only while an exception is pending, so a context switch before an instruction
// that unmasks one (FLDCW) loses it: zero on one side alone is the scheduler's doing.
static void ForgiveLostLastInstruction(MachineState& a, MachineState& b) {
  constexpr size_t kFirst = 6, kBytes = 18;
  const auto lost = [](const MachineState& state) {
    return std::all_of(state.xsave + kFirst, state.xsave + kFirst + kBytes,
                       [](uint8_t byte) { return byte == 0; });
  };
  if (lost(a) == lost(b)) return;
  std::memset(a.xsave + kFirst, 0, kBytes);
  std::memset(b.xsave + kFirst, 0, kBytes);
}

std::string FormRunner::Difference(const Instruction& insn, Flow flow, Outcome& expected,
                                   Outcome& actual) const {
  Normalize(kHome, insn.length, expected);
  Normalize(kRelocated, relocated_bytes_, actual);
  ForgiveLostLastInstruction(expected.state, actual.state);
  char text[200];
  const MachineFault& a = expected.fault;
  const MachineFault& b = actual.fault;
  if (a.signal != b.signal || a.code != b.code || a.address != b.address || a.rip != b.rip) {
    std::snprintf(text, sizeof text, "signal %d code %d at %#lx, pc %#lx became %d, %d, %#lx, %#lx",
                  a.signal, a.code, a.address, a.rip, b.signal, b.code, b.address, b.rip);
    return text;
  }
  if (expected.way != actual.way) return "another way was taken";
  const uint32_t random = RandomResults(insn);
  for (int i = 0; i < 16 && random != 0; ++i) {
    if ((random >> i & 1) != 0) actual.state.gpr[i] = expected.state.gpr[i];
  }
  if (random != 0) actual.state.rflags = expected.state.rflags;
  if (!SameState(expected.state, actual.state)) {
    return DescribeDifference(expected.state, actual.state);
  }
  if (std::memcmp(expected.window, actual.window, sizeof actual.window) != 0) {
    return "memory differs";
  }
  // Below the return address that a call pushed, nothing is alive (psABI §3.2.2).
  const bool call = flow == Flow::kCallIndirect || flow == Flow::kCallDirect;
  const uint64_t alive = expected.state.gpr[kRsp] - kStackWindow;
  const uint64_t dead = call && a.signal == 0 && alive < sizeof actual.stack ? alive : 0;
  if (std::memcmp(expected.stack + dead, actual.stack + dead, sizeof actual.stack - dead) != 0) {
    return "the stack differs";
  }
  return "";
}

std::string FormRunner::Compare(const Instruction& original, Flow flow, uint64_t seed,
                                uint32_t states, Tally& tally) {
  Instruction insn = original;
  const Operands operands = Understand(insn);
  const bool direct = flow == Flow::kCallDirect || flow == Flow::kJump ||
                      flow == Flow::kConditional || flow == Flow::kLoop;
  if (direct) PatchBranch(insn);
  if (expected_.size() < states) expected_.resize(states);

  arch::CodeBuffer behind(kHome + insn.length);
  behind.JumpTo(kExitA);
  const auto jump = std::move(behind).Take();
  Write(kHome, insn.bytes, insn.length);
  Write(kHome + insn.length, jump.data(), jump.size());
  for (uint32_t i = 0; i < states; ++i) {
    Prepare(insn, flow, operands, seed + i);
    RunAt(kHome, operands, expected_[i]);
  }

  const arch::X86Site site(kHome, insn, flow);
  arch::CodeBuffer body(kRelocated);
  arch::Relocate(site, body);
  if (!body.in_reach()) return "out of reach";
  const auto code = std::move(body).Take();
  relocated_bytes_ = code.size();
  Write(kRelocated, code.data(), code.size());
  if (site.site_calls()) {  // the site is a call that leads to the trampoline
    Instruction call = insn;
    if (flow != Flow::kCallDirect) {  // padded: 2e... e8 rel32
      std::fill_n(call.bytes, call.length - 5, 0x2E);
      call.bytes[call.length - 5] = 0xE8;
    }
    SetField(call, call.length - 4, 4, kRelocated - (kHome + call.length));
    Write(kHome, call.bytes, call.length);
  }
  const uint64_t start = site.site_calls() ? kHome : kRelocated;
  for (uint32_t i = 0; i < states; ++i) {
    Prepare(insn, flow, operands, seed + i);
    RunAt(start, operands, *actual_);
    ++tally.states;
    tally.faults += expected_[i].fault.signal != 0;
    tally.illegal += expected_[i].fault.signal == SIGILL;
    const std::string difference = Difference(insn, flow, expected_[i], *actual_);
    if (!difference.empty()) {
      return HexBytes(insn.bytes, insn.length) + ", state " + std::to_string(seed + i) + ": " +
             difference;
    }
  }
  return "";
}

}  // namespace stillframe::probe
