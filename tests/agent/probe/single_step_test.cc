// A tracer steps through a hit instruction by instruction and at each delivers a signal whose
// handler hits the same probe and another one. Nothing may be disturbed: not the interrupted hit,
// not the registers, not the accounts.
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include <cerrno>

#include "tests/agent/probe/hit_kinds.h"
#include "tests/agent/probe/machine_run.h"
#include "tests/agent/probe/site_shapes.h"
#include "tests/agent/probe/tracer.h"

namespace stillframe::probe {
namespace {

constexpr uint64_t kStackBytes = 64 * 1024;
constexpr uint64_t kSeenBytes = 384;  // of the stack: the red zone and what is above

// Written by the traced child, read by the tracer.
struct Shared {
  volatile uint64_t site = 0;     // stepping with signals begins here
  volatile uint64_t handled = 0;  // signals handled to the end
  volatile uint64_t in_trampoline = 0;
  char failure[512] = {};
};
Shared* g_shared;

using Function = uint64_t (*)();
Function g_probed[2];  // the second has a probe of its own
KindOfHit* g_hits_of[2];
uint64_t g_wrong_results;

// Ends in a trap: the tracer runs the handler at full speed up to there.
void HitBoth(int) {
  const int saved = errno;
  for (const Function function : g_probed) g_wrong_results += function() != 7;
  for (KindOfHit* hit : g_hits_of) hit->Drain();
  g_shared->handled = g_shared->handled + 1;
  errno = saved;
  asm volatile("int3");
}

struct Setting {
  HitKind kind;
  SiteShape shape;
};

// Everything below runs in the child. 0 or the number of what went wrong, text in g_shared.
class Traced {
 public:
  explicit Traced(const Setting& setting)
      : setting_(setting), hit_(setting.kind), other_(setting.kind) {}

  int Run() {
    std::string why_not;
    if (!StartMachine(&why_not)) return Fail(77, why_not);
    SetUpCode();
    MachineState in{}, expected{}, actual{};
    FastRandom random(17);
    RandomizeState(random, in, false);
    uint8_t before[kSeenBytes], after[kSeenBytes];
    RunOnce(in, expected, before);  // no probe yet
    if (!Arm()) return Fail(2, "not armed");
    RunOnce(in, expected, before);  // and first uses of everything
    const uint64_t own_before = Hits();
    struct sigaction action {};
    action.sa_handler = &HitBoth;
    sigaction(kTracedSignal, &action, nullptr);
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) return Fail(3, "ptrace");
    g_shared->site = module_.at(64);
    raise(SIGSTOP);
    const MachineFault fault = RunOnce(in, actual, after);
    if (fault.signal != 0) return Fail(4, "signal " + std::to_string(fault.signal));
    if (!SameState(expected, actual)) return Fail(5, DescribeDifference(expected, actual));
    // A call's red zone is dead; a return moves it up.
    const bool returns = setting_.shape.target_in == TargetIn::kStackTop;
    const uint64_t dead = setting_.shape.is_call ? 120 : returns ? 16 : 0;
    if (std::memcmp(before + dead, after + dead, kSeenBytes - dead) != 0) return Fail(6, "stack");
    if (g_wrong_results != 0) return Fail(7, "a function returned something else");
    return CheckAccounts(own_before);
  }

 private:
  int Fail(int code, const std::string& text) {
    std::snprintf(g_shared->failure, sizeof g_shared->failure, "%s", text.c_str());
    return code;
  }

  void SetUpCode() {
    module_.Put(64, ShapeCode(setting_.shape, module_.at(64), module_.data()));
    // mov eax, 7; ret; filler: hit by the handler. The first serves the interrupted probe, too.
    for (const uint64_t at : {512, 768}) {
      module_.Put(at, "\xB8\x07\x00\x00\x00\xC3\x0f\x1f\x44\x00\x00\x0f\x1f\x44\x00\x00"sv);
    }
    module_.Seal();
    g_probed[0] = reinterpret_cast<Function>(module_.at(512));
    g_probed[1] = reinterpret_cast<Function>(module_.at(768));
    g_hits_of[0] = &hit_;
    g_hits_of[1] = &other_;
  }

  bool Arm() {
    for (const uint64_t at : {64, 512}) {
      if (!hit_.Prepare(module_.site(at), module_.text()).ok()) return false;
      if (!hit_.installer().Arm(module_.site(at)).ok()) return false;
    }
    return other_.Prepare(module_.site(768), module_.text()).ok() &&
           other_.installer().Arm(module_.site(768)).ok();
  }

