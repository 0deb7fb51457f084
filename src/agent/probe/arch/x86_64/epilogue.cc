// How a function ends: the instructions that release its frame, and what computes its result.
#include <utility>
#include <vector>

#include "agent/probe/arch/x86_64/instruction.h"
#include "agent/probe/plain_code.h"

namespace stillframe::probe {
namespace {

using arch::DecodeInstruction;
using arch::Encoding;
using arch::Instruction;
using arch::OpcodeMap;

constexpr uint8_t kRexB = 1;
constexpr uint8_t kRexR = 4;
constexpr uint8_t kRexW = 8;
constexpr uint8_t kRax = 0;
constexpr uint8_t kRdx = 2;
constexpr uint8_t kRsp = 4;
constexpr uint8_t kLeave = 0xc9;

bool In(uint8_t opcode, uint8_t first, uint8_t last) { return opcode >= first && opcode <= last; }

bool IsOneByte(const Instruction& insn) {
  return insn.encoding == Encoding::kLegacy && insn.map == OpcodeMap::kOneByte;
}

uint8_t RegOf(const Instruction& insn) {
  return static_cast<uint8_t>(insn.modrm_reg() | ((insn.rex & kRexR) != 0 ? 8 : 0));
}

// The register that r/m names; 16 when it is memory.
uint8_t RmOf(const Instruction& insn) {
  if (insn.modrm_mod() != 3) return 16;
  return static_cast<uint8_t>(insn.modrm_rm() | ((insn.rex & kRexB) != 0 ? 8 : 0));
}

// Changes rsp and registers that the caller wants back, and nothing else but flags: pop, leave,
// add rsp, lea rsp, mov rsp; and vzeroupper, which leaves the results' halves alone.
bool ReleasesFrame(const Instruction& insn) {
  if (insn.encoding == Encoding::kVex && insn.map == OpcodeMap::k0F && insn.opcode == 0x77) {
    return (insn.bytes[insn.opcode_offset - 1] & 4) == 0;  // VEX.L = 0
  }
  if (!IsOneByte(insn) || insn.operand_size || insn.address_size || insn.segment) return false;
  const uint8_t op = insn.opcode;
  if (op == kLeave) return true;
  if (In(op, 0x58, 0x5f)) {
    const auto reg = static_cast<uint8_t>((op & 7) | ((insn.rex & kRexB) != 0 ? 8 : 0));
    return reg != kRax && reg != kRdx && reg != kRsp;
  }
  if ((insn.rex & kRexW) == 0) return false;
  if (op == 0x81 || op == 0x83) return insn.modrm_reg() == 0 && RmOf(insn) == kRsp;
  if (op == 0x8b || op == 0x8d) return RegOf(insn) == kRsp;
  return op == 0x89 && RmOf(insn) == kRsp;
}

// Computes into rax alone (and flags). Such an instruction just before the end of a function is not
// there by accident: what nobody wants, compilers do not leave.
bool SetsInteger(const Instruction& insn) {
  const uint8_t op = insn.opcode;
  if (insn.encoding != Encoding::kLegacy || insn.rep || insn.repne || insn.lock) return false;
  if (insn.map == OpcodeMap::k0F) {
    if (In(op, 0x90, 0x9f)) return RmOf(insn) == kRax;
    const bool to_reg =
        In(op, 0x40, 0x4f) || op == 0xaf || op == 0xb6 || op == 0xb7 || op == 0xbe || op == 0xbf;
    return to_reg && RegOf(insn) == kRax;
  }
  if (insn.map != OpcodeMap::kOneByte) return false;
  if (op == 0xb8) return (insn.rex & kRexB) == 0;
  if (op == 0x8b || op == 0x8d || op == 0x63 || op == 0x69 || op == 0x6b) {
    return RegOf(insn) == kRax;
  }
  if (op == 0x89 || op == 0xc7) return RmOf(insn) == kRax;
  if (op == 0xc1 || op == 0xd1 || op == 0xd3) return RmOf(insn) == kRax;
  if (op == 0x81 || op == 0x83) return insn.modrm_reg() != 7 && RmOf(insn) == kRax;
  if (op == 0xf7) return (insn.modrm_reg() == 2 || insn.modrm_reg() == 3) && RmOf(insn) == kRax;
  if (op == 0xff) return insn.modrm_reg() <= 1 && RmOf(insn) == kRax;
  if (op >= 0x38) return false;  // 38-3d compare
  if ((op & 7) == 1) return RmOf(insn) == kRax;
  if ((op & 7) == 3) return RegOf(insn) == kRax;
  return (op & 7) == 5;  // op eax, imm
}

// The same for xmm0: moves, conversions and arithmetic of SSE and SSE2.
bool SetsFloat(const Instruction& insn) {
  if (insn.encoding != Encoding::kLegacy || insn.map != OpcodeMap::k0F) return false;
  const uint8_t op = insn.opcode;
  const bool to_reg = op == 0x10 || op == 0x28 || op == 0x2a || In(op, 0x51, 0x5f) ||
                      (op == 0x6e && insn.operand_size) || (op == 0x7e && insn.rep) || op == 0xef;
  return to_reg && RegOf(insn) == 0;
}

bool LeadsOn(const Instruction& insn, std::span<const uint8_t> text, uint64_t address) {
  return insn.length != 0 && ReadControlFlow(text, address).goes_on;
}

}  // namespace

uint32_t FrameReleaseBytes(std::span<const uint8_t> text) {
  const std::optional<Instruction> insn = DecodeInstruction(text);
  return insn && ReleasesFrame(*insn) ? insn->length : 0;
}

std::optional<Epilogue> FindEpilogue(std::span<const uint8_t> text, uint64_t text_address,
                                     uint64_t exit) {
  // The run of releasing instructions that ends at `exit`, and what stands before it.
  Epilogue found;
  found.first = exit;
  std::vector<std::pair<uint64_t, Instruction>> run;
  std::optional<std::pair<uint64_t, Instruction>> before;
  for (size_t at = 0; at < text.size() && text_address + at < exit;) {
    const std::optional<Instruction> insn = DecodeInstruction(text.subspan(at));
    if (!insn) return std::nullopt;
    if (ReleasesFrame(*insn)) {
      run.emplace_back(text_address + at, *insn);
    } else {
      run.clear();
      before.emplace(text_address + at, *insn);
    }
    at += insn->length;
    if (text_address + at > exit) return std::nullopt;
  }
  const auto is_target = [&](uint64_t address) {
    return MayBeBranchTarget(text, text_address, address);
  };
  bool first_is_target = is_target(exit);
  const Instruction* first = nullptr;
  while (!first_is_target && !run.empty()) {
    found.first = run.back().first;
    first = &run.back().second;
    first_is_target = is_target(found.first);
    if (first_is_target) break;
    run.pop_back();
  }
  // Who jumps to a leave still has the frame that rbp points to.
  const bool is_leave = first != nullptr && IsOneByte(*first) && first->opcode == kLeave;
  const bool follows =
      !first_is_target && run.empty() && before &&
      before->first + before->second.length == found.first &&
      LeadsOn(before->second, text.subspan(before->first - text_address), before->first);
  found.frame_is_intact = is_leave || follows;
  found.begins_release = run.size() <= (first_is_target && first != nullptr ? 1 : 0);
  if (follows) {
    found.sets_integer = SetsInteger(before->second);
    found.sets_float = SetsFloat(before->second);
  }
  return found;
}

}  // namespace stillframe::probe
