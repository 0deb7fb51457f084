#include "agent/hit/unwinder.h"

#include <execinfo.h>
#include <gtest/gtest.h>
#include <link.h>
#include <signal.h>

#include <algorithm>
#include <functional>
#include <random>

#include "agent/hit/memory.h"
#include "agent/hit/record_writer.h"
#include "tests/agent/hit/process_tables.h"
#include "tests/agent/hit/test_plan.h"

// Calls body(argument) with marks in all callee-saved registers.
extern "C" void stillframe_test_with_marks(void (*body)(void*), void* argument);
extern "C" const char stillframe_test_marks_return;
asm(R"(
    .text
    .globl stillframe_test_with_marks, stillframe_test_marks_return
    .hidden stillframe_test_with_marks, stillframe_test_marks_return
    .type stillframe_test_with_marks, @function
stillframe_test_with_marks:
    .cfi_startproc
    .irp r, rbx, rbp, r12, r13, r14, r15
    pushq %\r
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset \r, 0
    .endr
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    movq $0x1b, %rbx
    movq $0x1bb, %rbp
    movq $0x12, %r12
    movq $0x13, %r13
    movq $0x14, %r14
    movq $0x15, %r15
    movq %rdi, %rax
    movq %rsi, %rdi
    call *%rax
stillframe_test_marks_return:
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    .irp r, r15, r14, r13, r12, rbp, rbx
    popq %\r
    .cfi_adjust_cfa_offset -8
    .cfi_restore \r
    .endr
    ret
    .cfi_endproc
    .size stillframe_test_with_marks, . - stillframe_test_with_marks
)");

namespace stillframe::hit {
namespace {

const ProcessTables& Tables() {
  static const ProcessTables* const tables = new ProcessTables;
  return *tables;
}

struct Unwound {
  std::vector<FrameRecord> frames;
  bool stopped;
};

Unwound UnwindFrom(const RegisterFile& registers, const UnwindModules* modules,
                   uint32_t max_frames = 64, uint32_t slice_bytes = kSliceBytes) {
  std::vector<uint8_t> slice(kSliceBytes), window(kWindowBytes);
  StackCopy stack{};
  stack.slice = slice.data();
  stack.slice_address = registers.gpr[7] - 128;
  stack.slice_bytes = ReadSome(stack.slice_address, slice.data(), slice_bytes);
  stack.window = window.data();
  stack.window_capacity = kWindowBytes;
  stack.refills_left = 100;
  Unwound result;
  result.frames.resize(max_frames);
  const UnwindResult r = Unwind(modules, registers, stack, result.frames.data(), max_frames);
  result.frames.resize(r.frame_count);
  result.stopped = r.stopped;
  return result;
}

// Calls `body` with frames of several shapes below: locals, alloca, callee-saved registers.
__attribute__((noinline)) void Nest(int depth, const std::function<void()>& body) {
  if (depth == 0) return body();
  volatile char* room = static_cast<char*>(__builtin_alloca(static_cast<size_t>(depth) * 24));
  room[0] = static_cast<char>(depth);
  Nest(depth - 1, body);
  asm volatile("" ::: "rbx", "r12", "r13", "r14", "r15", "memory");
  room[1] = room[0];
}

class UnwinderTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(Initialize({kTicksPerSecond, 0, 0}).ok()); }
};

// The sanitizers replace backtrace() by a function of their own, which finds itself, too.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kOfSanitizer = 1;
#else
constexpr int kOfSanitizer = 0;
#endif

void ExpectSameAsBacktrace(uint32_t slice_bytes) {
  void* expected[64];
  RegisterFile registers;
  const int count = backtrace(expected, 64);
  stillframe_test_registers(&registers);
  const Unwound got = UnwindFrom(registers, Tables().get(), 64, slice_bytes);
  // Frame 0 differs by the two calls' return addresses; the rest must be equal.
  ASSERT_EQ(got.frames.size(), static_cast<size_t>(count - kOfSanitizer));
  for (int i = 1; i < count - kOfSanitizer; ++i) {
    EXPECT_EQ(got.frames[i].pc, reinterpret_cast<uint64_t>(expected[i + kOfSanitizer])) << i;
    EXPECT_GT(got.frames[i].rsp, got.frames[i - 1].rsp);
    EXPECT_EQ(got.frames[i].rsp, got.frames[i - 1].cfa);
  }
  EXPECT_FALSE(got.stopped);
}

