// The hit path's unwinder against libunwind: a signal interrupts a program that sorts, throws,
// recurses and calls back through the C library, at any instruction; both unwind from there, and
// every frame's pc, stack pointer and callee-saved registers must be the same. Then the time that
// each takes for a frame, with all six registers.
//
//   stillframe_unwind_bench [SECONDS]      ends with 1 when a frame differs
#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/hit/hit.h"
#include "agent/hit/memory.h"
#include "agent/hit/record_writer.h"
#include "agent/hit/unwinder.h"
#include "tests/agent/hit/process_tables.h"

namespace stillframe::hit {
namespace {

constexpr uint32_t kDepth = 64;
constexpr uint64_t kTicksPerSecond = 2'000'000'000;
constexpr uint64_t kSetContextBytes = 128;
constexpr uint64_t kVdsoBytes = 4 * 4096;
constexpr int kRounds = 20;  // of timing, in one sample
// Of kSavedRegisters: rbx, rbp, r12 to r15.
constexpr std::array<int, kSavedRegisterCount> kTheirs = {
    UNW_X86_64_RBX, UNW_X86_64_RBP, UNW_X86_64_R12, UNW_X86_64_R13, UNW_X86_64_R14, UNW_X86_64_R15};

// What the signal handler uses and fills.
struct State {
  const UnwindModules* modules = nullptr;
  std::array<FrameRecord, kDepth> frames;
  std::array<uint8_t, kSliceBytes> slice;
  std::array<uint8_t, kWindowBytes> window;
  uint64_t set_context = reinterpret_cast<uint64_t>(dlsym(RTLD_DEFAULT, "_Ux86_64_setcontext"));
  uint64_t samples = 0, compared = 0, registers = 0, differ = 0, shorter = 0;
  uint64_t our_ns = 0, our_frames = 0, their_ns = 0, their_frames = 0;
};
State g_state;

uint64_t ThreadNanos() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

RegisterFile RegistersOf(const ucontext_t& context) {
  // DWARF's order: rax rdx rcx rbx rsi rdi rbp rsp r8..r15.
  constexpr int kOrder[] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP,
                            REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  RegisterFile registers{};
  for (uint32_t i = 0; i < kRegisterCount; ++i) {
    registers.gpr[i] = static_cast<uint64_t>(context.uc_mcontext.gregs[kOrder[i]]);
  }
  registers.rip = static_cast<uint64_t>(context.uc_mcontext.gregs[REG_RIP]);
  return registers;
}

StackCopy CopyStack(const RegisterFile& registers) {
  StackCopy stack{};
  stack.slice = g_state.slice.data();
  stack.slice_address = registers.gpr[7] - 128;
  stack.slice_bytes = ReadSome(stack.slice_address, g_state.slice.data(),
                               static_cast<uint32_t>(g_state.slice.size()));
  stack.window = g_state.window.data();
  stack.window_capacity = static_cast<uint32_t>(g_state.window.size());
  stack.refills_left = kDepth;
  return stack;
}

uint32_t Ours(const RegisterFile& registers, StackCopy stack) {
  return Unwind(g_state.modules, registers, stack, g_state.frames.data(), kDepth).frame_count;
}

uint64_t Register(unw_cursor_t& cursor, int which) {
  unw_word_t value = 0;
  unw_get_reg(&cursor, which, &value);
  return value;
}

void Compare(ucontext_t& context, uint32_t count) {
  unw_cursor_t cursor;
  if (unw_init_local2(&cursor, &context, UNW_INIT_SIGNAL_FRAME) != 0) return;
  for (uint32_t i = 0; i < count; ++i) {
    const FrameRecord& frame = g_state.frames[i];
    ++g_state.compared;
    const uint64_t pc = Register(cursor, UNW_REG_IP), sp = Register(cursor, UNW_REG_SP);
    bool same = frame.pc == pc && frame.rsp == sp;
    for (int r = 0; r < kSavedRegisterCount; ++r) {
      if ((frame.valid >> r & 1) == 0) continue;
      ++g_state.registers;
      same = same && frame.saved[r] == Register(cursor, kTheirs[static_cast<size_t>(r)]);
    }
    if (!same && ++g_state.differ <= 10) {
      std::fprintf(stderr,
                   "frame %u from pc %#" PRIx64 ": pc %#" PRIx64 " %#" PRIx64 ", sp %#" PRIx64
                   " %#" PRIx64 "\n",
                   i, g_state.frames[0].pc, frame.pc, pc, frame.rsp, sp);
    }
    if (!same) return;
    if (unw_step(&cursor) <= 0) return;  // it ends here: what we have beyond is not to be compared
  }
  const uint64_t next = Register(cursor, UNW_REG_IP);
  if (count >= kDepth || next == 0) return;
  const FrameRecord& last = g_state.frames[count - 1];
  if (++g_state.shorter <= 10) {
    std::fprintf(stderr,
                 "after %u frames, from pc %#" PRIx64 " to pc %#" PRIx64 " (sp %#" PRIx64
                 ", cfa %#" PRIx64 "): libunwind goes on to %#" PRIx64 "\n",
                 count, g_state.frames[0].pc, last.pc, last.rsp, last.cfa, next);
    char** names = backtrace_symbols(reinterpret_cast<void* const*>(&last.pc), 1);
    if (names != nullptr) std::fprintf(stderr, "  %s\n", names[0]);
  }
}

void Time(ucontext_t& context, const RegisterFile& registers) {
  const StackCopy stack = CopyStack(registers);
  uint64_t begin = ThreadNanos();
  for (int i = 0; i < kRounds; ++i) g_state.our_frames += Ours(registers, stack);
  g_state.our_ns += ThreadNanos() - begin;
  begin = ThreadNanos();
  unw_cursor_t cursor;
  if (unw_init_local2(&cursor, &context, UNW_INIT_SIGNAL_FRAME) != 0) return;
  do {
    ++g_state.their_frames;
    for (const int which : kTheirs) (void)Register(cursor, which);
  } while (unw_step(&cursor) > 0);
  g_state.their_ns += ThreadNanos() - begin;
}

void OnSignal(int, siginfo_t*, void* context) {
  auto& interrupted = *static_cast<ucontext_t*>(context);
  const RegisterFile registers = RegistersOf(interrupted);
  // The vDSO is no file, so there is no table for it here.
  if (registers.rip - getauxval(AT_SYSINFO_EHDR) < kVdsoBytes) return;
  // Linked in, libunwind throws for the program, and ends by loading the registers of another frame
  // one by one: from there on nobody can say where a stack goes, and it makes addresses up.
  if (registers.rip - g_state.set_context < kSetContextBytes) return;
  ++g_state.samples;
  Compare(interrupted, Ours(registers, CopyStack(registers)));
  Time(interrupted, registers);
}

// ---- What is interrupted ----

__attribute__((noinline)) uint64_t Deep(uint32_t depth, uint64_t seed) {
  if (depth == 0) return seed;
  auto* room = static_cast<volatile uint8_t*>(__builtin_alloca(seed % 300 + 1));
  room[0] = static_cast<uint8_t>(seed);
  return Deep(depth - 1, seed * 31 + 1) + room[0];
}

__attribute__((noinline)) uint64_t Aligned(uint32_t depth, uint64_t seed) {
  alignas(128) volatile uint64_t cells[16];
  cells[seed % 16] = seed;
  return depth == 0 ? cells[seed % 16] : Aligned(depth - 1, seed + 7) + cells[seed % 16];
}

__attribute__((noinline)) uint64_t Throwing(uint32_t depth, uint64_t seed) {
  if (depth == 0) throw seed;
  const std::string text(seed % 60, 'x');
  return Throwing(depth - 1, seed + text.size());
}

uint64_t Work(uint64_t seed) {
  uint64_t sum = Deep(20, seed) + Aligned(10, seed);
  try {
    sum += Throwing(12, seed);
  } catch (uint64_t thrown) {
    sum += thrown;
  }
  std::vector<std::string> texts;
  std::map<std::string, uint64_t> counts;
  for (uint64_t i = 0; i < 60; ++i) {
    char text[64];
    std::snprintf(text, sizeof text, "%" PRIu64 ":%.3f", seed * i % 97, static_cast<double>(i) / 7);
    texts.emplace_back(text);
    ++counts[text];
  }
  std::sort(texts.begin(), texts.end(), [](const std::string& a, const std::string& b) {
    return a.size() + a[0] < b.size() + b[0];
  });
  std::qsort(texts.data(), 0, sizeof texts[0], [](const void*, const void*) { return 0; });
  std::array<uint64_t, 64> numbers;
  for (uint64_t& number : numbers) number = seed = seed * 6364136223846793005u + 1;
  std::qsort(numbers.data(), numbers.size(), sizeof numbers[0], [](const void* a, const void* b) {
    return *static_cast<const uint64_t*>(a) < *static_cast<const uint64_t*>(b) ? -1 : 1;
  });
  return sum + texts[0].size() + counts.size() + numbers[0];
}

int Run(int seconds) {
  if (!Initialize({kTicksPerSecond, 0, 0}).ok()) return 2;
  const ProcessTables tables;
  g_state.modules = tables.get();
  struct sigaction action {};
  action.sa_sigaction = &OnSignal;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGPROF, &action, nullptr);
  const itimerval every{{0, 1000}, {0, 1000}};
  setitimer(ITIMER_PROF, &every, nullptr);
  uint64_t sum = 0;
  const uint64_t end = ThreadNanos() + static_cast<uint64_t>(seconds) * 1'000'000'000;
  while (ThreadNanos() < end) sum += Work(sum);
  const itimerval never{};
  setitimer(ITIMER_PROF, &never, nullptr);
  const State& s = g_state;
  std::printf("samples %" PRIu64 ", frames compared %" PRIu64 ", registers compared %" PRIu64
              ", frames that differ %" PRIu64 ", stacks that end early %" PRIu64 "\n",
              s.samples, s.compared, s.registers, s.differ, s.shorter);
  if (s.our_frames == 0 || s.their_frames == 0) return 2;
  std::printf("ns per frame with six registers: ours %.1f, libunwind %.1f\n",
              static_cast<double>(s.our_ns) / static_cast<double>(s.our_frames),
              static_cast<double>(s.their_ns) / static_cast<double>(s.their_frames));
  return s.differ == 0 && s.shorter == 0 && s.compared > 0 ? 0 : 1;
}

}  // namespace
}  // namespace stillframe::hit

int main(int argc, char** argv) { return stillframe::hit::Run(argc > 1 ? std::atoi(argv[1]) : 5); }
