// How much of the application's stack a hit takes, from the site's stack pointer down: measured on
// a painted stack, and survived on fibers of one page with a guard page below.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#include "agent/hit/process_state.h"
#include "tests/agent/probe/hit_kinds.h"
#include "tests/agent/probe/machine_run.h"
#include "tests/agent/probe/site_shapes.h"

namespace stillframe::probe {
namespace {

// DESIGN: a declined hit takes at most this much. The red zone is the application's own.
constexpr uint64_t kRedZoneBytes = 128;
constexpr uint64_t kDeclineBytes = 512;
constexpr uint64_t kCaptureBytes = 2048;
uint64_t Bound(HitKind kind) {
  if (kind == HitKind::kConditionTrue || kind == HitKind::kCaptured) return kCaptureBytes;
  return kDeclineBytes;
}
constexpr uint64_t kPageBytes = 4096;
constexpr uint8_t kPaint = 0xA5;

class PaintedStack {
 public:
  // Lowest byte that changes, as a distance below rsp.
  uint64_t Measure(uint64_t code, MachineState in, const SiteShape& shape, uint64_t target) {
    const uint64_t rsp = reinterpret_cast<uint64_t>(stack_) + kTop;
    in.gpr[kStateRsp] = rsp;
    in.gpr[kStateR11] = target;
    std::memset(stack_, kPaint, sizeof stack_);
    if (shape.target_in == TargetIn::kStackTop) {
      std::memcpy(reinterpret_cast<void*>(rsp), &target, sizeof target);
    }
    MachineState out{};
    EXPECT_EQ(RunMachine(in, out, code).signal, 0);
    const uint8_t* lowest = stack_;
    while (lowest < stack_ + kTop && *lowest == kPaint) ++lowest;
    return static_cast<uint64_t>(stack_ + kTop - lowest);
  }

