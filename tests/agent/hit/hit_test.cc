// The way of a hit: conditions, limits, accounting, reentrancy, fork, quiescence.
#include "agent/hit/hit.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "tests/agent/hit/test_plan.h"

namespace stillframe::hit {
namespace {

class HitTest : public testing::Test {
 protected:
  void SetUp() override { Start({kTicksPerSecond, 0, 0}); }
  void TearDown() override {
    TestRecord::Drain();
    PublishUnwindModules(nullptr);
    PublishCallers(nullptr);
  }
  static void Start(const ProcessLimits& limits) { ASSERT_TRUE(Initialize(limits).ok()); }

  RegisterFile Registers() {
    RegisterFile registers;
    stillframe_test_registers(&registers);
    return registers;
  }
  void Hit(TestProbe& probe, uint64_t times = 1) {
    RegisterFile registers = Registers();
    for (uint64_t i = 0; i < times; ++i) stillframe_hit(&probe.site(), &registers);
  }

  TestPlan plan_;
};

TEST_F(HitTest, NoConditionCapturesRegistersThreadAndTrace) {
  TestProbe probe(plan_, 77);
  TraceContextRecord trace{};
  trace.valid = 1;
  trace.trace_id[0] = 0x4b;
  trace.span_id[7] = 0xb7;
  SetThreadTraceContext(trace);
  EXPECT_EQ(GetThreadTraceContext().trace_id[0], 0x4b);
  RegisterFile registers = Registers();
  errno = 4711;
  stillframe_hit(&probe.site(), &registers);
  EXPECT_EQ(errno, 4711);
  SetThreadTraceContext({});
  const auto record = TestRecord::Take();
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->header().magic, kRecordMagic);
  EXPECT_EQ(record->header().probe_id, 77u);
  EXPECT_EQ(record->header().thread_id, static_cast<uint32_t>(gettid()));
  EXPECT_EQ(std::memcmp(&record->header().registers, &registers, sizeof registers), 0);
  EXPECT_EQ(std::memcmp(&record->header().trace, &trace, sizeof trace), 0);
  EXPECT_GT(record->header().end_ticks, record->header().start_ticks);
  EXPECT_EQ(record->header().frame_count, 1u);
  EXPECT_NE(record->header().flags & kRecordUnwindStopped, 0u);
  EXPECT_EQ(probe.Sums().count[kCaptured], 1u);
}

TEST_F(HitTest, CapturesVectorRegistersAsTheyAre) {
  TestProbe probe(plan_);
  RegisterFile registers = Registers();
  SiteRuntime* site = &probe.site();
  RegisterFile* file = &registers;
  const double value = 12.75;
  double after = 0;
  asm volatile(
      "movsd %[value], %%xmm11\n\t"
      "call *%[hit]\n\t"
      "movsd %%xmm11, %[after]\n\t"
      : [after] "=m"(after), "+D"(site), "+S"(file)
      : [value] "m"(value), [hit] "b"(&stillframe_hit)
      : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc", "xmm11");
  EXPECT_EQ(after, value);
  const auto record = TestRecord::Take();
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(std::memcmp(record->header().xmm[11], &value, 8), 0);
}

TEST_F(HitTest, ConditionsOverRegistersMemoryAndXmm) {
  int64_t local = 5;
  const auto address = reinterpret_cast<int64_t>(&local);
  plan_.sites[0].condition = plan_.AddCode({I(Op::kConst, address), I(Op::kLoad, 0, 8, 1),
                                            I(Op::kConst, 7), I(Op::kEq), I(Op::kReturn)});
  TestProbe probe(plan_);
  Hit(probe, 10);
  EXPECT_EQ(probe.Sums().count[kConditionFalse], 10u);
  local = 7;
  Hit(probe);
  EXPECT_EQ(probe.Sums().count[kCaptured], 1u);
  ExpectAccounted(probe.Sums());

  TestPlan xmm_plan;
  xmm_plan.sites[0].condition =
      xmm_plan.AddCode({I(Op::kXmm, 0, 9, 8), I(Op::kConst, 0), I(Op::kFEq), I(Op::kReturn)});
  TestProbe xmm_probe(xmm_plan);
  RegisterFile registers = Registers();
  SiteRuntime* site = &xmm_probe.site();
  RegisterFile* file = &registers;
  asm volatile(
      "xorps %%xmm9, %%xmm9\n\t"
      "call *%[hit]\n\t"
      : "+D"(site), "+S"(file)
      : [hit] "b"(&stillframe_hit)
      : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc", "xmm9");
  EXPECT_EQ(xmm_probe.Sums().count[kCaptured], 1u);
}

TEST_F(HitTest, AnUnreadablePointerInAConditionIsAnError) {
  plan_.sites[0].condition =
      plan_.AddCode({I(Op::kConst, 16), I(Op::kLoad, 0, 8, 0), I(Op::kReturn)});
  TestProbe probe(plan_);
  Hit(probe, 3);
  EXPECT_EQ(probe.Sums().count[kConditionError], 3u);
  ExpectAccounted(probe.Sums());
}

TEST_F(HitTest, ConditionsSeeTheCanonicalFrameAddress) {
  RegisterFile registers = Registers();
  plan_.sites[0].condition = plan_.AddCode({I(Op::kCfa), I(Op::kRegister, 0, 7), I(Op::kSub),
                                            I(Op::kConst, 48), I(Op::kEq), I(Op::kReturn)});
  TestProbe probe(plan_);
  stillframe_hit(&probe.site(), &registers);
  EXPECT_EQ(probe.Sums().count[kConditionError], 1u);  // no table yet

  const uint32_t pcs[] = {0};
  const uint16_t rows[] = {1};
  UnwindRule rules[2];
  rules[1].cfa_kind = CfaKind::kRegisterOffset;
  rules[1].cfa_register = 7;
  rules[1].cfa_offset = 48;
  const UnwindModule module{
      registers.rip - 16, registers.rip + 16, 0, registers.rip - 16, pcs, rows, rules, 1, 2};
  const UnwindModules modules{1, &module};
  PublishUnwindModules(&modules);
  stillframe_hit(&probe.site(), &registers);
  EXPECT_EQ(probe.Sums().count[kCaptured], 1u);
  // The cached rule does not outlive its table.
  rules[1].cfa_offset = 64;
  PublishUnwindModules(&modules);
  stillframe_hit(&probe.site(), &registers);
  EXPECT_EQ(probe.Sums().count[kConditionFalse], 1u);
  PublishUnwindModules(nullptr);
  EXPECT_TRUE(WaitForQuiescence(1000));
}

TEST_F(HitTest, MaxHitsIsExactAndGivenBackWhenTheRingIsFull) {
  TestProbe probe(plan_);
  probe.SetMaxHits(3);
  std::vector<ring::Slot> slots(ring::kSlotCount);
  for (ring::Slot& slot : slots) ASSERT_TRUE(ring::Acquire(slot));
  Hit(probe, 5);
  EXPECT_EQ(probe.Sums().count[kRingFull], 5u);
  EXPECT_EQ(probe.runtime().captures_left.load(), 3u);
  for (const ring::Slot& slot : slots) ring::Abandon(slot);
  Hit(probe, 5);
  EXPECT_EQ(probe.Sums().count[kCaptured], 3u);
  EXPECT_EQ(probe.Sums().count[kRateLimited], 2u);
  ExpectAccounted(probe.Sums());
}

TEST_F(HitTest, OneCapturePerPermit) {
  TestProbe probe(plan_);
  probe.runtime().ticks_per_permit = ~uint64_t{0} / 4;
  Hit(probe, 20);
  EXPECT_EQ(probe.Sums().count[kCaptured], 1u);
  EXPECT_EQ(probe.Sums().count[kRateLimited], 19u);
  probe.runtime().permits_full_again.store(0);
  Hit(probe);
  EXPECT_EQ(probe.Sums().count[kCaptured], 2u);
}

TEST_F(HitTest, ASecondsWorthOfPermitsMayComeAtOnce) {
  Start({uint64_t{1} << 62, 0, 0});
  TestProbe probe(plan_);
  probe.runtime().ticks_per_permit = (uint64_t{1} << 62) / 7;
  Hit(probe, 20);
  EXPECT_EQ(probe.Sums().count[kCaptured], 7u);
  EXPECT_EQ(probe.Sums().count[kRateLimited], 13u);
  ExpectAccounted(probe.Sums());
}

TEST_F(HitTest, TheProcessHasATokenBucketForAllProbes) {
  // A second lasts for ever, so nothing is refilled during the test.
  Start({uint64_t{1} << 62, 5, 0});
  TestPlan other_plan;
  TestProbe probe(plan_), other(other_plan, 2);
  for (int i = 0; i < 10; ++i) {
    Hit(probe);
    Hit(other);
  }
  EXPECT_EQ(probe.Sums().count[kCaptured] + other.Sums().count[kCaptured], 5u);
  EXPECT_EQ(probe.Sums().count[kRateLimited] + other.Sums().count[kRateLimited], 15u);
}

TEST_F(HitTest, StopsWhenTheProcessIsOverItsShareOfTheProcessor) {
  Start({uint64_t{1} << 40, 0, 1});  // a thousandth of a very long second
  TestProbe probe(plan_);
  Hit(probe, 5);
  EXPECT_EQ(probe.Sums().count[kCaptured], 5u);
  Start({100'000'000'000, 0, 1});
  const uint64_t limit = 100'000'000;  // ticks
  uint64_t hits = 0;
  while (probe.Sums().count[kBudgetStopped] == 0 && hits < 10'000'000) {
    Hit(probe, 20);
    hits += 20;
    TestRecord::Drain();
  }
  EXPECT_GT(probe.Sums().count[kBudgetStopped], 0u);
  EXPECT_GE(probe.Sums().ticks, limit / 2);
  ExpectAccounted(probe.Sums());
}

TEST_F(HitTest, AStoppedProbeCountsAndDoesNothing) {
  TestProbe probe(plan_);
  probe.runtime().stopped.store(1);
  Hit(probe, 4);
  EXPECT_EQ(probe.Sums().count[kBudgetStopped], 4u);
  EXPECT_FALSE(TestRecord::Take().has_value());
}

TEST_F(HitTest, EveryTracepointOfAnAddressIsServed) {
  TestPlan other_plan;
  other_plan.sites[0].condition = other_plan.AddCode({I(Op::kConst, 0), I(Op::kReturn)});
  TestProbe probe(plan_, 1), other(other_plan, 2);
  SiteProbeList list{};
  list.count = 2;
  list.entries[0] = {&probe.runtime(), 0};
  list.entries[1] = {&other.runtime(), 0};
  SiteRuntime site;
  site.list.store(&list);
  RegisterFile registers = Registers();
  stillframe_hit(&site, &registers);
  EXPECT_EQ(probe.Sums().count[kCaptured], 1u);
  EXPECT_EQ(other.Sums().count[kConditionFalse], 1u);
  site.list.store(nullptr);
  stillframe_hit(&site, &registers);
  EXPECT_EQ(probe.Sums().count[kHits], 1u);
}

TEST_F(HitTest, TimesAreMeasured) {
  TestProbe probe(plan_);
  Hit(probe, 8);
  const CounterSums sums = probe.Sums();
  uint64_t in_histogram = 0;
  for (const uint64_t count : sums.histogram) in_histogram += count;
  EXPECT_EQ(in_histogram, 8u);
  EXPECT_GT(sums.ticks, 0u);
}

TEST_F(HitTest, AccountsForEveryHitOfFourThreads) {
  std::atomic<int64_t> number{0};
  const auto address = reinterpret_cast<int64_t>(&number);
  plan_.sites[0].condition =
      plan_.AddCode({I(Op::kConst, address), I(Op::kLoad, 0, 8, 1), I(Op::kConst, 63), I(Op::kAnd),
                     I(Op::kConst, 0), I(Op::kEq), I(Op::kReturn)});
  TestProbe probe(plan_);
  constexpr uint64_t kPerThread = 30000;
  std::atomic<bool> done{false};
  uint64_t taken = 0;
  std::thread reader([&] {
    while (!done.load()) {
      while (TestRecord::Take()) ++taken;
    }
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      RegisterFile registers;
      stillframe_test_registers(&registers);
      for (uint64_t i = 0; i < kPerThread; ++i) {
        number.fetch_add(1);
        stillframe_hit(&probe.site(), &registers);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  done.store(true);
  reader.join();
  while (TestRecord::Take()) ++taken;
  const CounterSums sums = probe.Sums();
  EXPECT_EQ(sums.count[kHits], 4 * kPerThread);
  ExpectAccounted(sums);
  EXPECT_EQ(sums.count[kCaptured], taken);
  EXPECT_GT(sums.count[kCaptured], 0u);
  EXPECT_GT(sums.count[kConditionFalse], 0u);
}

// ---- a signal handler that hits a probe while its thread is in a hit ----

SiteRuntime* g_handler_site = nullptr;
std::atomic<uint64_t> g_handler_hits{0};

void HitInHandler(int) {
  RegisterFile registers;
  stillframe_test_registers(&registers);
  g_handler_hits.fetch_add(1);
  stillframe_hit(g_handler_site, &registers);
}

TEST_F(HitTest, AHitInsideAHitIsCountedReentrant) {
  TestProbe probe(plan_);
  g_handler_site = &probe.site();
  g_handler_hits = 0;
  struct sigaction action {
  }, old{};
  action.sa_handler = &HitInHandler;
  ASSERT_EQ(sigaction(SIGPROF, &action, &old), 0);
  timer_t timer;
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGPROF;
  ASSERT_EQ(timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer), 0);
  const itimerspec every{{0, 200'000}, {0, 200'000}};
  ASSERT_EQ(timer_settime(timer, 0, &every, nullptr), 0);
  uint64_t own = 0;
  while (probe.Sums().count[kReentrant] < 3 && own < 5'000'000) {
    Hit(probe, 10);
    own += 10;
    TestRecord::Drain();
  }
  timer_delete(timer);
  sigaction(SIGPROF, &old, nullptr);
  const CounterSums sums = probe.Sums();
  EXPECT_GE(sums.count[kReentrant], 3u);
  EXPECT_EQ(sums.count[kHits], own + g_handler_hits.load());
  ExpectAccounted(sums);
}

// ThreadSanitizer's run-time calls take stack of their own, and its account of calls does not
// survive a jump out of an instrumented hit.
#if defined(__SANITIZE_THREAD__)
#define SF_NOT_UNDER_THREAD_SANITIZER() GTEST_SKIP() << "ThreadSanitizer's calls stand in the hit"
#else
#define SF_NOT_UNDER_THREAD_SANITIZER() static_cast<void>(0)
#endif

sigjmp_buf g_jump;
std::atomic<bool> g_may_jump{false};

void JumpOutOfHit(int) {
  if (g_may_jump.load()) siglongjmp(g_jump, 1);
}

TEST_F(HitTest, AHandlerThatJumpsOutOfAHitDoesNotSilenceItsThread) {
  SF_NOT_UNDER_THREAD_SANITIZER();
  TestProbe probe(plan_);
  struct sigaction action {
  }, old{};
  action.sa_handler = &JumpOutOfHit;
  ASSERT_EQ(sigaction(SIGPROF, &action, &old), 0);
  timer_t timer;
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGPROF;
  ASSERT_EQ(timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer), 0);
  const itimerspec every{{0, 300'000}, {0, 300'000}};
  ASSERT_EQ(timer_settime(timer, 0, &every, nullptr), 0);
  volatile int jumps = 0;
  // The frames of an abandoned hit lie below those of the next one.
  const auto hit_deep = [&]() __attribute__((noinline)) {
    volatile char deep[4096];
    deep[0] = 0;
    asm volatile("" : : "r"(&deep) : "memory");
    RegisterFile registers = Registers();
    g_may_jump = true;
    for (int i = 0; i < 100'000; ++i) stillframe_hit(&probe.site(), &registers);
    g_may_jump = false;
  };
  while (jumps < 20 || probe.Sums().count[kUnsafeContext] == 0) {
    if (sigsetjmp(g_jump, 1) == 0) {
      hit_deep();
    } else {
      g_may_jump = false;
      jumps = jumps + 1;
      ASSERT_LT(jumps, 20'000);
      Hit(probe);
      TestRecord::Drain();
    }
  }
  timer_delete(timer);
  sigaction(SIGPROF, &old, nullptr);
  const uint64_t reentrant = probe.Sums().count[kReentrant];
  const uint64_t captured = probe.Sums().count[kCaptured];
  TestRecord::Drain();
  Hit(probe);
  EXPECT_EQ(probe.Sums().count[kReentrant], reentrant);
  EXPECT_EQ(reentrant, 0u);
  EXPECT_GE(probe.Sums().count[kCaptured] + probe.Sums().count[kRingFull], captured + 1);
  EXPECT_TRUE(WaitForQuiescence(1000));
  ExpectAccounted(probe.Sums());
}

TEST_F(HitTest, AForkedChildHitsNothing) {
  TestProbe probe(plan_);
  Hit(probe);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    DisableInChild();
    Hit(probe, 100);
    _exit(probe.Sums().count[kHits] == 1 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  Hit(probe);
  EXPECT_EQ(probe.Sums().count[kHits], 2u);
}

TEST_F(HitTest, QuiescenceComesUnderAStormAndListsAreReplacedSafely) {
  plan_.sites[0].condition = plan_.AddCode({I(Op::kConst, 0), I(Op::kReturn)});
  TestProbe probe(plan_);
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      RegisterFile registers;
      stillframe_test_registers(&registers);
      while (!done.load(std::memory_order_relaxed)) stillframe_hit(&probe.site(), &registers);
    });
  }
  auto current = std::make_unique<SiteProbeList>();
  current->count = 1;
  current->entries[0] = {&probe.runtime(), 0};
  probe.site().list.store(current.get());
  for (int i = 0; i < 300; ++i) {
    auto next = std::make_unique<SiteProbeList>(*current);
    probe.site().list.store(next.get(), std::memory_order_release);
    ASSERT_TRUE(WaitForQuiescence(10'000));
    current->count = 0xffffffff;  // a hit that still looked at it would run off
    current = std::move(next);
  }
  done.store(true);
  for (std::thread& thread : threads) thread.join();
  ExpectAccounted(probe.Sums());
}

}  // namespace
}  // namespace stillframe::hit