TEST_F(UnwinderTest, FindsTheSameFramesAsBacktrace) {
  Nest(25, [] { ExpectSameAsBacktrace(kSliceBytes); });
}

TEST_F(UnwinderTest, FindsTheSameFramesThroughTheWindowAlone) {
  Nest(25, [] { ExpectSameAsBacktrace(256); });
}

struct MarksBody {
  Unwound unwound;
  static void Run(void* self) {
    Nest(12, [self] {
      RegisterFile registers;
      stillframe_test_registers(&registers);
      static_cast<MarksBody*>(self)->unwound = UnwindFrom(registers, Tables().get());
    });
  }
};

TEST_F(UnwinderTest, RecoversCalleeSavedRegisters) {
  MarksBody body;
  stillframe_test_with_marks(&MarksBody::Run, &body);
  const auto& frames = body.unwound.frames;
  const auto frame = std::find_if(frames.begin(), frames.end(), [](const FrameRecord& f) {
    return f.pc == reinterpret_cast<uint64_t>(&stillframe_test_marks_return);
  });
  ASSERT_NE(frame, frames.end());
  EXPECT_EQ(frame->valid, (1u << kSavedRegisterCount) - 1);
  const uint64_t marks[kSavedRegisterCount] = {0x1b, 0x1bb, 0x12, 0x13, 0x14, 0x15};
  for (int i = 0; i < kSavedRegisterCount; ++i) EXPECT_EQ(frame->saved[i], marks[i]) << i;
}

Unwound g_in_handler;
void UnwindInHandler(int) {
  RegisterFile registers;
  stillframe_test_registers(&registers);
  g_in_handler = UnwindFrom(registers, Tables().get());
}

TEST_F(UnwinderTest, GoesThroughASignalFrameOnAnotherStack) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the test's own handler allocates, which ThreadSanitizer reports";
#endif
  Tables();
  std::vector<uint8_t> other(64 * 1024);
  stack_t stack{}, old_stack{};
  stack.ss_sp = other.data();
  stack.ss_size = other.size();
  ASSERT_EQ(sigaltstack(&stack, &old_stack), 0);
  struct sigaction action {
  }, old{};
  action.sa_handler = &UnwindInHandler;
  action.sa_flags = SA_ONSTACK;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &old), 0);
  RegisterFile here;
  Nest(5, [] { raise(SIGUSR1); });
  stillframe_test_registers(&here);
  sigaction(SIGUSR1, &old, nullptr);
  sigaltstack(&old_stack, nullptr);
  const auto& frames = g_in_handler.frames;
  EXPECT_EQ(std::count_if(frames.begin() + 1, frames.end(),
                          [](const FrameRecord& f) { return f.pc_is_exact != 0; }),
            1);
  EXPECT_TRUE(std::any_of(frames.begin(), frames.end(),
                          [&](const FrameRecord& f) { return f.rsp == here.gpr[7]; }));
  EXPECT_FALSE(g_in_handler.stopped);
}

TEST_F(UnwinderTest, TheNumberOfFramesIsALimit) {
  Nest(25, [] {
    RegisterFile registers;
    stillframe_test_registers(&registers);
    const Unwound got = UnwindFrom(registers, Tables().get(), 7);
    EXPECT_EQ(got.frames.size(), 7u);
    EXPECT_FALSE(got.stopped);
    EXPECT_NE(got.frames[6].cfa, 0u);
  });
}

// ---- tables by hand ----

struct Hand {
  std::vector<uint32_t> pcs{0, 16, 32};
  std::vector<uint16_t> rows{0, 1, 0};
  std::vector<UnwindRule> rules{2};
  UnwindModule module{};
  UnwindModules modules{1, &module};
  alignas(16) uint64_t stack[64] = {};
  RegisterFile registers{};
  static constexpr uint64_t kText = 0x100000;

