// The runner of machine_run.h, and the proof that it notices what it is there to notice.
#include "tests/agent/probe/machine_run.h"

#include <cpuid.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>

extern "C" {
void stillframe_test_run(const void* in, void* out, uint64_t code);
void stillframe_test_exit();
// Read and written by the assembly below, and by the handler.
__attribute__((visibility("hidden"))) uint64_t stillframe_run_out, stillframe_run_code,
    stillframe_run_rsp, stillframe_run_rdi, stillframe_run_mask, stillframe_run_fs,
    stillframe_run_own_fs;
alignas(64) __attribute__((visibility("hidden"))) uint8_t stillframe_run_clean[4096];
}

asm(R"(
    .text
    .type stillframe_test_run, @function
    .globl stillframe_test_run
    .hidden stillframe_test_run
stillframe_test_run:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    subq $8, %rsp
    movq %rsi, stillframe_run_out(%rip)
    movq %rdx, stillframe_run_code(%rip)
    movq %rsp, stillframe_run_rsp(%rip)
    cmpq $0, stillframe_run_fs(%rip)
    je 1f
    rdfsbase %rax
    movq %rax, stillframe_run_own_fs(%rip)
    movq stillframe_run_fs(%rip), %rax
    wrfsbase %rax
1:  movl stillframe_run_mask(%rip), %eax
    movl 4+stillframe_run_mask(%rip), %edx
    xrstor64 192(%rdi)
    pushq 128(%rdi)
    popfq
    movq 0(%rdi), %rax
    movq 8(%rdi), %rdx
    movq 16(%rdi), %rcx
    movq 24(%rdi), %rbx
    movq 32(%rdi), %rsi
    movq 48(%rdi), %rbp
    movq 56(%rdi), %rsp
    movq 64(%rdi), %r8
    movq 72(%rdi), %r9
    movq 80(%rdi), %r10
    movq 88(%rdi), %r11
    movq 96(%rdi), %r12
    movq 104(%rdi), %r13
    movq 112(%rdi), %r14
    movq 120(%rdi), %r15
    movq 40(%rdi), %rdi
    jmp *stillframe_run_code(%rip)
    .size stillframe_test_run, . - stillframe_test_run

    .type stillframe_test_exit, @function
    .globl stillframe_test_exit
    .hidden stillframe_test_exit
stillframe_test_exit:
    movq %rdi, stillframe_run_rdi(%rip)
    movq stillframe_run_out(%rip), %rdi
    movq %rax, 0(%rdi)
    movq %rdx, 8(%rdi)
    movq %rcx, 16(%rdi)
    movq %rbx, 24(%rdi)
    movq %rsi, 32(%rdi)
    movq stillframe_run_rdi(%rip), %rax
    movq %rax, 40(%rdi)
    movq %rbp, 48(%rdi)
    movq %rsp, 56(%rdi)
    movq %r8, 64(%rdi)
    movq %r9, 72(%rdi)
    movq %r10, 80(%rdi)
    movq %r11, 88(%rdi)
    movq %r12, 96(%rdi)
    movq %r13, 104(%rdi)
    movq %r14, 112(%rdi)
    movq %r15, 120(%rdi)
    movq stillframe_run_rsp(%rip), %rsp
    pushfq
    popq 128(%rdi)
    cld
    movl stillframe_run_mask(%rip), %eax
    movl 4+stillframe_run_mask(%rip), %edx
    xsave64 192(%rdi)
    xrstor64 stillframe_run_clean(%rip)
    cmpq $0, stillframe_run_fs(%rip)
    je 1f
    movq stillframe_run_own_fs(%rip), %rax
    wrfsbase %rax
1:  addq $8, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size stillframe_test_exit, . - stillframe_test_exit
)");