  MachineFault RunOnce(MachineState in, MachineState& out, uint8_t* seen) {
    alignas(64) static uint8_t stack[kStackBytes];
    uint8_t* const top = stack + kStackBytes - 1024;
    std::memset(top - 128, 0x3C, 1024);
    const uint64_t target = module_.at(64) + kShapeTarget;
    in.gpr[kStateRsp] = reinterpret_cast<uint64_t>(top);
    in.gpr[kStateRbx] = module_.data();
    std::memcpy(reinterpret_cast<void*>(module_.data() + 0x140), &target, sizeof target);
    if (setting_.shape.target_in == TargetIn::kR11) in.gpr[kStateR11] = target;
    if (setting_.shape.target_in == TargetIn::kStackTop) std::memcpy(top, &target, sizeof target);
    const MachineFault fault = RunMachine(in, out, module_.at(64));
    std::memcpy(seen, top - 128, kSeenBytes);
    return fault;
  }

  uint64_t Hits() { return hit_.probe()->Sums().count[hit::kHits]; }

  int CheckAccounts(uint64_t own_before) {
    // Signals outside of hits count as hits of their own, those inside as reentrant; none is lost.
    const auto sums = hit_.probe()->Sums();
    const auto others = other_.probe()->Sums();
    const uint64_t handled = g_shared->handled;
    if (sums.count[hit::kHits] != own_before + 1 + handled) return Fail(8, "hits of the probe");
    if (others.count[hit::kHits] != handled) return Fail(9, "hits of the other probe");
    for (const auto& each : {sums, others}) {
      uint64_t rest = 0;
      for (int i = 1; i < hit::kCounterCount; ++i) rest += each.count[i];
      if (each.count[hit::kHits] != rest) return Fail(10, "hits are not the sum of their outcomes");
      if (each.count[hit::kReentrant] == 0) return Fail(11, "no hit was interrupted");
      if (each.count[hit::kReentrant] == handled) return Fail(12, "no trampoline was interrupted");
      const hit::Counter outcome = hit_.Captures() ? hit::kCaptured : hit::kConditionFalse;
      if (each.count[outcome] + each.count[hit::kReentrant] != each.count[hit::kHits]) {
        return Fail(13, "another outcome");
      }
    }
    hit_.Drain();
    other_.Drain();
    const uint64_t captured = sums.count[hit::kCaptured] + others.count[hit::kCaptured];
    if (hit_.taken() + other_.taken() != captured) return Fail(14, "a record is lost");
    g_shared->in_trampoline = handled - sums.count[hit::kReentrant];
    return 0;
  }

  Setting setting_;
  KindOfHit hit_;
  KindOfHit other_;
  TestModule module_{4096};
};

class SingleStep : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    g_shared = new (mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Shared;
  }
  void SetUp() override { *g_shared = Shared{}; }

  // Instructions stepped.
  void Check(HitKind kind, const std::string& shape_text) {
    SCOPED_TRACE(std::string(HitKindName(kind)) + " at " + shape_text);
    new (g_shared) Shared;
    Setting setting{kind, {}};
    for (const SiteShape& shape : SiteShapes()) {
      if (shape.text == shape_text) setting.shape = shape;
    }
    ASSERT_FALSE(setting.shape.site.empty());
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      alarm(60);
      // The runner's signal stack and handlers are the child's alone.
      const int code = std::make_unique<Traced>(setting)->Run();
      _exit(code);
    }
    Tracer tracer(child, g_shared->site);
    const uint64_t steps = tracer.StepThroughHit(MachineExit());
    const int code = tracer.Finish();
    if (code == 77) GTEST_SKIP() << g_shared->failure;
    EXPECT_EQ(code, 0) << g_shared->failure;
    EXPECT_GT(steps, 20u);
    EXPECT_EQ(g_shared->handled, steps);
    std::printf("  %-16s %-18s %5lu instructions, a signal at each; %4lu outside of a hit\n",
                HitKindName(kind), shape_text.c_str(), steps, g_shared->in_trampoline);
  }
};

TEST_F(SingleStep, ASignalAtEveryInstructionOfADecline) {
  for (const char* shape : {"nop", "mov rax, [rip+x]", "call rel32", "call r11", "call [rbx+0x140]",
                            "je rel8", "jrcxz rel8", "ret", "jmp r11"}) {
    Check(HitKind::kConditionFalse, shape);
    if (HasFailure() || IsSkipped()) return;
  }
  Check(HitKind::kVectorConditionFalse, "nop");
}

TEST_F(SingleStep, ASignalAtEveryInstructionOfACapture) {
  Check(HitKind::kCaptured, "mov eax, ecx");
}

}  // namespace
}  // namespace stillframe::probe
