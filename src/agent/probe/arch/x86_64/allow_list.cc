// Which instructions may run away from their home. Everything not named here is refused.
//
// An instruction may be relocated when its effect does not depend on where it stands, or when the
// relocator knows how to keep it (RIP-relative operands, near branches, near calls).
#include <capstone/capstone.h>

#include <array>
#include <cstdio>
#include <memory>

#include "agent/probe/arch/x86_64/site.h"

namespace stillframe::probe::arch {
namespace {

constexpr uint16_t kAllowedIds[] = {
    // Data movement and stack.
    X86_INS_MOV,
    X86_INS_MOVABS,
    X86_INS_MOVBE,
    X86_INS_MOVNTI,
    X86_INS_MOVSX,
    X86_INS_MOVSXD,
    X86_INS_MOVZX,
    X86_INS_LEA,
    X86_INS_XCHG,
    X86_INS_XADD,
    X86_INS_BSWAP,
    X86_INS_PUSH,
    X86_INS_POP,
    X86_INS_PUSHFQ,
    X86_INS_POPFQ,
    X86_INS_ENTER,
    X86_INS_LEAVE,
    X86_INS_CBW,
    X86_INS_CWDE,
    X86_INS_CDQE,
    X86_INS_CWD,
    X86_INS_CDQ,
    X86_INS_CQO,
    X86_INS_XLATB,
    X86_INS_CMPXCHG,
    X86_INS_CMPXCHG8B,
    X86_INS_CMPXCHG16B,
    X86_INS_LAHF,
    X86_INS_SAHF,
    // Integer arithmetic and logic.
    X86_INS_ADC,
    X86_INS_ADCX,
    X86_INS_ADD,
    X86_INS_ADOX,
    X86_INS_SBB,
    X86_INS_SUB,
    X86_INS_INC,
    X86_INS_DEC,
    X86_INS_NEG,
    X86_INS_NOT,
    X86_INS_AND,
    X86_INS_ANDN,
    X86_INS_OR,
    X86_INS_XOR,
    X86_INS_CMP,
    X86_INS_TEST,
    X86_INS_MUL,
    X86_INS_MULX,
    X86_INS_IMUL,
    X86_INS_DIV,
    X86_INS_IDIV,
    X86_INS_RCL,
    X86_INS_RCR,
    X86_INS_ROL,
    X86_INS_ROR,
    X86_INS_RORX,
    X86_INS_SAL,
    X86_INS_SAR,
    X86_INS_SARX,
    X86_INS_SHL,
    X86_INS_SHLD,
    X86_INS_SHLX,
    X86_INS_SHR,
    X86_INS_SHRD,
    X86_INS_SHRX,
    X86_INS_BT,
    X86_INS_BTC,
    X86_INS_BTR,
    X86_INS_BTS,
    X86_INS_BSF,
    X86_INS_BSR,
    X86_INS_LZCNT,
    X86_INS_TZCNT,
    X86_INS_POPCNT,
    X86_INS_BEXTR,
    X86_INS_BLSI,
    X86_INS_BLSMSK,
    X86_INS_BLSR,
    X86_INS_BZHI,
    X86_INS_PDEP,
    X86_INS_PEXT,
    X86_INS_CRC32,
    // Conditions.
    X86_INS_SETA,
    X86_INS_SETAE,
    X86_INS_SETB,
    X86_INS_SETBE,
    X86_INS_SETE,
    X86_INS_SETG,
    X86_INS_SETGE,
    X86_INS_SETL,
    X86_INS_SETLE,
    X86_INS_SETNE,
    X86_INS_SETNO,
    X86_INS_SETNP,
    X86_INS_SETNS,
    X86_INS_SETO,
    X86_INS_SETP,
    X86_INS_SETS,
    X86_INS_CMOVA,
    X86_INS_CMOVAE,
    X86_INS_CMOVB,
    X86_INS_CMOVBE,
    X86_INS_CMOVE,
    X86_INS_CMOVG,
    X86_INS_CMOVGE,
    X86_INS_CMOVL,
    X86_INS_CMOVLE,
    X86_INS_CMOVNE,
    X86_INS_CMOVNO,
    X86_INS_CMOVNP,
    X86_INS_CMOVNS,
    X86_INS_CMOVO,
    X86_INS_CMOVP,
    X86_INS_CMOVS,
    X86_INS_CLC,
    X86_INS_CLD,
    X86_INS_CMC,
    X86_INS_STC,
    X86_INS_STD,
    // Strings. MOVSD and CMPSD are also the names of vector instructions, which are fine as well.
    X86_INS_MOVSB,
    X86_INS_MOVSW,
    X86_INS_MOVSD,
    X86_INS_MOVSQ,
    X86_INS_CMPSB,
    X86_INS_CMPSW,
    X86_INS_CMPSD,
    X86_INS_CMPSQ,
    X86_INS_SCASB,
    X86_INS_SCASW,
    X86_INS_SCASD,
    X86_INS_SCASQ,
    X86_INS_LODSB,
    X86_INS_LODSW,
    X86_INS_LODSD,
    X86_INS_LODSQ,
    X86_INS_STOSB,
    X86_INS_STOSW,
    X86_INS_STOSD,
    X86_INS_STOSQ,
    // Fences, hints, queries, state.
    X86_INS_NOP,
    X86_INS_PAUSE,
    X86_INS_LFENCE,
    X86_INS_MFENCE,
    X86_INS_SFENCE,
    X86_INS_CLFLUSH,
    X86_INS_CLFLUSHOPT,
    X86_INS_CLWB,
    X86_INS_PREFETCH,
    X86_INS_PREFETCHW,
    X86_INS_PREFETCHNTA,
    X86_INS_PREFETCHT0,
    X86_INS_PREFETCHT1,
    X86_INS_PREFETCHT2,
    X86_INS_CPUID,
    X86_INS_RDTSC,
    X86_INS_RDTSCP,
    X86_INS_RDRAND,
    X86_INS_RDSEED,
    X86_INS_XGETBV,
    X86_INS_LDMXCSR,
    X86_INS_STMXCSR,
    X86_INS_FXSAVE,
    X86_INS_FXSAVE64,
    X86_INS_FXRSTOR,
    X86_INS_FXRSTOR64,
    X86_INS_XSAVE,
    X86_INS_XSAVE64,
    X86_INS_XSAVEC,
    X86_INS_XSAVEC64,
    X86_INS_XSAVEOPT,
    X86_INS_XSAVEOPT64,
    X86_INS_XRSTOR,
    X86_INS_XRSTOR64,
    X86_INS_FNSTCW,
    X86_INS_FLDCW,
    X86_INS_FNSTSW,
    X86_INS_WAIT,
    X86_INS_EMMS,
};

// Vector instructions: none of them knows where it stands.
constexpr uint8_t kAllowedGroups[] = {
    X86_GRP_MMX,   X86_GRP_SSE1, X86_GRP_SSE2,   X86_GRP_SSE3,   X86_GRP_SSSE3, X86_GRP_SSE41,
    X86_GRP_SSE42, X86_GRP_AVX,  X86_GRP_AVX2,   X86_GRP_AVX512, X86_GRP_CDI,   X86_GRP_ERI,
    X86_GRP_DQI,   X86_GRP_BWI,  X86_GRP_PFI,    X86_GRP_VLX,    X86_GRP_NOVLX, X86_GRP_FMA,
    X86_GRP_F16C,  X86_GRP_AES,  X86_GRP_PCLMUL, X86_GRP_SHA,    X86_GRP_FPU,
};

// Refused whatever else they are, with the reason that a user reads.
struct RefusedGroup {
  uint8_t group;
  const char* why;
};
constexpr RefusedGroup kRefusedGroups[] = {
    {X86_GRP_RTM, "belongs to a hardware transaction, which a hit would abort"},
    {X86_GRP_INT, "enters the kernel, which sees the address that it stands at"},
    {X86_GRP_IRET, "enters or leaves the kernel"},
    {X86_GRP_VM, "enters or leaves a virtual machine"},
    {X86_GRP_SGX, "enters or leaves an enclave"},
    {X86_GRP_PRIVILEGE, "is for the kernel alone"},
    {X86_GRP_SMAP, "is for the kernel alone"},
    {X86_GRP_SSE4A, "exists on a few processors only"},
    {X86_GRP_3DNOW, "exists on a few processors only"},
    {X86_GRP_XOP, "exists on a few processors only"},
    {X86_GRP_TBM, "exists on a few processors only"},
    {X86_GRP_FMA4, "exists on a few processors only"},
};

struct RefusedId {
  uint16_t id;
  const char* why;
};
constexpr RefusedId kRefusedIds[] = {
    {X86_INS_SYSCALL, "stores the address behind it in rcx"},
    {X86_INS_SYSENTER, "enters the kernel, which sees the address that it stands at"},
    {X86_INS_UD2, "raises a signal that carries its address"},
    {X86_INS_INT3, "is a breakpoint: a debugger's, or meant for one"},
    {X86_INS_HLT, "is for the kernel alone"},
    {X86_INS_XTEST, "belongs to a hardware transaction, which a hit would abort"},
};

constexpr auto kAllowed = [] {
  std::array<bool, X86_INS_ENDING> table{};
  for (uint16_t id : kAllowedIds) table[id] = true;
  return table;
}();

Status Refuse(const std::string& what, const std::string& why) {
  return Status(Code::kUnsafeSite, "the instruction '" + what + "' " + why);
}

// One decoded instruction, with everything Capstone holds for it. Opening Capstone costs more than
// decoding, so there is one for the process; agent thread only, like all of arch/.
class Decoder {
 public:
  Decoder() {
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle_) != CS_ERR_OK) return;
    cs_option(handle_, CS_OPT_DETAIL, CS_OPT_ON);
    insn_ = cs_malloc(handle_);
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  bool Decode(const Instruction& insn, uint64_t address) {
    const uint8_t* code = insn.bytes;
    size_t size = insn.length;
    return insn_ != nullptr && cs_disasm_iter(handle_, &code, &size, &address, insn_);
  }
  const cs_insn& insn() const { return *insn_; }
  bool InGroup(uint8_t group) const { return cs_insn_group(handle_, insn_, group); }
  template <size_t N>
  bool InAny(const uint8_t (&groups)[N]) const {
    for (uint8_t group : groups) {
      if (InGroup(group)) return true;
    }
    return false;
  }
  std::string Text() const {
    std::string text = insn_->mnemonic;
    if (insn_->op_str[0] != '\0') text += std::string(" ") + insn_->op_str;
    return text;
  }