namespace stillframe::probe {
namespace {

static_assert(offsetof(MachineState, rflags) == 128 && offsetof(MachineState, xsave) == 192);

// Components of XCR0: x87, SSE, AVX, and AVX-512's three. PKRU and AMX are left as they are.
constexpr uint64_t kComponents = 0xE7;
constexpr uint32_t kLegacyBytes = 512;
constexpr uint32_t kExtendedStart = kLegacyBytes + 64;
// XSTATE_BV: whether a component that holds its initial values counts as in use is the processor's
// own affair (SDM volume 1 §13.6), and a context switch changes it. XSAVE stores the values anyway.
bool IsHeader(uint32_t at) { return at >= kLegacyBytes && at < kExtendedStart; }

MachineFeatures g_features;
volatile bool g_running;
volatile MachineFault g_fault;

// May run with a foreign FS: no thread-local variable, no stack protector.
__attribute__((no_stack_protector, no_sanitize("address", "thread", "undefined"))) void OnFault(
    int number, siginfo_t* info, void* context) {
  if (!g_running) {  // not ours: die of it
    signal(number, SIG_DFL);
    return;
  }
  auto* const registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  g_fault.signal = number;
  g_fault.code = info->si_code;
  g_fault.address = reinterpret_cast<uint64_t>(info->si_addr);
  g_fault.rip = static_cast<uint64_t>(registers[REG_RIP]);
  registers[REG_RIP] = reinterpret_cast<greg_t>(&stillframe_test_exit);
  g_running = false;
}

uint32_t StandardBytes(uint64_t mask) {
  uint32_t bytes = kExtendedStart;
  for (uint32_t component = 2; component < 32; ++component) {
    uint32_t a = 0, b = 0, c = 0, d = 0;
    if ((mask >> component & 1) == 0 || !__get_cpuid_count(0xD, component, &a, &b, &c, &d))
      continue;
    bytes = std::max(bytes, a + b);
  }
  return bytes;
}

uint64_t ReadXcr0() {
  uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

}  // namespace

const MachineFeatures& Machine() { return g_features; }

bool StartMachine(std::string* why_not) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  *why_not = "a sanitizer's runtime stands between the signals and this test";
  return false;
#endif
  uint32_t a = 0, b = 0, c = 0, d = 0;
  constexpr uint32_t kOsxsave = 1u << 27;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & kOsxsave) == 0) {
    *why_not = "no XSAVE here";
    return false;
  }
  g_features.xsave_mask = ReadXcr0() & kComponents;
  g_features.xsave_bytes = StandardBytes(g_features.xsave_mask);
  constexpr uint64_t kHwcap2Fsgsbase = 2;
  g_features.fsgsbase = (getauxval(AT_HWCAP2) & kHwcap2Fsgsbase) != 0;
  if (g_features.xsave_bytes > kXsaveBytes) {
    *why_not = "XSAVE's image is larger than expected";
    return false;
  }
  stillframe_run_mask = g_features.xsave_mask;
  asm volatile("xsave64 %0"
               : "+m"(*reinterpret_cast<uint8_t(*)[4096]>(stillframe_run_clean))
               : "a"(static_cast<uint32_t>(g_features.xsave_mask)), "d"(0)
               : "memory");
  static uint8_t stack[64 * 1024];
  const stack_t alternate{stack, 0, sizeof stack};
  if (sigaltstack(&alternate, nullptr) != 0) return false;
  struct sigaction action {};
  action.sa_sigaction = &OnFault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) {
    if (sigaction(number, &action, nullptr) != 0) return false;
  }
  return true;
}

uint64_t MachineExit() { return reinterpret_cast<uint64_t>(&stillframe_test_exit); }

MachineFault RunMachine(const MachineState& in, MachineState& out, uint64_t code,
                        uint64_t fs_base) {
  stillframe_run_fs = fs_base;
  std::memset(out.xsave + kLegacyBytes, 0, 64);  // XSAVE leaves the header's other bits alone
  g_fault.signal = 0;
  g_running = true;
  stillframe_test_run(&in, &out, code);
  g_running = false;
  MachineFault fault;
  if (g_fault.signal != 0) {
    fault = {g_fault.signal, g_fault.code, g_fault.address, g_fault.rip};
  }
  return fault;
}

