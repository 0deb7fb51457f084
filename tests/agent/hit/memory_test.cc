// Reads that cannot fault, and the handlers behind the guarded ones.
#include "agent/hit/memory.h"

#include <gtest/gtest.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "agent/hit/hit.h"
#include "agent/hit/process_state.h"
#include "tests/agent/hit/test_plan.h"

namespace stillframe::hit {
namespace {

class MemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(Initialize({kTicksPerSecond, 0, 0}).ok());
    page_ = static_cast<uint32_t>(sysconf(_SC_PAGESIZE));
    void* map =
        mmap(nullptr, 2 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(map, MAP_FAILED);
    bytes_ = static_cast<uint8_t*>(map);
    for (uint32_t i = 0; i < page_; ++i) bytes_[i] = static_cast<uint8_t>(i * 7);
    ASSERT_EQ(mprotect(bytes_ + page_, page_, PROT_NONE), 0);
  }
  void TearDown() override {
    EXPECT_TRUE(SetGuardedReads(false).ok());
    munmap(bytes_, 2 * page_);
  }
  uint64_t At(uint32_t offset) const { return reinterpret_cast<uint64_t>(bytes_) + offset; }

  uint32_t page_ = 0;
  uint8_t* bytes_ = nullptr;
};

TEST_F(MemoryTest, TheSelfTestFindsTheBestMethod) {
  EXPECT_EQ(read_method(), ReadMethod::kProcessVmReadv);
  EXPECT_STREQ(ReadMethodName(read_method()), "process_vm_readv");
}

TEST_F(MemoryTest, ReadsUpToTheUnreadablePage) {
  uint8_t out[64] = {};
  EXPECT_EQ(ReadSome(At(page_ - 16), out, 64), 16u);
  EXPECT_EQ(std::memcmp(out, bytes_ + page_ - 16, 16), 0);
  EXPECT_EQ(ReadSome(At(page_), out, 1), 0u);
  EXPECT_EQ(ReadSome(~uint64_t{7}, out, 8), 0u);
}

TEST_F(MemoryTest, ABatchGoesOnBehindWhatIsUnreadable) {
  IoVec iovecs[2 * kMaxBatch];
  uint8_t out[kMaxBatch][16];
  ReadRequest requests[kMaxBatch];
  for (uint32_t i = 0; i < kMaxBatch; ++i) {
    requests[i] = {i % 3 == 1 ? At(page_) : i % 7 == 5 ? 0x20 : At(i * 16), out[i], 16, 0};
  }
  requests[9].address = At(page_ - 4);
  ReadBatch(requests, kMaxBatch, iovecs);
  for (uint32_t i = 0; i < kMaxBatch; ++i) {
    const uint32_t expected = i == 9 ? 4 : i % 3 == 1 || i % 7 == 5 ? 0 : 16;
    ASSERT_EQ(requests[i].done_bytes, expected) << i;
    if (expected == 16) {
      EXPECT_EQ(std::memcmp(out[i], bytes_ + i * 16, 16), 0) << i;
    }
  }
}

// The read on a thread of its own, with a stack pointer that makes nothing direct.
bool FastRead(uint64_t address, uint64_t& out) {
  FastReader reader;
  reader.Start(0x1000000);
  return reader.Read(address, &out, 8);
}

TEST_F(MemoryTest, AKnownRangeIsReadWithoutASystemCallAndSurvivesItsUnmapping) {
  ASSERT_TRUE(SetGuardedReads(true).ok());
  // With no system call left, only the guarded way can read.
  g_process.read_method.store(ReadMethod::kNone);
  uint64_t word = 0;
  ASSERT_TRUE(FastRead(At(128), word));
  EXPECT_EQ(std::memcmp(&word, bytes_ + 128, 8), 0);
  EXPECT_FALSE(FastRead(At(page_ - 4), word));  // the second page is in no range
  EXPECT_EQ(ClipToRange(At(page_ - 4), 64), 4u);
  ASSERT_EQ(mprotect(bytes_, page_, PROT_NONE), 0);
  EXPECT_FALSE(FastRead(At(128), word));  // a fault, rescued
  ASSERT_EQ(mprotect(bytes_, page_, PROT_READ | PROT_WRITE), 0);
  EXPECT_TRUE(FastRead(At(128), word));
}

TEST_F(MemoryTest, AProvenPageIsReadWithoutASystemCallUntilItFaults) {
  ASSERT_EQ(mprotect(bytes_, page_, PROT_NONE), 0);
  ASSERT_TRUE(SetGuardedReads(true).ok());
  ASSERT_EQ(mprotect(bytes_, page_, PROT_READ | PROT_WRITE), 0);  // newer than the look
  uint64_t word = 0;
  ASSERT_TRUE(FastRead(At(64), word));
  EXPECT_EQ(std::memcmp(&word, bytes_ + 64, 8), 0);
  g_process.read_method.store(ReadMethod::kNone);
  ASSERT_TRUE(FastRead(At(128), word));
  EXPECT_EQ(std::memcmp(&word, bytes_ + 128, 8), 0);
  EXPECT_FALSE(FastRead(At(page_ - 4), word));  // its second page was never proven
  ASSERT_EQ(mprotect(bytes_, page_, PROT_NONE), 0);
  EXPECT_FALSE(FastRead(At(128), word));  // a fault, rescued
  ASSERT_EQ(mprotect(bytes_, page_, PROT_READ | PROT_WRITE), 0);
  EXPECT_FALSE(FastRead(At(128), word));  // and no longer proven
}

TEST_F(MemoryTest, ReadsOutsideOfTheRangesMakeTheAgentLookAgain) {
  ASSERT_EQ(mprotect(bytes_, page_, PROT_NONE), 0);
  ASSERT_TRUE(SetGuardedReads(true).ok());
  ASSERT_EQ(mprotect(bytes_, page_, PROT_READ | PROT_WRITE), 0);
  uint64_t word = 0;
  for (uint32_t i = 0; i < 64; ++i) ASSERT_TRUE(FastRead(At(8 * i), word));
  EXPECT_EQ(ClipToRange(At(page_ - 4), 64), 64u);
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  ASSERT_TRUE(RefreshGuardedReads((int64_t{now.tv_sec} + 60) * 1'000'000'000));
  EXPECT_EQ(ClipToRange(At(page_ - 4), 64), 4u);
}

TEST_F(MemoryTest, CopiesOfEverySizeAreWhole) {
  ASSERT_TRUE(SetGuardedReads(true).ok());
  g_process.read_method.store(ReadMethod::kNone);
  std::vector<uint8_t> out(1200);
  for (uint32_t size = 1; size <= 1024; ++size) {
    std::fill(out.begin(), out.end(), 0xee);
    ASSERT_EQ(ReadSome(At(page_ - size), out.data(), size), size);
    ASSERT_EQ(std::memcmp(out.data(), bytes_ + page_ - size, size), 0) << size;
    ASSERT_EQ(out[size], 0xee) << size;
  }
}

TEST_F(MemoryTest, AThreadThatBlocksTheSignalsUsesSystemCalls) {
  ASSERT_TRUE(SetGuardedReads(true).ok());
  std::thread([&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    uint64_t word = 0;
    ASSERT_TRUE(FastRead(At(64), word));
    ASSERT_EQ(mprotect(bytes_, page_, PROT_NONE), 0);
    EXPECT_FALSE(FastRead(At(64), word));  // a guarded read would have killed the process
  }).join();
}

TEST_F(MemoryTest, WhatTheProgramUnmapsUnderAConditionIsUnreadableNotFatal) {
  ASSERT_TRUE(SetGuardedReads(true).ok());
  std::atomic<bool> done{false};
  std::thread mapper([&] {
    for (int i = 0; !done.load(); ++i) {
      mprotect(bytes_, page_, i % 2 == 0 ? PROT_NONE : PROT_READ | PROT_WRITE);
    }
  });
  // On a busy machine the two may take turns of many milliseconds: until both outcomes were seen.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  uint64_t good = 0, bad = 0, wrong = 0;
  while ((good < 1000 || bad < 1000) && std::chrono::steady_clock::now() < deadline) {
    uint64_t word = 0;
    if (FastRead(At(256), word)) {
      ++good;
      wrong += std::memcmp(&word, "\x00\x07\x0e\x15\x1c\x23\x2a\x31", 8) != 0;
    } else {
      ++bad;
    }
  }
  done.store(true);
  mapper.join();
  EXPECT_GE(good, 1000u);
  EXPECT_GE(bad, 1000u);
  EXPECT_EQ(wrong, 0u);
}

// ---- foreign faults ----

sigjmp_buf g_back;
std::atomic<int> g_host_faults{0};

void HostHandler(int, siginfo_t* info, void*) {
  g_host_faults.fetch_add(info->si_addr == reinterpret_cast<void*>(0x40) ? 1 : 100);
  siglongjmp(g_back, 1);
}

TEST_F(MemoryTest, TheHostsHandlerGetsTheHostsFaults) {
  struct sigaction host {
  }, old{};
  host.sa_sigaction = &HostHandler;
  host.sa_flags = SA_SIGINFO;
  ASSERT_EQ(sigaction(SIGSEGV, &host, &old), 0);
  ASSERT_TRUE(SetGuardedReads(true).ok());
  g_host_faults = 0;
  if (sigsetjmp(g_back, 1) == 0) {
    volatile int* bad = reinterpret_cast<int*>(0x40);
    *bad = 1;
  }
  EXPECT_EQ(g_host_faults.load(), 1);
  ASSERT_TRUE(SetGuardedReads(false).ok());
  struct sigaction now {};
  sigaction(SIGSEGV, &old, &now);
  EXPECT_EQ(now.sa_sigaction, &HostHandler);  // put back as it was
}

int StatusOfChild(void (*body)()) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

TEST_F(MemoryTest, WithoutAHostHandlerTheProcessDiesOfTheSameSignal) {
  const int fault = StatusOfChild([] {
    signal(SIGSEGV, SIG_DFL);
    if (!SetGuardedReads(true).ok()) _exit(9);
    volatile int* bad = reinterpret_cast<int*>(0x40);
    *bad = 1;
  });
  EXPECT_TRUE(WIFSIGNALED(fault) && WTERMSIG(fault) == SIGSEGV) << fault;
  const int sent = StatusOfChild([] {
    signal(SIGSEGV, SIG_DFL);
    if (!SetGuardedReads(true).ok()) _exit(9);
    raise(SIGSEGV);
  });
  EXPECT_TRUE(WIFSIGNALED(sent) && WTERMSIG(sent) == SIGSEGV) << sent;
}

TEST_F(MemoryTest, AHandlerThatTheHostInstallsLaterStaysAndTurnsTheGuardOff) {
  const int status = StatusOfChild([] {
    signal(SIGSEGV, SIG_DFL);
    if (!SetGuardedReads(true).ok()) _exit(1);
    struct sigaction host {};
    host.sa_sigaction = &HostHandler;
    host.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &host, nullptr);
    static const uint64_t value = 0x1234;
    uint64_t word = 0;
    if (RefreshGuardedReads(1)) _exit(6);
    // Read twice: by system call, and (not) by the guard.
    if (!FastRead(reinterpret_cast<uint64_t>(&value), word) || word != value) _exit(2);
    g_process.read_method.store(ReadMethod::kNone);
    if (FastRead(reinterpret_cast<uint64_t>(&value), word)) _exit(3);
    if (SetGuardedReads(true).ok()) _exit(4);
    struct sigaction now {};
    sigaction(SIGSEGV, nullptr, &now);
    _exit(now.sa_sigaction == &HostHandler ? 0 : 5);
  });
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace stillframe::hit