  Hand() {
    rules[1].cfa_kind = CfaKind::kRegisterOffset;
    rules[1].cfa_register = 7;
    rules[1].cfa_offset = 16;
    registers.rip = kText + 20;
    registers.gpr[7] = reinterpret_cast<uint64_t>(&stack[20]);
  }
  Unwound Run() {
    module = {kText,
              kText + 64,
              0,
              kText,
              pcs.data(),
              rows.data(),
              rules.data(),
              static_cast<uint32_t>(pcs.size()),
              static_cast<uint32_t>(rules.size())};
    return UnwindFrom(registers, &modules);
  }
};

TEST_F(UnwinderTest, StopsAtAReturnAddressOfZeroOrWithoutARule) {
  Hand hand;
  hand.stack[21] = Hand::kText + 24;  // CFA = &stack[22]
  hand.stack[23] = 0;
  Unwound got = hand.Run();
  ASSERT_EQ(got.frames.size(), 2u);
  EXPECT_EQ(got.frames[1].pc, Hand::kText + 24);
  EXPECT_FALSE(got.stopped);
  hand.stack[23] = Hand::kText + 40;  // a gap
  got = hand.Run();
  EXPECT_EQ(got.frames.size(), 3u);
  EXPECT_TRUE(got.stopped);
  hand.stack[23] = 0xdeadbeef;  // no module
  got = hand.Run();
  EXPECT_EQ(got.frames.size(), 3u);
  EXPECT_TRUE(got.stopped);
  // The first byte behind a function belongs to the call before it.
  hand.stack[23] = Hand::kText + 32;
  hand.stack[25] = 0;
  got = hand.Run();
  EXPECT_EQ(got.frames.size(), 3u);
  EXPECT_FALSE(got.stopped);
}

TEST_F(UnwinderTest, AFrameThatDoesNotGoUpIsTheEnd) {
  Hand hand;
  hand.rules[1].cfa_offset = 0;
  const Unwound got = hand.Run();
  EXPECT_EQ(got.frames.size(), 1u);
  EXPECT_TRUE(got.stopped);
}

TEST_F(UnwinderTest, RealignedFramesFindTheirCfaInMemory) {
  Hand hand;
  hand.rules[1].cfa_kind = CfaKind::kDerefOffset;
  hand.rules[1].cfa_register = 6;
  hand.rules[1].cfa_offset = -8;
  hand.rules[1].save[1] = SaveKind::kUndefined;
  hand.registers.gpr[6] = reinterpret_cast<uint64_t>(&hand.stack[31]);
  hand.stack[30] = reinterpret_cast<uint64_t>(&hand.stack[40]);
  hand.stack[39] = Hand::kText + 22;
  const Unwound got = hand.Run();
  ASSERT_EQ(got.frames.size(), 2u);
  EXPECT_EQ(got.frames[0].cfa, reinterpret_cast<uint64_t>(&hand.stack[40]));
  EXPECT_EQ(got.frames[1].valid & 2, 0);  // rbp was lost, so the second frame has no CFA
  EXPECT_EQ(got.frames[1].valid & 1, 1);
  EXPECT_TRUE(got.stopped);
}

TEST_F(UnwinderTest, PltEntriesHaveTwoShapes) {
  Hand hand;
  hand.rules[1].cfa_kind = CfaKind::kPlt;
  hand.registers.rip = Hand::kText + 16 + 6;
  Unwound got = hand.Run();
  EXPECT_EQ(got.frames[0].cfa, hand.registers.gpr[7] + 8);
  hand.registers.rip = Hand::kText + 16 + 11;
  got = hand.Run();
  EXPECT_EQ(got.frames[0].cfa, hand.registers.gpr[7] + 16);
}