void RandomizeState(FastRandom& random, MachineState& state, bool unmask) {
  random.Fill(state.gpr, sizeof state.gpr);
  state.rflags = 0x202 | (random() & kRflagsStatus) | (random.OneIn(4) ? kRflagsDirection : 0);
  random.Fill(state.xsave, g_features.xsave_bytes & ~7u);
  // Legacy area: FCW 0, FSW 2, FTW 4 (abridged), FOP 6, FIP 8, FDP 16, MXCSR 24, MXCSR_MASK 28.
  auto put16 = [&](size_t at, uint16_t value) { std::memcpy(state.xsave + at, &value, 2); };
  const uint64_t word = random();
  // Bit 6 of FCW always reads as 1, bits 7 and 12 to 15 as 0.
  put16(0, static_cast<uint16_t>((word & 0x0F00) | 0x40 | (unmask ? word & 0x3F : 0x3F)));
  // ES and B are the summary of what is unmasked: left to the processor's own.
  const auto status = static_cast<uint16_t>(word >> 16 & 0x7F7F);
  put16(2, unmask ? status : static_cast<uint16_t>(status & 0x7F40));
  state.xsave[5] = 0;
  put16(6, static_cast<uint16_t>(word >> 32 & 0x7FF));
  std::memset(state.xsave + 14, 0, 2);  // FIP and FDP: canonical addresses
  std::memset(state.xsave + 22, 0, 2);
  state.xsave[13] &= 0x7F;
  state.xsave[21] &= 0x7F;
  const auto mxcsr = static_cast<uint32_t>(random() & 0xFFFF);
  const uint32_t all_masked = (mxcsr & 0xE07F) | 0x1F80;
  const uint32_t chosen = unmask ? mxcsr : all_masked;
  std::memcpy(state.xsave + 24, &chosen, sizeof chosen);
  for (int i = 0; i < 8; ++i)
    std::memset(state.xsave + 32 + 16 * i + 10, 0, 6);  // 80-bit registers
  std::memset(state.xsave + 416, 0, 96);                // reserved and free for software
  std::memset(state.xsave + kLegacyBytes, 0, 64);
  uint64_t present = g_features.xsave_mask;
  if (random.OneIn(8)) present &= ~(random() & 0xE5);  // some components in their initial state
  std::memcpy(state.xsave + kLegacyBytes, &present, sizeof present);
}

bool SameState(const MachineState& a, const MachineState& b) {
  return std::memcmp(a.gpr, b.gpr, sizeof a.gpr) == 0 && a.rflags == b.rflags &&
         std::memcmp(a.xsave, b.xsave, kLegacyBytes) == 0 &&
         std::memcmp(a.xsave + kExtendedStart, b.xsave + kExtendedStart,
                     g_features.xsave_bytes - kExtendedStart) == 0;
}

std::string DescribeDifference(const MachineState& expected, const MachineState& actual) {
  char text[160];
  for (int i = 0; i < 16; ++i) {
    if (expected.gpr[i] == actual.gpr[i]) continue;
    std::snprintf(text, sizeof text, "DWARF register %d: %#lx became %#lx", i, expected.gpr[i],
                  actual.gpr[i]);
    return text;
  }
  if (expected.rflags != actual.rflags) {
    std::snprintf(text, sizeof text, "rflags: %#lx became %#lx", expected.rflags, actual.rflags);
    return text;
  }
  for (uint32_t i = 0; i < g_features.xsave_bytes; ++i) {
    if (expected.xsave[i] == actual.xsave[i] || IsHeader(i)) continue;
    std::snprintf(text, sizeof text, "byte %u of the XSAVE image: %#x became %#x", i,
                  expected.xsave[i], actual.xsave[i]);
    return text;
  }
  return "";
}