 private:
  csh handle_ = 0;
  cs_insn* insn_ = nullptr;
};

Flow FlowOf(const Instruction& insn) {
  if (insn.encoding != Encoding::kLegacy) return Flow::kPlain;
  const uint8_t op = insn.opcode;
  if (insn.map == OpcodeMap::k0F) {
    return (op & 0xF0) == 0x80 ? Flow::kConditional : Flow::kPlain;
  }
  if (insn.map != OpcodeMap::kOneByte) return Flow::kPlain;
  if ((op & 0xF0) == 0x70) return Flow::kConditional;
  if (op >= 0xE0 && op <= 0xE3) return Flow::kLoop;
  if (op == 0xE8) return Flow::kCallDirect;
  if (op == 0xE9 || op == 0xEB) return Flow::kJump;
  if (op == 0xC2 || op == 0xC3) return Flow::kReturn;
  if (op == 0xFF && insn.modrm_reg() == 2) return Flow::kCallIndirect;
  if (op == 0xFF && insn.modrm_reg() == 4) return Flow::kJumpIndirect;
  return Flow::kPlain;
}

bool FlowAgrees(const Decoder& decoder, Flow flow) {
  const bool call = decoder.InGroup(X86_GRP_CALL);
  const bool jump = decoder.InGroup(X86_GRP_JUMP) || decoder.insn().id == X86_INS_LOOP ||
                    decoder.insn().id == X86_INS_LOOPE || decoder.insn().id == X86_INS_LOOPNE;
  const bool ret = decoder.InGroup(X86_GRP_RET);
  switch (flow) {
    case Flow::kPlain:
      return !call && !jump && !ret;
    case Flow::kCallDirect:
    case Flow::kCallIndirect:
      return call && !ret;
    case Flow::kReturn:
      return ret && !call && !jump;
    default:
      return jump && !call && !ret;
  }
}

// Capstone's idea of the RIP-relative operand must be ours, byte for byte.
bool OperandAgrees(const cs_insn& seen, const Instruction& insn) {
  const cs_x86& x86 = seen.detail->x86;
  bool rip_relative = false;
  for (uint8_t i = 0; i < x86.op_count; ++i) {
    const cs_x86_op& op = x86.operands[i];
    if (op.type == X86_OP_MEM && (op.mem.base == X86_REG_RIP || op.mem.base == X86_REG_EIP)) {
      rip_relative = true;
      if (op.mem.disp != insn.Displacement()) return false;
    }
  }
  // Capstone lists no operand for some hints (NOP, PREFETCH), so only one direction is an error.
  return insn.rip_relative || !rip_relative;
}

// Loads of a segment register: they may hold off interrupts, or take the thread's data away.
bool LoadsSegment(const Instruction& insn) {
  if (insn.legacy(OpcodeMap::kOneByte, 0x8E)) return true;
  if (insn.encoding != Encoding::kLegacy || insn.map != OpcodeMap::k0F) return false;
  const uint8_t op = insn.opcode;  // POP FS, POP GS; LSS, LFS, LGS
  return op == 0xA1 || op == 0xA9 || op == 0xB2 || op == 0xB4 || op == 0xB5;
}

bool IsControlRegisterMove(const Instruction& insn) {
  return insn.encoding == Encoding::kLegacy && insn.map == OpcodeMap::k0F && insn.opcode >= 0x20 &&
         insn.opcode <= 0x23;
}

// nullptr: it may be moved.
const char* WhyNotPlain(const Decoder& decoder, const Instruction& insn) {
  const unsigned id = decoder.insn().id;
  for (const RefusedId& refused : kRefusedIds) {
    if (id == refused.id) return refused.why;
  }
  if (LoadsSegment(insn)) return "loads a segment register";
  if (IsControlRegisterMove(insn)) return "is for the kernel alone";
  // Capstone 4 counts it among the privileged.
  if (id == X86_INS_RDTSCP) return nullptr;
  for (const RefusedGroup& refused : kRefusedGroups) {
    if (decoder.InGroup(refused.group)) return refused.why;
  }
  // x87, of which Capstone groups only a part, and everything with a vector prefix.
  const bool x87 = insn.encoding == Encoding::kLegacy && insn.map == OpcodeMap::kOneByte &&
                   insn.opcode >= 0xD8 && insn.opcode <= 0xDF;
  if (x87 || insn.encoding != Encoding::kLegacy) return nullptr;
  if ((id < kAllowed.size() && kAllowed[id]) || decoder.InAny(kAllowedGroups)) return nullptr;
  return "is not on the list of those that may be moved";
}

// Branches: near, with 64-bit addressing, and nothing but hint prefixes in front.
Status CheckBranch(const Decoder& decoder, const Instruction& insn, Flow flow) {
  if (insn.lock) return Refuse(decoder.Text(), "has a prefix that it cannot have");
  const bool size_matters = flow == Flow::kLoop;  // 67 selects ECX there
  if (insn.address_size && !size_matters && insn.modrm_offset != 0) {
    return Refuse(decoder.Text(), "uses 32-bit addressing");
  }
  // REX.W wins over 66 (SDM volume 2 §2.2.1.2): `66 66 48 e8` is how calls of __tls_get_addr look.
  if (insn.operand_size && (insn.rex & 0x08) == 0) {
    return Refuse(decoder.Text(), "has a 16-bit target");
  }
  return Status();
}

}  // namespace