 private:
  static constexpr uint64_t kTop = 24576;
  alignas(64) uint8_t stack_[32768];
};

struct Use {
  uint64_t most = 0;
  std::string where;
};

// The most over the shapes of sites, at each alignment of the stack pointer and several states.
Use MeasureHit(KindOfHit& hit) {
  TestModule module(16384);
  const std::vector<SiteShape> shapes = SiteShapes();
  for (size_t i = 0; i < shapes.size(); ++i) {
    module.Put(1024 + i * 256, ShapeCode(shapes[i], module.at(1024 + i * 256), module.data()));
  }
  module.Seal();
  auto stack = std::make_unique<PaintedStack>();
  Use use;
  for (size_t i = 0; i < shapes.size(); ++i) {
    if (shapes[i].target_in == TargetIn::kMemory) continue;  // as the others of its kind
    const uint64_t offset = 1024 + i * 256;
    const auto prepared = hit.Prepare(module.site(offset), module.text());
    if (!prepared.ok()) continue;
    EXPECT_TRUE(hit.installer().Arm(module.site(offset)).ok());
    for (uint64_t seed = 1; seed <= 8; ++seed) {
      MachineState in{};
      FastRandom random(seed);
      RandomizeState(random, in, false);
      const uint64_t bytes =
          stack->Measure(module.at(offset), in, shapes[i], module.at(offset) + kShapeTarget);
      hit.Drain();
      if (bytes > use.most) use = {bytes, shapes[i].text};
    }
    EXPECT_TRUE(hit.installer().Disarm(module.site(offset)).ok());
  }
  EXPECT_GT(use.most, 0u);
  return use;
}

TEST(StackUse, StaysWithinItsBounds) {
  std::string why_not;
  if (!StartMachine(&why_not)) GTEST_SKIP() << why_not;
  for (const HitKind kind : kHitKinds) {
    if (kind == HitKind::kDestroying) continue;
    KindOfHit hit(kind);
    const Use use = MeasureHit(hit);
    std::printf("  %-16s %4lu bytes below rsp (at %s), %lu below the red zone, of %lu\n",
                HitKindName(kind), use.most, use.where.c_str(), use.most - kRedZoneBytes,
                Bound(kind));
    EXPECT_LE(use.most, kRedZoneBytes + Bound(kind)) << HitKindName(kind);
  }
}

// Conditions over memory that is not on the stack, in each way that it may be read, the rarest
// included: the first read of a turn asks for the signal mask, sandboxes leave only a file.
struct Declined {
  const char* text;
  std::vector<Insn> code;
  bool guarded;
  hit::ReadMethod method;
};
const std::string g_heap_text(200, 'x');
int64_t g_heap_value = 1;

std::vector<Insn> ReadsInteger() {
  using hit::I;
  return {I(Op::kConst, reinterpret_cast<int64_t>(&g_heap_value)), I(Op::kLoad, 0, 8, 0),
          I(Op::kConst, 2), I(Op::kEq), I(Op::kReturn)};
}
std::vector<Insn> ReadsText(Op op, const void* text) {
  using hit::I;
  std::vector<Insn> code = {I(Op::kConst, reinterpret_cast<int64_t>(text))};
  if (op == Op::kStringEq) code.push_back(I(Op::kConst, 200));
  code.insert(code.end(), {I(op, 1), I(Op::kLogicalNot), I(Op::kReturn)});  // false: equal
  return code;
}
std::vector<Insn> ReadsVectorRegisterAndInteger() {
  using hit::I;
  return {I(Op::kXmm, 0, 5, 8),  I(Op::kConst, reinterpret_cast<int64_t>(&g_heap_value)),
          I(Op::kLoad, 0, 8, 0), I(Op::kAdd),
          I(Op::kConst, 0),      I(Op::kAnd),
          I(Op::kReturn)};
}

TEST(StackUse, DeclinedOverOtherMemory) {
  std::string why_not;
  if (!StartMachine(&why_not)) GTEST_SKIP() << why_not;
  // Not in any range of the last look at the maps, so that a page has to be proven.
  void* const late = mmap(nullptr, kPageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  constexpr auto kCall = hit::ReadMethod::kProcessVmReadv;
  constexpr auto kFile = hit::ReadMethod::kProcSelfMem;
  const int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  struct stat found {};
  ASSERT_EQ(fstat(fd, &found), 0);
  hit::g_process.memory_device.store(found.st_dev);
  hit::g_process.memory_inode.store(found.st_ino);
  const int fd_before = hit::g_process.memory_fd.exchange(fd);
  std::vector<Declined> all;
  for (const bool guarded : {false, true}) {
    for (const auto method : {kCall, kFile}) {
      all.push_back({"integer", ReadsInteger(), guarded, method});
      all.push_back({"text", ReadsText(Op::kStringEq, g_heap_text.data()), guarded, method});
      all.push_back({"C text", ReadsText(Op::kCStringEq, g_heap_text.data()), guarded, method});
      all.push_back({"late text", ReadsText(Op::kCStringEq, late), guarded, method});
      all.push_back({"vector", ReadsVectorRegisterAndInteger(), guarded, method});
    }
  }
  for (const Declined& declined : all) {
    KindOfHit hit(declined.code, g_heap_text);
    ASSERT_EQ(mprotect(late, kPageBytes, PROT_NONE), 0);
    if (declined.guarded) {
      ASSERT_TRUE(hit::SetGuardedReads(true).ok());
    }
    ASSERT_EQ(mprotect(late, kPageBytes, PROT_READ | PROT_WRITE), 0);
    std::memset(late, 'x', 200);
    const auto before = hit::g_process.read_method.exchange(declined.method);
    const Use use = MeasureHit(hit);
    hit::g_process.read_method.store(before);
    EXPECT_TRUE(hit::SetGuardedReads(false).ok());
    const auto sums = hit.probe()->Sums();
    EXPECT_GT(hit.Hits(), 0u) << declined.text;
    EXPECT_EQ(hit.Hits(), sums.count[hit::kHits]) << "declined, not failed: " << declined.text;
    std::printf("  %-10s %-9s %-17s %4lu below the red zone (at %s), of %lu\n", declined.text,
                declined.guarded ? "guarded" : "unguarded", hit::ReadMethodName(declined.method),
                use.most - kRedZoneBytes, use.where.c_str(), kDeclineBytes);
    EXPECT_LE(use.most, kRedZoneBytes + kDeclineBytes) << declined.text;
  }
  munmap(late, kPageBytes);
  hit::g_process.memory_fd.store(fd_before);
  close(fd);
}

// ---- fibers ----

using Function = uint64_t (*)();
struct Fiber {
  ucontext_t main;
  ucontext_t own;
  Function function = nullptr;
  uint64_t results = 0;
};
Fiber g_fiber;

void FiberMain() {
  for (int i = 0; i < 4; ++i) {
    g_fiber.results += g_fiber.function();
    swapcontext(&g_fiber.own, &g_fiber.main);
  }
}

TEST(StackUse, FibersOnOnePageWithAGuardPage) {
  for (const HitKind kind : kHitKinds) {
    KindOfHit hit(kind);
    TestModule module(4096);
    // mov eax, 7; call +9 (ret behind the filler); ret
    module.Put(64,
               "\xB8\x07\x00\x00\x00\xE8\x0B\x00\x00\x00\xC3\x0f\x1f\x44\x00\x00\x0f\x1f"
               "\x44\x00\x00\xC3"sv);
    module.Seal();
    for (const uint64_t offset : {64, 69}) {
      ASSERT_TRUE(hit.Prepare(module.site(offset), module.text()).ok());
      ASSERT_TRUE(hit.installer().Arm(module.site(offset)).ok());
    }
    auto* const pages = static_cast<uint8_t*>(
        mmap(nullptr, 2 * kPageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(pages, MAP_FAILED);
    ASSERT_EQ(mprotect(pages + kPageBytes, kPageBytes, PROT_READ | PROT_WRITE), 0);
    g_fiber.function = reinterpret_cast<Function>(module.at(64));
    g_fiber.results = 0;
    ASSERT_EQ(getcontext(&g_fiber.own), 0);
    g_fiber.own.uc_stack = {pages + kPageBytes, 0, kPageBytes};
    g_fiber.own.uc_link = &g_fiber.main;
    makecontext(&g_fiber.own, &FiberMain, 0);
    const uint64_t before = hit.Hits();
    for (int i = 0; i < 5; ++i) {
      ASSERT_EQ(swapcontext(&g_fiber.main, &g_fiber.own), 0);
      hit.Drain();
    }
    EXPECT_EQ(g_fiber.results, 28u) << HitKindName(kind);
    EXPECT_EQ(hit.Hits(), before + (hit.Counts() ? 8 : 0)) << HitKindName(kind);
    munmap(pages, 2 * kPageBytes);
  }
}

}  // namespace
}  // namespace stillframe::probe