// Every row's first and last byte, of all tables of this process, with the index of blocks and by
// bisecting all rows.
TEST_F(UnwinderTest, TheIndexOfBlocksFindsTheRowThatBisectingFinds) {
  const UnwindModules* const all = Tables().get();
  std::vector<UnwindModule> plain(all->modules, all->modules + all->count);
  uint64_t rows = 0;
  for (UnwindModule& module : plain) {
    EXPECT_NE(module.blocks, nullptr);
    module.blocks = nullptr;
    module.block_count = 0;
    rows += module.row_count;
  }
  EXPECT_GT(rows, 10000u);
  const UnwindModules unindexed{all->count, plain.data()};
  for (const UnwindModule& module : plain) {
    for (uint32_t row = 0; row < module.row_count; ++row) {
      const uint64_t pc = module.table_base + module.pcs[row];
      ASSERT_EQ(FindRule(all, pc), FindRule(&unindexed, pc)) << std::hex << pc;
      ASSERT_EQ(FindRule(all, pc - 1), FindRule(&unindexed, pc - 1)) << std::hex << pc;
    }
    ASSERT_EQ(FindRule(all, module.end - 1), FindRule(&unindexed, module.end - 1));
  }
}

// What a rule says of its saves only makes it faster.
TEST_F(UnwinderTest, SavesThatAreNearAreReadAsOthers) {
  for (unsigned kinds = 0; kinds < 729; ++kinds) {  // 3 to the power of 6
    Hand hand;
    UnwindRule& rule = hand.rules[1];
    rule.cfa_offset = 64;
    unsigned left = kinds;
    for (int i = 0; i < kSavedRegisterCount; ++i, left /= 3) {
      rule.save[i] = static_cast<SaveKind>(left % 3);
      rule.save_offset[i] = -16 - 8 * i;
      hand.registers.gpr[kSavedRegisters[i]] = 1000u + static_cast<unsigned>(i);
      hand.stack[26 - i] = 2000u + static_cast<unsigned>(i);
    }
    hand.stack[27] = Hand::kText + 18;  // CFA = &stack[28]
    hand.stack[35] = Hand::kText + 19;
    const Unwound slow = hand.Run();
    rule.saves_are_near = 1;
    const Unwound fast = hand.Run();
    ASSERT_EQ(slow.frames.size(), fast.frames.size());
    ASSERT_GE(fast.frames.size(), 3u);
    for (size_t f = 0; f < fast.frames.size(); ++f) {
      ASSERT_EQ(fast.frames[f].pc, slow.frames[f].pc);
      ASSERT_EQ(fast.frames[f].valid, slow.frames[f].valid) << kinds;
      for (int i = 0; i < kSavedRegisterCount; ++i) {
        ASSERT_EQ(fast.frames[f].saved[i], slow.frames[f].saved[i]) << kinds;
      }
    }
  }
}

TEST_F(UnwinderTest, GarbageStacksAndRegistersEnd) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 3000; ++i) {
    Hand hand;
    for (UnwindRule& rule : hand.rules) {
      rule.cfa_kind = static_cast<CfaKind>(random() % 5);
      rule.cfa_register = static_cast<uint8_t>(random());
      rule.cfa_offset = static_cast<int32_t>(random() % 4096) - 1024;
      rule.return_address_offset = static_cast<int32_t>(random() % 64) - 32;
      for (int r = 0; r < kSavedRegisterCount; ++r) {
        rule.save[r] = static_cast<SaveKind>(random() % 3);
        rule.save_offset[r] = static_cast<int32_t>(random());
      }
      // As the table's builder promises: near, or not said to be.
      if (random() % 2 == 0) {
        for (int32_t& offset : rule.save_offset) offset = -8 - static_cast<int32_t>(random() % 57);
        rule.return_address_offset = -8;
        rule.saves_are_near = 1;
      }
    }
    for (uint16_t& row : hand.rows) row = static_cast<uint16_t>(random() % 4);
    for (uint64_t& word : hand.stack) {
      word = random() % 2 == 0 ? Hand::kText + random() % 64
                               : reinterpret_cast<uint64_t>(&hand.stack[random() % 64]);
    }
    for (uint64_t& gpr : hand.registers.gpr) {
      gpr = random() % 3 == 0 ? random() : reinterpret_cast<uint64_t>(&hand.stack[random() % 64]);
    }
    const Unwound got = hand.Run();
    ASSERT_GE(got.frames.size(), 1u);
    ASSERT_LE(got.frames.size(), 64u);
  }
}

}  // namespace
}  // namespace stillframe::hit