Result<Flow> CheckAllowed(const Instruction& insn, uint64_t address) {
  static constexpr uint8_t kEndbr64[] = {0xF3, 0x0F, 0x1E, 0xFA};
  if (insn.length == 4 && std::equal(kEndbr64, kEndbr64 + 4, insn.bytes)) {
    return Refuse("endbr64", "must stay where indirect branches land; probe 4 bytes further on");
  }
  static Decoder& decoder = *new Decoder;  // never destroyed
  if (!decoder.Decode(insn, address)) {
    return Status(Code::kUnsafeSite, "the disassembler does not know the instruction");
  }
  const Flow flow = FlowOf(insn);
  if (decoder.insn().size != insn.length || !FlowAgrees(decoder, flow) ||
      !OperandAgrees(decoder.insn(), insn)) {
    return Refuse(decoder.Text(), "is understood differently by two decoders");
  }
  if (insn.rip_relative && insn.address_size) {
    return Refuse(decoder.Text(), "uses 32-bit addressing relative to itself");
  }
  if (flow == Flow::kPlain) {
    const char* const why = WhyNotPlain(decoder, insn);
    if (why != nullptr) return Refuse(decoder.Text(), why);
  } else {
    SF_RETURN_IF_ERROR(CheckBranch(decoder, insn, flow));
  }
  return flow;
}

}  // namespace stillframe::probe::arch
