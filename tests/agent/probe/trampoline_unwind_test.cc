// Exceptions and profilers unwind through a trampoline once unwinders are told of it; a tracer
// tries every instruction.
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <fstream>

#include "agent/hit/process_state.h"
#include "agent/probe/frame_table.h"
#include "agent/probe/unwinder_hook.h"
#include "base/process_maps.h"
#include "tests/agent/probe/hit_kinds.h"
#include "tests/agent/probe/tracer.h"

extern "C" {
uint64_t stillframe_test_unwound(void* callee);
void stillframe_test_unwound_callee();
extern const char stillframe_test_unwound_plain, stillframe_test_unwound_plain_end,
    stillframe_test_unwound_push, stillframe_test_unwound_push_end, stillframe_test_unwound_branch,
    stillframe_test_unwound_branch_end, stillframe_test_unwound_call,
    stillframe_test_unwound_call_end, stillframe_test_unwound_indirect,
    stillframe_test_unwound_indirect_end, stillframe_test_unwound_end;
}

// Its frame is known by rsp alone, and it keeps its argument in rbx.
asm(R"(
    .text
    .globl stillframe_test_unwound
    .hidden stillframe_test_unwound
    .type stillframe_test_unwound, @function
    .p2align 6
stillframe_test_unwound:
    .cfi_startproc
    pushq %rbx
    .cfi_def_cfa_offset 16
    .cfi_offset %rbx, -16
    movq %rdi, %rbx
    movl $1, %eax
stillframe_test_unwound_plain:
    addq $2, %rax
stillframe_test_unwound_plain_end:
    nopl 0(%rax,%rax)
    nopl 0(%rax,%rax)
stillframe_test_unwound_push:
    pushq 8(%rsp)
    .cfi_adjust_cfa_offset 8
stillframe_test_unwound_push_end:
    nopl 0(%rax,%rax)
    nopl 0(%rax,%rax)
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    testq %rax, %rax
stillframe_test_unwound_branch:
    jz stillframe_test_unwound_end
stillframe_test_unwound_branch_end:
    nopl 0(%rax,%rax)
    nopl 0(%rax,%rax)
stillframe_test_unwound_call:
    call stillframe_test_unwound_callee
stillframe_test_unwound_call_end:
    nopl 0(%rax,%rax)
    nopl 0(%rax,%rax)
stillframe_test_unwound_indirect:
    call *%rbx
stillframe_test_unwound_indirect_end:
    nopl 0(%rax,%rax)
    nopl 0(%rax,%rax)
    popq %rbx
    .cfi_def_cfa_offset 8
    ret
stillframe_test_unwound_end:
    .cfi_endproc
    .size stillframe_test_unwound, . - stillframe_test_unwound
    .globl stillframe_test_unwound_callee
    .hidden stillframe_test_unwound_callee
    .type stillframe_test_unwound_callee, @function
stillframe_test_unwound_callee:
    .cfi_startproc
    incq %rax
    ret
    .cfi_endproc
    .size stillframe_test_unwound_callee, . - stillframe_test_unwound_callee
)");

