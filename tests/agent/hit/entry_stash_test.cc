// The table of what argument registers held at function entries: what is read is of that very call,
// whatever other calls, threads and signal handlers do meanwhile.
#include "agent/hit/entry_stash.h"

#include <sys/time.h>

#include <csetjmp>
#include <csignal>
#include <thread>
#include <vector>

#include "agent/hit/process_state.h"
#include "tests/agent/hit/test_plan.h"

namespace stillframe::hit {
namespace {

constexpr uint8_t kRdi = 5;
constexpr uint8_t kRsi = 4;
constexpr uint8_t kRsp = 7;
constexpr uint32_t kTwoCells = 0b11;  // rdi and rsi

std::atomic<uint64_t> g_next_id{1};

// A function whose calls are made by hand: the return address is a word of the test's.
struct Function {
  StashedFunction stashed;
  explicit Function(uint32_t cells = kTwoCells) {
    stashed.entry = 0x1000;
    stashed.probed = 0x1000;
    stashed.cells = cells;
    stashed.cfa_register = kRsp;
    stashed.cfa_offset = 8;
    stashed.absent = Code::kEntryNotStashed;
    stashed.id = g_next_id++;
  }
};

void Enter(const Function& function, uint64_t* return_address, uint64_t first, uint64_t second) {
  RegisterFile registers{};
  registers.gpr[kRsp] = reinterpret_cast<uint64_t>(return_address);
  registers.gpr[kRdi] = first;
  registers.gpr[kRsi] = second;
  StashEntry(function.stashed, registers);
}

bool Read(const Function& function, const uint64_t* return_address, EntryValues& out) {
  out = EntryValues{};
  const uint64_t cfa = reinterpret_cast<uint64_t>(return_address) + 8;
  return ReadStash(function.stashed, cfa, *return_address, out);
}

// Away from a page's first word, where no return address stands.
struct alignas(64) Stack {
  uint64_t words[64];
  uint64_t* At(uint32_t i) { return words + 1 + i; }
};

TEST(EntryStash, HoldsWhatTheCallWasGiven) {
  const Function function;
  Stack stack{};
  *stack.At(0) = 0x2000;
  EntryValues out;
  EXPECT_FALSE(Read(function, stack.At(0), out));
  Enter(function, stack.At(0), 17, 4711);
  ASSERT_TRUE(Read(function, stack.At(0), out));
  EXPECT_EQ(out.cells[0], 17u);
  EXPECT_EQ(out.cells[1], 4711u);
  EXPECT_EQ(out.valid, kTwoCells);
  EXPECT_EQ(out.stashed, kTwoCells);
}

TEST(EntryStash, TheNextCallAtTheSamePlaceReplacesIt) {
  const Function function;
  Stack stack{};
  *stack.At(0) = 0x2000;
  Enter(function, stack.At(0), 1, 2);
  Enter(function, stack.At(0), 3, 4);
  EntryValues out;
  ASSERT_TRUE(Read(function, stack.At(0), out));
  EXPECT_EQ(out.cells[0], 3u);
}

TEST(EntryStash, IsOfOneFunctionOneArmingAndOneCaller) {
  Function function;
  const Function other;
  Stack stack{};
  *stack.At(0) = 0x2000;
  Enter(function, stack.At(0), 1, 2);
  EntryValues out;
  EXPECT_FALSE(Read(other, stack.At(0), out));
  *stack.At(0) = 0x3000;  // a stack that was copied there
  EXPECT_FALSE(Read(function, stack.At(0), out));
  *stack.At(0) = 0x2000;
  ASSERT_TRUE(Read(function, stack.At(0), out));
  function.stashed.id = g_next_id++;  // armed anew
  EXPECT_FALSE(Read(function, stack.At(0), out));
  function.stashed.id = 0;  // not in force
  Enter(function, stack.At(0), 5, 6);
  EXPECT_FALSE(Read(function, stack.At(0), out));
}

TEST(EntryStash, VectorRegistersAreStashedWithTheOthers) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "its runtime, which the hit path calls in such a build, uses these registers";
#endif
  const Function function(1u << kGeneralEntryCells | 1u << (kGeneralEntryCells + 5) | 1);
  Stack stack{};
  *stack.At(0) = 0x2000;
  RegisterFile registers{};
  registers.gpr[kRsp] = reinterpret_cast<uint64_t>(stack.At(0));
  registers.gpr[kRdi] = 9;
  const double first = 2.5;
  const double sixth = -0.125;
  const StashedFunction* first_argument = &function.stashed;
  const RegisterFile* second_argument = &registers;
  asm volatile(
      "movsd %[first], %%xmm0\n"
      "movsd %[sixth], %%xmm5\n"
      "call *%[stash]"
      : "+D"(first_argument), "+S"(second_argument)
      : [stash] "r"(&StashEntry), [first] "m"(first), [sixth] "m"(sixth)
      : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
        "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
        "xmm15", "memory", "cc");
  EntryValues out;
  ASSERT_TRUE(Read(function, stack.At(0), out));
  EXPECT_EQ(out.cells[0], 9u);
  double value = 0;
  std::memcpy(&value, &out.cells[kGeneralEntryCells], 8);
  EXPECT_EQ(value, 2.5);
  std::memcpy(&value, &out.cells[kGeneralEntryCells + 5], 8);
  EXPECT_EQ(value, -0.125);
}

TEST(EntryStash, NewCallsTakeTheRoomOfOldOnesAndNeverTheirNames) {
  const Function function;
  std::vector<Stack> stacks(2 * kStashSlots);
  for (size_t i = 0; i < stacks.size(); ++i) {
    *stacks[i].At(0) = 0x2000 + i;
    Enter(function, stacks[i].At(0), i, ~i);
  }
  size_t there = 0;
  for (size_t i = 0; i < stacks.size(); ++i) {
    EntryValues out;
    if (!Read(function, stacks[i].At(0), out)) continue;
    ++there;
    EXPECT_EQ(out.cells[0], i);
    EXPECT_EQ(out.cells[1], ~i);
  }
  EXPECT_GT(there, kStashSlots / 2);
  EXPECT_LE(there, size_t{kStashSlots});
  EntryValues out;
  EXPECT_TRUE(Read(function, stacks.back().At(0), out));
}

// Up to the probed instruction, the call before may still stand there.
TEST(EntryStash, NothingIsReadBeforeTheProbedInstruction) {
  Function function;
  function.stashed.probed = 0x1004;
  ProbeRuntime probe;
  probe.stashed = &function.stashed;
  probe.stashed_count = 1;
  Stack stack{};
  *stack.At(0) = 0x2000;
  Enter(function, stack.At(0), 1, 2);
  const uint64_t cfa = reinterpret_cast<uint64_t>(stack.At(0)) + 8;
  for (const uint64_t pc : {0x1000, 0x1003, 0x1004}) {
    EntryValues out{};
    EXPECT_NE(ReadFrameStash(probe, 0x1000, pc, cfa, 0x2000, out), nullptr);
    EXPECT_EQ(out.valid, 0u);
    EXPECT_EQ(out.absent, Code::kEntryNotStashed);
  }
  for (const uint64_t pc : {0x1005, 0x0fff, 0x9000}) {  // parts of a function may stand before it
    EntryValues out{};
    EXPECT_NE(ReadFrameStash(probe, 0x1000, pc, cfa, 0x2000, out), nullptr);
    EXPECT_EQ(out.valid, kTwoCells);
  }
  EntryValues out{};
  EXPECT_EQ(ReadFrameStash(probe, 0x5000, 0x5005, cfa, 0x2000, out), nullptr);
}

// The entry's probe is at the tracepoint's own address, and in a handler that interrupted a hit.
TEST(EntryStash, EntriesAreNoHitsAndAreStashedInNestedHitsToo) {
  ASSERT_TRUE(Initialize({kTicksPerSecond, 0, 0}).ok());
  const Function function;
  TestPlan plan;
  TestProbe counter(plan);
  counter.runtime().action = Action::kCount;
  TestProbe stash(plan);
  stash.runtime().action = Action::kStash;
  stash.runtime().stashed = &function.stashed;
  stash.runtime().stashed_count = 1;
  SiteProbeList list{};
  list.count = 2;
  list.entries[0] = {&counter.runtime(), 0};
  list.entries[1] = {&stash.runtime(), 0};
  SiteRuntime site;
  site.list = &list;
  Stack stack{};
  *stack.At(0) = 0x2000;
  RegisterFile registers{};
  registers.gpr[kRsp] = reinterpret_cast<uint64_t>(stack.At(0));
  EntryValues out;
  for (uint64_t i = 1; i <= 100; ++i) {
    registers.gpr[kRdi] = i;
    stillframe_hit(&site, &registers);
    ASSERT_TRUE(Read(function, stack.At(0), out));
    EXPECT_EQ(out.cells[0], i);
  }
  EXPECT_EQ(counter.Sums().count[kCaptured], 100u);
  EXPECT_EQ(stash.Sums().count[kHits], 0u);
  EXPECT_GT(stash.Sums().ticks, 0u);
  std::thread([&] {
    ExcludeThisThread();  // as in the midst of a hit
    registers.gpr[kRdi] = 4711;
    stillframe_hit(&site, &registers);
  }).join();
  ASSERT_TRUE(Read(function, stack.At(0), out));
  EXPECT_EQ(out.cells[0], 4711u);
  EXPECT_EQ(counter.Sums().count[kReentrant], 1u);
  EXPECT_EQ(stash.Sums().count[kReentrant], 0u);
}

// ---- Many at once ----

std::atomic<uint64_t> g_wrong, g_right, g_absent;
const Function* g_function;
thread_local Stack t_handler_stack;
thread_local std::jmp_buf* t_way_out;
thread_local uint64_t t_turn;

void Check(const Function& function, uint64_t* return_address, uint64_t value) {
  *return_address = value | 1;
  Enter(function, return_address, value, ~value);
  EntryValues out;
  if (!Read(function, return_address, out)) {
    ++g_absent;
  } else if (out.cells[0] == value && out.cells[1] == ~value) {
    ++g_right;
  } else {
    ++g_wrong;
  }
}

// Interrupts writers and readers of its own thread, calls the function itself, and now and then
// leaves for good.
void OnTimer(int) {
  const uint64_t turn = ++t_turn;
  for (uint32_t i = 0; i < 8; ++i) Check(*g_function, t_handler_stack.At(i), turn << 8 | i);
  if (t_way_out != nullptr && turn % 16 == 0) siglongjmp(*t_way_out, 1);
}

TEST(EntryStash, ThreadsAndHandlersNeverReadAnotherCallsValues) {
  const Function function;
  g_function = &function;
  g_wrong = 0, g_right = 0, g_absent = 0;
  struct sigaction action {};
  action.sa_handler = &OnTimer;
  struct sigaction before {};
  ASSERT_EQ(sigaction(SIGPROF, &action, &before), 0);
  const itimerval often{{0, 200}, {0, 200}};
  ASSERT_EQ(setitimer(ITIMER_PROF, &often, nullptr), 0);
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([t, &function] {
      // More calls than the table holds, on stacks that come again and again.
      static thread_local std::vector<Stack> stacks(kStashSlots / 2);
      sigjmp_buf way_out;
      volatile uint64_t round = 0;
      sigsetjmp(way_out, 1);
      t_way_out = &way_out;
      while (round < 300'000) {
        round = round + 1;
        Stack& stack = stacks[round * 7919 % stacks.size()];
        Check(function, stack.At(round % 8), t << 56 | round << 16 | 0x8000);
      }
      t_way_out = nullptr;
    });
  }
  for (std::thread& thread : threads) thread.join();
  const itimerval never{};
  setitimer(ITIMER_PROF, &never, nullptr);
  sigaction(SIGPROF, &before, nullptr);
  EXPECT_EQ(g_wrong, 0u);
  EXPECT_GT(g_right, 100'000u) << g_absent << " absent";
}

}  // namespace
}  // namespace stillframe::hit
