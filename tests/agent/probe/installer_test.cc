// What arming and disarming promise: bytes compared before every write, restored exactly, refused
// where they are not ours.
#include <thread>

#include "tests/agent/probe/probe_testing.h"

namespace stillframe::probe {
namespace {

// mov eax, 7; ret; with filler behind, so that every method finds a place.
constexpr std::string_view kFunction =
    "\xB8\x07\x00\x00\x00\xC3\x0f\x1f\x44\x00\x00\x0f\x1f\x44\x00\x00"sv;

void Write(const TestModule& module, uint64_t offset, uint8_t byte) {
  void* page = reinterpret_cast<void*>(module.at(offset) & ~uint64_t{4095});
  ASSERT_EQ(mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
  *reinterpret_cast<uint8_t*>(module.at(offset)) = byte;
  ASSERT_EQ(mprotect(page, 4096, PROT_READ | PROT_EXEC), 0);
}

TEST(Installer, ArmsCountsAndRestores) {
  auto installer = MakeInstaller(CountingHit);
  TestModule module(4096);
  module.Put(64, kFunction);
  module.Seal();
  uint32_t pages = 0;
  for (int round = 0; round < 100; ++round) {
    ASSERT_TRUE(PrepareAndArm(*installer, module.site(64), module.text()).ok());
    EXPECT_EQ(installer->armed_count(), 1u);
    EXPECT_FALSE(module.IsOriginal());
    const uint64_t before = g_hits.Count();
    EXPECT_EQ(module.Call(64), 7u);
    EXPECT_EQ(g_hits.Count(), before + 1);
    ASSERT_TRUE(installer->Disarm(module.site(64)).ok());
    EXPECT_TRUE(module.IsOriginal());
    EXPECT_EQ(module.Call(64), 7u);
    EXPECT_EQ(g_hits.Count(), before + 1);
    // The site's own trampoline is used again: no memory is eaten by a hundred rounds.
    if (round == 0) pages = installer->mapped_pages();
    EXPECT_EQ(installer->mapped_pages(), pages);
  }
}

TEST(Installer, BytesThatChangedSincePreparingAreLeftAlone) {
  auto installer = MakeInstaller();
  TestModule module(4096);
  module.Put(64, kFunction);
  module.Seal();
  ASSERT_TRUE(installer->Prepare(module.site(64), module.text()).ok());
  Write(module, 64, 0xCC);  // a debugger's breakpoint
  EXPECT_EQ(installer->Arm(module.site(64)).code(), Code::kProbeFailed);
  EXPECT_EQ(module.bytes()[64], 0xCC);
  Write(module, 64, 0xB8);
  EXPECT_TRUE(installer->Arm(module.site(64)).ok());
}

TEST(Installer, ForeignBytesOverOursAreLeftAlone) {
  auto installer = MakeInstaller();
  TestModule module(4096);
  module.Put(64, kFunction);
  module.Seal();
  ASSERT_TRUE(PrepareAndArm(*installer, module.site(64), module.text()).ok());
  const uint8_t ours = module.bytes()[64];
  Write(module, 64, 0xCC);
  EXPECT_EQ(installer->Disarm(module.site(64)).code(), Code::kProbeFailed);
  EXPECT_EQ(module.bytes()[64], 0xCC);
  Write(module, 64, ours);
  EXPECT_TRUE(installer->Disarm(module.site(64)).ok());
  EXPECT_TRUE(module.IsOriginal());
}

TEST(Installer, NeighboursAreBothRightOrRefused) {
  auto installer = MakeInstaller(ListedHit);
  TestModule module(4096);
  // Eight one-byte instructions and a return: probes on all of them overlap.
  module.Put(64, "\xF8\xF9\xF5\xF8\xF9\xF5\xF8\xF9\xB8\x07\x00\x00\x00\xC3\x0f\x1f\x44\x00\x00"sv);
  module.Seal();
  uint64_t armed = 0;
  for (uint64_t i = 0; i < 9; ++i) {
    const auto prepared = installer->Prepare(module.site(64 + i), module.text());
    Status status = prepared.status();
    if (status.ok()) status = installer->Arm(module.site(64 + i));
    if (status.ok()) {
      prepared->runtime->list = &kSomeList;
      ++armed;
    } else {
      EXPECT_EQ(status.code(), Code::kUnsafeSite) << status.ToString();
    }
    const uint64_t before = g_hits.Count();
    ASSERT_EQ(module.Call(64), 7u);
    EXPECT_EQ(g_hits.Count(), before + armed);
  }
  EXPECT_GE(armed, 1u);
  for (uint64_t i = 0; i < 9; ++i) EXPECT_TRUE(installer->Disarm(module.site(64 + i)).ok());
  EXPECT_TRUE(module.IsOriginal());
}

TEST(Installer, RefusesWhatIsNoSite) {
  auto installer = MakeInstaller();
  TestModule module(4096);
  module.Put(64, "\x06\x06\x06\x06\x06\x06"sv);  // no instruction in 64-bit mode
  module.Put(128, "\x0F\x05\xC3"sv);             // syscall
  module.Put(192, "\xF3\x0F\x1E\xFA\xC3"sv);     // endbr64
  module.Put(256, "\x0F\x0B\xC3"sv);             // ud2
  module.Put(320, "\xCC\xC3"sv);                 // somebody's breakpoint
  module.Seal();
  for (const uint64_t offset : {64, 128, 192, 256, 320}) {
    const auto prepared = installer->Prepare(module.site(offset), module.text());
    ASSERT_FALSE(prepared.ok()) << offset;
    EXPECT_EQ(prepared.status().code(), Code::kUnsafeSite) << prepared.status().ToString();
    EXPECT_FALSE(prepared.status().message().empty());
  }
  const auto outside = installer->Prepare(module.site(1 << 20), module.text());
  EXPECT_FALSE(outside.ok());
  EXPECT_FALSE(installer->Arm(module.site(400)).ok());
  EXPECT_TRUE(module.IsOriginal());
}

TEST(Installer, ForgottenSitesAreNotTouched) {
  auto installer = MakeInstaller();
  TestModule module(4096);
  module.Put(64, kFunction);
  module.Seal();
  ASSERT_TRUE(PrepareAndArm(*installer, module.site(64), module.text()).ok());
  installer->Forget(module.text().text_start, module.text().text_end);
  EXPECT_EQ(installer->armed_count(), 0u);
  ASSERT_EQ(mprotect(reinterpret_cast<void*>(module.at(0)), 4096, PROT_NONE), 0);
  EXPECT_TRUE(installer->Disarm(module.site(64)).ok());
  EXPECT_EQ(installer->Arm(module.site(64)).code(), Code::kModuleUnloaded);
}

// Whoever forgets a module that is still there must not get a probe on top of the probe.
TEST(Installer, ForgottenSitesThatAreStillThereAreRefused) {
  auto installer = MakeInstaller();
  TestModule module(4096);
  module.Put(64, kFunction);
  module.Seal();
  ASSERT_TRUE(PrepareAndArm(*installer, module.site(64), module.text()).ok());
  installer->Forget(module.text().text_start, module.text().text_end);
  const auto prepared = installer->Prepare(module.site(64), module.text());
  ASSERT_FALSE(prepared.ok());
  EXPECT_EQ(prepared.status().code(), Code::kUnsafeSite) << prepared.status().ToString();
  EXPECT_EQ(module.Call(64), 7u);
}

TEST(Installer, DestructionRestoresTheText) {
  TestModule module(4096);
  module.Put(64, kFunction);
  module.Seal();
  {
    auto installer = MakeInstaller();
    ASSERT_TRUE(PrepareAndArm(*installer, module.site(64), module.text()).ok());
  }
  EXPECT_TRUE(module.IsOriginal());
}

// Threads run the code at every position in a word while its sites come and go.
TEST(Installer, StressUnderRunningThreads) {
  const char* seconds_text = getenv("STILLFRAME_STRESS_SECONDS");
  const int seconds = seconds_text == nullptr ? 3 : atoi(seconds_text);
  for (const Method method :
       {Method::kExactPun, Method::kAlignedStore, Method::kGuarded, Method::kCallRetarget}) {
    auto installer = MakeInstaller(CountingHit);
    installer->Only(method);
    TestModule module(8192);
    std::vector<uint64_t> sites;
    // inc rax x n positions it; then a 7-byte mov rax, imm32 or a call of the function behind.
    for (uint64_t i = 0; i < 8; ++i) {
      const uint64_t at = 256 + i * 256 + i;
      const bool call = method == Method::kCallRetarget;
      module.Put(at, call ? "\xE8\x09\x00\x00\x00\xC3\x90\x90\x90\x90\x90\x90\x90\x90\x48\xC7\xC0"
                            "\x2A\x00\x00\x00\xC3"sv
                          : "\x48\xC7\xC0\x2A\x00\x00\x00\xC3\x0f\x1f\x44\x00\x00"sv);
      sites.push_back(at);
    }
    module.Seal();
    std::erase_if(sites, [&](uint64_t at) {
      return !installer->Prepare(module.site(at), module.text()).ok();
    });
    ASSERT_FALSE(sites.empty()) << MethodName(method);
    std::atomic<bool> stop{false};
    std::atomic<uint64_t> calls{0}, wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        while (!stop.load(std::memory_order_relaxed)) {
          for (const uint64_t at : sites) wrong += module.Call(at) != 42;
          calls += sites.size();
        }
      });
    }
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(250 * seconds);
    uint64_t cycles = 0;
    while (std::chrono::steady_clock::now() < end) {
      for (const uint64_t at : sites) ASSERT_TRUE(installer->Arm(module.site(at)).ok());
      for (const uint64_t at : sites) ASSERT_TRUE(installer->Disarm(module.site(at)).ok());
      cycles += sites.size();
    }
    stop = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong.load(), 0u) << MethodName(method);
    EXPECT_TRUE(module.IsOriginal()) << MethodName(method);
    std::printf("  %-14s %lu sites, %lu cycles while called %lu times\n", MethodName(method),
                sites.size(), cycles, calls.load());
  }
}

}  // namespace
}  // namespace stillframe::probe