namespace stillframe::probe {
namespace {

constexpr uint64_t kResult = 5;
constexpr int kRbxDwarf = 3;
// What the unwinder found from one interrupted instruction.
struct Seen {
  uint64_t pc = 0;
  uint64_t rsp = 0;
  bool reached = false;    // the caller of the probed function
  bool rbx_right = false;  // in the probed function's frame
  uint32_t frames = 0;
};

// A profiler's sample that did not get through.
struct Miss {
  uint64_t pc = 0;
  uint64_t rsp = 0;
  uint64_t sample = 0;
  bool reached = false;
  bool rbx_right = false;
  uint32_t frames = 0;
};

struct Shared {
  volatile uint64_t site = 0;
  volatile uint32_t count = 0;
  volatile uint64_t caught = 0;
  volatile bool stop = false;
  volatile bool throws = false;
  bool profiles = false;
  uint64_t code_start = 0;  // of this program
  uint64_t code_end = 0;
  // Samples of a profiler: outside of this program's own code, and those that got to the caller.
  volatile uint32_t stuck = 0;  // abandoned hits that stay
  volatile uint64_t samples = 0;
  volatile uint64_t sampled_trampoline = 0;
  volatile uint64_t got_through = 0;
  volatile uint32_t miss_count = 0;
  Miss misses[8];
  char failure[256] = {};
  Seen seen[4096];
};
Shared* g_shared;

uint64_t Address(const char& label) { return reinterpret_cast<uint64_t>(&label); }
uint64_t Function(void (*function)()) { return reinterpret_cast<uint64_t>(function); }

__attribute__((noinline)) uint64_t CallProbed() {
  const uint64_t result =
      stillframe_test_unwound(reinterpret_cast<void*>(&stillframe_test_unwound_callee));
  asm volatile("");  // no tail call
  return result;
}

_Unwind_Reason_Code OnFrame(_Unwind_Context* context, void* argument) {
  auto* const seen = static_cast<Seen*>(argument);
  ++seen->frames;
  const uint64_t start = _Unwind_GetRegionStart(context);
  if (start == reinterpret_cast<uint64_t>(&stillframe_test_unwound)) {
    seen->rbx_right =
        _Unwind_GetGR(context, kRbxDwarf) == Function(&stillframe_test_unwound_callee);
  }
  if (start == reinterpret_cast<uint64_t>(&CallProbed)) seen->reached = true;
  return seen->reached ? _URC_NORMAL_STOP : _URC_NO_REASON;
}

void OnSignal(int, siginfo_t*, void* context) {
  if (g_shared->throws) throw 42;
  const auto* const registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  Seen& seen = g_shared->seen[g_shared->count % std::size(g_shared->seen)];
  seen = Seen{};
  seen.pc = static_cast<uint64_t>(registers[REG_RIP]);
  seen.rsp = static_cast<uint64_t>(registers[REG_RSP]);
  _Unwind_Backtrace(&OnFrame, &seen);
  g_shared->count = g_shared->count + 1;
  asm volatile("int3");
}

bool InTrampoline(uint64_t pc) { return pc < g_shared->code_start || pc >= g_shared->code_end; }
bool InProbedFunction(uint64_t pc) {
  return pc >= reinterpret_cast<uint64_t>(&stillframe_test_unwound) &&
         pc <= Function(&stillframe_test_unwound_callee) + 3;
}

// Not the C library, where a timer that is faster than its handler keeps a thread for long.
bool HasFrames(uint64_t pc) {
  FoundFrames found;
  return FindFrames(pc, found);
}

// As a sampling profiler does.
void OnProfile(int, siginfo_t*, void* context) {
  const auto* const registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  g_shared->samples = g_shared->samples + 1;
  if (!HasFrames(static_cast<uint64_t>(registers[REG_RIP]))) return;
  Seen seen;
  _Unwind_Backtrace(&OnFrame, &seen);
  g_shared->sampled_trampoline = g_shared->sampled_trampoline + 1;
  g_shared->got_through = g_shared->got_through + (seen.reached && seen.rbx_right);
  if (seen.reached && seen.rbx_right) return;
  Miss& miss = g_shared->misses[g_shared->miss_count % std::size(g_shared->misses)];
  miss = Miss{static_cast<uint64_t>(registers[REG_RIP]),
              static_cast<uint64_t>(registers[REG_RSP]),
              g_shared->samples,
              seen.reached,
              seen.rbx_right,
              seen.frames};
  g_shared->miss_count = g_shared->miss_count + 1;
}

// Until a few hundred samples fell into the trampoline.
void Profile() {
  struct sigaction action {};
  action.sa_sigaction = &OnProfile;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigaction(SIGPROF, &action, nullptr);
  timer_t timer;
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGPROF;
  timer_create(CLOCK_MONOTONIC, &event, &timer);
  const itimerspec every{{0, 50'000}, {0, 50'000}};  // 20 kHz
  timer_settime(timer, 0, &every, nullptr);
  while (g_shared->sampled_trampoline < 300) CallProbed();
  timer_delete(timer);
}

struct Site {
  const char* text;
  uint64_t address;
  uint64_t end;
};
std::vector<Site> Sites() {
  return {
      {"plain", Address(stillframe_test_unwound_plain), Address(stillframe_test_unwound_plain_end)},
      {"push", Address(stillframe_test_unwound_push), Address(stillframe_test_unwound_push_end)},
      {"branch", Address(stillframe_test_unwound_branch),
       Address(stillframe_test_unwound_branch_end)},
      {"direct call", Address(stillframe_test_unwound_call),
       Address(stillframe_test_unwound_call_end)},
      {"indirect call", Address(stillframe_test_unwound_indirect),
       Address(stillframe_test_unwound_indirect_end)}};
}

// ---- the traced child ----

int Fail(int code, const std::string& text) {
  std::snprintf(g_shared->failure, sizeof g_shared->failure, "%s", text.c_str());
  return code;
}

void FindOwnCode() {
  const auto maps = ReadProcessMaps();
  const uint64_t here = reinterpret_cast<uint64_t>(&FindOwnCode);
  for (const Mapping& map : *maps) {
    if (map.start.value <= here && here < map.end.value) {
      g_shared->code_start = map.start.value;
      g_shared->code_end = map.end.value;
    }
  }
}

// A hit that an exception left is not waited for: the next one at its depth ends it. But for one
// instruction of a trampoline, between saying that a hit runs and saying where.
void EndAbandonedHit() {
  (void)CallProbed();
  if (hit::WaitForQuiescence(200)) return;
  g_shared->stuck = g_shared->stuck + 1;
  for (hit::ThreadSlot& slot : hit::g_process.slots) slot.announced.store(0);
}

// Every instruction as unwinders are by themselves, then when they are told, then with exceptions.
int RunChild(const Site& site, bool compiled) {
  // A division, which takes registers of its own on the stack: *rsp / 3 * 0.
  const std::vector<Insn> condition = {hit::I(Op::kRegister, 0, 7), hit::I(Op::kLoad, 0, 8, 0),
                                       hit::I(Op::kConst, 3),       hit::I(Op::kDivS),
                                       hit::I(Op::kConst, 0),       hit::I(Op::kMul),
                                       hit::I(Op::kReturn)};
  KindOfHit hit(condition);
  const ModuleText text{"self", RuntimeAddress(g_shared->code_start),
                        RuntimeAddress(g_shared->code_end)};
  const auto prepared = hit.Prepare(RuntimeAddress(site.address), text);
  if (!prepared.ok()) return Fail(2, prepared.status().ToString());
  if (!hit.installer().Arm(RuntimeAddress(site.address)).ok()) return Fail(3, "not armed");
  if (CallProbed() != kResult) return Fail(4, "wrong result");
  if (compiled) {
    ProbeCodeSpec spec;
    spec.condition = condition;
    spec.first_counter = reinterpret_cast<uint64_t>(&hit.probe()->runtime().shards->count[0]);
    const auto code = hit.installer().PlaceProbeCode(RuntimeAddress(site.address), spec);
    if (!code.ok()) return Fail(8, code.status().ToString());
    prepared->runtime->entry.store(*code);
    if (CallProbed() != kResult) return Fail(9, "wrong result of compiled code");
  }
  struct sigaction action {};
  action.sa_sigaction = &OnSignal;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(kTracedSignal, &action, nullptr);
  if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) return Fail(5, "ptrace");
  g_shared->site = site.address;
  for (int phase = 0; phase < 2; ++phase) {
    raise(SIGSTOP);
    if (CallProbed() != kResult) return Fail(6, "wrong result when stepped");
    if (phase != 0) continue;
    if (const Status hooked = HookUnwinders(); !hooked.ok()) return Fail(77, hooked.ToString());
  }
  while (!g_shared->stop) {
    raise(SIGSTOP);
    try {
      if (CallProbed() != kResult) return Fail(7, "wrong result without a signal");
    } catch (const int value) {
      g_shared->caught = g_shared->caught + (value == 42);
    }
    EndAbandonedHit();
  }
  if (g_shared->profiles) Profile();
  return 0;
}

// ---- the tracing parent ----

struct Reached {
  uint32_t of = 0;
  uint32_t reached = 0;
};
struct Tally {
  Reached trampoline, hit_path, application;
};

Tally TallyOf(uint32_t first, uint32_t end) {
  Tally tally;
  for (uint32_t i = first; i < end; ++i) {
    const Seen& seen = g_shared->seen[i];
    Reached& place = InTrampoline(seen.pc)       ? tally.trampoline
                     : InProbedFunction(seen.pc) ? tally.application
                                                 : tally.hit_path;
    ++place.of;
    place.reached += seen.reached && seen.rbx_right;
  }
  return tally;
}

void Print(const char* text, const char* when, const Tally& tally) {
  std::printf(
      "  %-13s %-8s unwound from %3u of %3u instructions of the trampoline, %3u of %3u of "
      "the hit path, %2u of %2u of the program\n",
      text, when, tally.trampoline.reached, tally.trampoline.of, tally.hit_path.reached,
      tally.hit_path.of, tally.application.reached, tally.application.of);
}

void CheckSite(const Site& site, bool compiled, bool profiles) {
  SCOPED_TRACE(site.text);
  void* const memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_shared = new (memory) Shared;
  g_shared->profiles = profiles;
  FindOwnCode();
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(RunChild(site, compiled));
  }
  Tracer tracer(child, g_shared->site);
  EXPECT_GT(tracer.StepThroughHit(site.end), 20u);
  const uint32_t first = g_shared->count;
  tracer.Continue();
  EXPECT_GT(tracer.StepThroughHit(site.end), 20u);
  const uint32_t second = g_shared->count;
  g_shared->throws = true;
  tracer.Continue();
  uint32_t thrown = 0;
  while (tracer.SignalAtNumber(thrown, site.end, &InTrampoline) != 0) ++thrown;
  g_shared->stop = true;
  g_shared->throws = false;
  const int code = tracer.Finish();
  const bool skipped = code == 77;
  EXPECT_TRUE(code == 0 || skipped) << code << ": " << g_shared->failure;
  const Tally before = TallyOf(0, first);
  const Tally after = TallyOf(first, second);
  Print(site.text, "without:", before);
  Print(site.text, "with:", after);
  std::printf(
      "  %-13s %u exceptions thrown from signal handlers there, %lu caught, %u hits never "
      "ended\n",
      site.text, thrown, g_shared->caught, g_shared->stuck);
  std::printf("  %-13s %lu samples at 20 kHz, %lu in the trampoline or an island, %lu unwound\n",
              site.text, g_shared->samples, g_shared->sampled_trampoline, g_shared->got_through);
  EXPECT_EQ(before.trampoline.reached, 0u) << "then this test shows nothing";
  EXPECT_GT(after.trampoline.of, compiled ? 30u : 50u);
  EXPECT_EQ(after.trampoline.reached, after.trampoline.of);
  EXPECT_GE(after.hit_path.of, compiled ? 0u : 50u);
  EXPECT_EQ(after.hit_path.reached, after.hit_path.of);
  EXPECT_EQ(after.application.reached, after.application.of);
  EXPECT_GT(thrown, compiled ? 30u : 50u);
  EXPECT_EQ(g_shared->caught, thrown);
  EXPECT_LE(g_shared->stuck, 1u);
  EXPECT_GE(g_shared->sampled_trampoline, profiles ? 300u : 0u);
  EXPECT_EQ(g_shared->got_through, g_shared->sampled_trampoline);
  for (uint32_t i = 0; i < std::min<size_t>(g_shared->miss_count, std::size(g_shared->misses));
       ++i) {
    const Miss& miss = g_shared->misses[i];
    const Seen* stepped = nullptr;
    for (uint32_t k = first; k < second; ++k) {
      if (g_shared->seen[k].pc == miss.pc) stepped = &g_shared->seen[k];
    }
    std::printf(
        "    missed at %lx (%s), rsp %lx (stepped %lx): %s, rbx %s; sample %lu, "
        "%u frames\n",
        miss.pc, stepped != nullptr ? "stepped" : "never stepped", miss.rsp,
        stepped != nullptr ? stepped->rsp : 0, miss.reached ? "reached" : "not reached",
        miss.rbx_right ? "right" : "wrong", miss.sample, miss.frames);
  }
  munmap(memory, sizeof(Shared));
}

TEST(TrampolineUnwind, ReachesTheCallerFromEveryInstruction) {
  for (const Site& site : Sites()) {
    CheckSite(site, false, false);
    if (HasFailure()) return;
  }
}

TEST(TrampolineUnwind, ReachesTheCallerFromCompiledConditions) {
  for (const Site& site : Sites()) {
    CheckSite(site, true, false);
    if (HasFailure()) return;
  }
}

TEST(TrampolineUnwind, ProfilersReachTheCaller) {
  for (const Site& site : Sites()) {
    CheckSite(site, false, true);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace stillframe::probe