namespace {

class MachineRun : public testing::Test {
 protected:
  void SetUp() override {
    std::string why_not;
    if (!StartMachine(&why_not)) GTEST_SKIP() << why_not;
    page_ = static_cast<uint8_t*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
                                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(page_, MAP_FAILED);
  }
  void TearDown() override {
    if (page_ != nullptr && page_ != MAP_FAILED) munmap(page_, 8192);
    for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) signal(number, SIG_DFL);
  }
  // `code`, then a jump to the exit.
  MachineFault Run(const std::string& code, const MachineState& in, MachineState& out) {
    std::memcpy(page_, code.data(), code.size());
    const uint8_t jump[] = {0xFF, 0x25, 0, 0, 0, 0};
    const uint64_t target = MachineExit();
    std::memcpy(page_ + code.size(), jump, sizeof jump);
    std::memcpy(page_ + code.size() + sizeof jump, &target, sizeof target);
    return RunMachine(in, out, reinterpret_cast<uint64_t>(page_));
  }
  MachineState State(uint64_t seed) {
    MachineState state{};
    FastRandom random(seed);
    RandomizeState(random, state, true);
    state.gpr[kStateRsp] = reinterpret_cast<uint64_t>(page_) + 8000;
    return state;
  }
  uint8_t* page_ = nullptr;
};

TEST_F(MachineRun, NothingChangesNothing) {
  for (uint64_t seed = 1; seed < 2000; ++seed) {
    const MachineState in = State(seed);
    MachineState first{}, second{};
    ASSERT_EQ(Run("", in, first).signal, 0);
    ASSERT_EQ(Run("", in, second).signal, 0);
    ASSERT_EQ(DescribeDifference(first, second), "") << seed;
    for (int i = 0; i < 16; ++i) ASSERT_EQ(in.gpr[i], first.gpr[i]);
    ASSERT_EQ(in.rflags, first.rflags);
    // Control words, MXCSR and every register whose component was loaded came through.
    uint64_t present = 0;
    std::memcpy(&present, in.xsave + 512, sizeof present);
    if (present == Machine().xsave_mask) {
      ASSERT_EQ(std::memcmp(in.xsave, first.xsave, 2), 0);
      ASSERT_EQ(std::memcmp(in.xsave + 24, first.xsave + 24, 4), 0);
      ASSERT_EQ(std::memcmp(in.xsave + 32, first.xsave + 32, 384), 0);
      ASSERT_EQ(std::memcmp(in.xsave + 576, first.xsave + 576, Machine().xsave_bytes - 576), 0);
    }
  }
}

TEST_F(MachineRun, EveryKindOfDamageIsSeen) {
  const MachineState in = State(7);
  MachineState untouched{};
  ASSERT_EQ(Run("", in, untouched).signal, 0);
  using namespace std::string_literals;
  const std::string damage[] = {
      "\x48\xFF\xC0"s,                              // inc rax
      "\xF5"s,                                      // cmc
      "\xFD\xFC\xFD\x49\xF7\xD0"s,                  // std; not r8
      "\x0F\x57\xC0"s,                              // xorps xmm0, xmm0
      "\xDB\xE3"s,                                  // fninit
      "\xC5\xF8\x77"s,                              // vzeroupper
      "\x66\x0F\xEF\xFF"s,                          // pxor xmm7, xmm7
      "\x48\x8D\x64\x24\x08"s,                      // lea rsp, [rsp+8]
      "\x68\x80\x1F\x00\x00\x0F\xAE\x14\x24\x58"s,  // push 0x1f80; ldmxcsr [rsp]; pop rax
  };
  for (const std::string& code : damage) {
    MachineState out{};
    Run(code, in, out);
    EXPECT_NE(DescribeDifference(untouched, out), "") << testing::PrintToString(code);
  }
}

TEST_F(MachineRun, FaultsAreReported) {
  MachineState in = State(3);
  in.gpr[0] = 0x123450;
  MachineState out{};
  const MachineFault fault = Run(std::string("\x48\x8B\x00", 3), in, out);  // mov rax, [rax]
  EXPECT_EQ(fault.signal, SIGSEGV);
  EXPECT_EQ(fault.address, 0x123450u);
  EXPECT_EQ(fault.rip, reinterpret_cast<uint64_t>(page_));
  EXPECT_EQ(out.gpr[0], 0x123450u);
  EXPECT_EQ(Run("\x0F\x0B", in, out).signal, SIGILL);
}

}  // namespace
}  // namespace stillframe::probe
