// What a hit takes of the application's stack, by painting it. ThreadSanitizer's calls would stand
// in the hit, and count.
#include <pthread.h>

#include "agent/hit/hit.h"
#include "tests/agent/hit/test_plan.h"

#if !defined(__SANITIZE_THREAD__)

namespace stillframe::hit {
namespace {

class HitStack : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(Initialize({kTicksPerSecond, 0, 0}).ok()); }
  void TearDown() override { TestRecord::Drain(); }
  TestPlan plan_;
};

struct StackRun {
  TestProbe* probe;
  uint64_t used_bytes;
};

constexpr uint8_t kPaint = 0xa5;

void* MeasureStack(void* argument) {
  auto* run = static_cast<StackRun*>(argument);
  RegisterFile registers;
  stillframe_test_registers(&registers);
  stillframe_hit(&run->probe->site(), &registers);  // first use of everything
  uint8_t* const here = static_cast<uint8_t*>(__builtin_frame_address(0)) - 512;
  constexpr size_t kBelow = 16 * 1024;
  for (volatile uint8_t* p = here - kBelow; p != here; ++p) *p = kPaint;
  uint64_t stack_pointer = 0;
  asm volatile("movq %%rsp, %0" : "=r"(stack_pointer));
  stillframe_hit(&run->probe->site(), &registers);
  const uint8_t* lowest = here - kBelow;
  while (*lowest == kPaint) ++lowest;
  run->used_bytes = stack_pointer - reinterpret_cast<uint64_t>(lowest);
  return nullptr;
}

uint64_t StackUse(TestProbe& probe) {
  StackRun run{&probe, 0};
  pthread_t thread;
  pthread_create(&thread, nullptr, &MeasureStack, &run);
  pthread_join(thread, nullptr);
  return run.used_bytes;
}

// 512 bytes below the red zone for a declined hit. The trampoline takes up to 175 of them (its 303
// less the red zone's 128, which is the application's anyway).
TEST_F(HitStack, ADeclinedHitUsesLittleStack) {
  plan_.sites[0].condition = plan_.AddCode({I(Op::kRegister, 0, 7), I(Op::kLoad, 0, 8, 0),
                                            I(Op::kConst, 0), I(Op::kMul), I(Op::kReturn)});
  TestProbe probe(plan_);
  const uint64_t used = StackUse(probe);
  RecordProperty("bytes", static_cast<int>(used));
  EXPECT_EQ(probe.Sums().count[kConditionFalse], 2u);
  EXPECT_LE(used, 512u - 175u);
}

TEST_F(HitStack, ACaptureUsesLittleStack) {
  const std::string text = "some text that is long enough to live on the heap";
  plan_.AddObject(plan_.AddString(), &text);
  TestProbe probe(plan_);
  const uint64_t used = StackUse(probe);
  RecordProperty("bytes", static_cast<int>(used));
  EXPECT_EQ(probe.Sums().count[kCaptured], 2u);
  EXPECT_LE(used, 1536u);
}

}  // namespace
}  // namespace stillframe::hit

#endif
