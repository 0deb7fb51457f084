// Many probes at once: every statement of a function, neighbours in each other's bytes, ten
// thousand in one batch.
#include <chrono>
#include <random>
#include <set>
#include <thread>

#include "tests/agent/probe/probe_testing.h"

namespace stillframe::probe {
namespace {

using Clock = std::chrono::steady_clock;

double MillisSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Instructions that work on RAX, RCX and the flags only, of every length that compilers like.
constexpr std::string_view kForms[] = {
    "\xF8"sv,
    "\xF9"sv,
    "\xF5"sv,
    "\x90"sv,
    "\x50"sv,
    "\x58"sv,  // clc stc cmc nop push pop
    "\x01\xC8"sv,
    "\x31\xC1"sv,
    "\x04\x07"sv,  // add xor add al
    "\x48\x01\xC8"sv,
    "\x48\x31\xC1"sv,
    "\x83\xC0\x05"sv,  // add xor add eax
    "\x48\x83\xC1\x03"sv,
    "\x48\x8D\x04\x08"sv,
    "\x0F\x1F\x40\x00"sv,  // add lea nop
    "\x05\x78\x56\x34\x12"sv,
    "\xB9\x2A\x00\x00\x00"sv,  // add eax, mov ecx
    "\x48\x05\x78\x56\x34\x12"sv,
    "\x48\x8D\x80\x10\x01\x00\x00"sv,  // add rax, lea
    "\x48\xC7\xC1\x2A\x00\x00\x00"sv,
    "\x48\x69\xC0\x0D\x00\x00\x00"sv,  // mov, imul
};
constexpr size_t kPush = 4, kPop = 5;

// A function of random statements: where each of them begins, and its code.
struct Function {
  std::vector<uint64_t> statements;
  std::string code;
};

Function MakeFunction(std::mt19937_64& random, size_t statements) {
  Function function;
  int depth = 0;
  function.code = "\x31\xC0\x31\xC9";  // xor eax, eax; xor ecx, ecx
  function.statements = {0, 2};
  for (size_t i = 0; i < statements; ++i) {
    size_t form = random() % std::size(kForms);
    if (form == kPop && depth == 0) form = kPush;
    if (form == kPush && depth >= 8) form = kPop;
    depth += form == kPush ? 1 : form == kPop ? -1 : 0;
    function.statements.push_back(function.code.size());
    function.code += kForms[form];
  }
  for (; depth > 0; --depth) {
    function.statements.push_back(function.code.size());
    function.code += kForms[kPop];
  }
  function.statements.push_back(function.code.size());
  function.code += "\xC3";
  function.code.append(16, '\x90');
  return function;
}

struct Placed {
  uint64_t offset = 0;
  std::vector<RuntimeAddress> sites;
};

Placed Put(TestModule& module, uint64_t offset, const Function& function) {
  Placed placed{offset, {}};
  module.Put(offset, function.code);
  for (const uint64_t at : function.statements) placed.sites.push_back(module.site(offset + at));
  return placed;
}

// Prepared, listed and armed in one batch; the sites that are in force.
std::vector<RuntimeAddress> ArmBatch(Installer& installer, const TestModule& module,
                                     const std::vector<RuntimeAddress>& sites,
                                     std::map<std::string, int>* refusals = nullptr) {
  const ModuleText text = module.text();
  std::vector<SiteRequest> requests;
  for (const RuntimeAddress site : sites) requests.push_back({site, &text});
  const auto prepared = installer.PrepareAll(requests);
  std::vector<RuntimeAddress> ready, armed;
  std::vector<hit::SiteRuntime*> runtimes;
  for (size_t i = 0; i < sites.size(); ++i) {
    if (prepared[i].ok()) {
      ready.push_back(sites[i]);
      runtimes.push_back(prepared[i]->runtime);
    } else if (refusals != nullptr) {
      ++(*refusals)[prepared[i].status().ToString()];
    }
  }
  const auto statuses = installer.ArmAll(ready);
  for (size_t i = 0; i < ready.size(); ++i) {
    if (statuses[i].ok()) {
      runtimes[i]->list = &kSomeList;
      armed.push_back(ready[i]);
    } else if (refusals != nullptr) {
      ++(*refusals)[statuses[i].ToString()];
    }
  }
  return armed;
}

TEST(Dense, EveryStatementOfAFunctionAtOnce) {
  std::mt19937_64 random(7);
  size_t asked = 0, got = 0;
  std::map<std::string, int> refusals;
  for (int round = 0; round < 60; ++round) {
    auto installer = MakeInstaller(ListedHit);
    TestModule module(8192);
    const Placed placed = Put(module, 256 + round, MakeFunction(random, 60));
    module.Seal();
    const auto expected = module.Call(placed.offset, 0, 0);
    const auto armed = ArmBatch(*installer, module, placed.sites, &refusals);
    asked += placed.sites.size();
    got += armed.size();
    const uint64_t before = g_hits.Count();
    ASSERT_EQ(module.Call(placed.offset, 0, 0), expected) << round;
    EXPECT_EQ(g_hits.Count() - before, armed.size()) << round;
    for (const Status& status : installer->DisarmAll(armed)) {
      ASSERT_TRUE(status.ok()) << status.ToString();
    }
    EXPECT_EQ(installer->armed_count(), 0u);
    EXPECT_EQ(installer->patched_count(), 0u);
    ASSERT_TRUE(module.IsOriginal()) << round;
    ASSERT_EQ(module.Call(placed.offset, 0, 0), expected) << round;
  }
  for (const auto& [why, count] : refusals) std::printf("  %d: %s\n", count, why.c_str());
  std::printf("  %zu of %zu statements armed together\n", got, asked);
  EXPECT_GE(static_cast<double>(got), 0.97 * static_cast<double>(asked));
}

// Sites come and go in any order, one by one and in groups; the function is right at each step and
// exactly those that are in force count.
TEST(Dense, NeighboursComeAndGoInAnyOrder) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 12; ++round) {
    auto installer = MakeInstaller(ListedHit);
    TestModule module(8192);
    const Placed placed = Put(module, 300 + round, MakeFunction(random, 24));
    module.Seal();
    const auto expected = module.Call(placed.offset, 0, 0);
    std::map<uint64_t, hit::SiteRuntime*> armed;
    for (int step = 0; step < 120; ++step) {
      std::vector<RuntimeAddress> some;
      for (const RuntimeAddress site : placed.sites) {
        if (random() % 8 == 0) some.push_back(site);
      }
      if (random() % 2 == 0) {
        for (const RuntimeAddress site : ArmBatch(*installer, module, some)) {
          armed[site.value] = installer->Prepare(site, module.text())->runtime;
        }
      } else {
        for (const Status& status : installer->DisarmAll(some)) {
          ASSERT_TRUE(status.ok()) << status.ToString();
        }
        for (const RuntimeAddress site : some) {
          const auto found = armed.find(site.value);
          if (found == armed.end()) continue;
          found->second->list = nullptr;
          armed.erase(found);
        }
      }
      ASSERT_EQ(installer->armed_count(), armed.size());
      const uint64_t before = g_hits.Count();
      ASSERT_EQ(module.Call(placed.offset, 0, 0), expected) << round << " " << step;
      ASSERT_EQ(g_hits.Count() - before, armed.size()) << round << " " << step;
    }
    std::vector<RuntimeAddress> all(placed.sites);
    installer->DisarmAll(all);
    EXPECT_TRUE(module.IsOriginal()) << round;
  }
}

// Other threads run the function while all of it is armed and disarmed.
TEST(Dense, UnderRunningThreads) {
  std::mt19937_64 random(13);
  auto installer = MakeInstaller(ListedHit);
  TestModule module(16384);
  std::vector<Placed> functions;
  for (uint64_t i = 0; i < 8; ++i) {
    functions.push_back(Put(module, 1024 + i * 1024 + i, MakeFunction(random, 40)));
  }
  module.Seal();
  std::vector<uint64_t> expected;
  std::vector<RuntimeAddress> sites;
  for (const Placed& placed : functions) {
    expected.push_back(module.Call(placed.offset, 0, 0));
    sites.insert(sites.end(), placed.sites.begin(), placed.sites.end());
  }
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> wrong{0}, calls{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        for (size_t i = 0; i < functions.size(); ++i) {
          wrong += module.Call(functions[i].offset, 0, 0) != expected[i];
          ++calls;
        }
      }
    });
  }
  const auto end = Clock::now() + std::chrono::seconds(3);
  uint64_t cycles = 0;
  while (Clock::now() < end) {
    std::vector<RuntimeAddress> some;
    for (const RuntimeAddress site : sites) {
      if (random() % 3 != 0) some.push_back(site);
    }
    cycles += ArmBatch(*installer, module, some).size();
    std::shuffle(some.begin(), some.end(), random);
    some.resize(some.size() / 2);
    installer->DisarmAll(some);
  }
  installer->DisarmAll(sites);
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_TRUE(module.IsOriginal());
  std::printf("  %lu sites armed while called %lu times\n", cycles, calls.load());
}

TEST(Dense, TenThousandInOneBatch) {
  std::mt19937_64 random(17);
  auto installer = MakeInstaller(ListedHit);
  TestModule module(1 << 20);
  std::vector<Placed> functions;
  std::vector<RuntimeAddress> sites;
  for (uint64_t at = 64; sites.size() < 10'000; at += 256) {
    functions.push_back(Put(module, at, MakeFunction(random, 20)));
    sites.insert(sites.end(), functions.back().sites.begin(), functions.back().sites.end());
  }
  module.Seal();
  std::vector<uint64_t> expected;
  for (const Placed& placed : functions) expected.push_back(module.Call(placed.offset, 0, 0));
  std::map<std::string, int> refusals;
  const auto start = Clock::now();
  const auto armed = ArmBatch(*installer, module, sites, &refusals);
  const double cold = MillisSince(start);
  for (const auto& [why, count] : refusals) std::printf("  %d: %s\n", count, why.c_str());
  EXPECT_GE(armed.size(), 9'700u);
  const uint64_t before = g_hits.Count();
  for (size_t i = 0; i < functions.size(); ++i) {
    ASSERT_EQ(module.Call(functions[i].offset, 0, 0), expected[i]) << i;
  }
  EXPECT_EQ(g_hits.Count() - before, armed.size());
  const auto disarming = Clock::now();
  installer->DisarmAll(armed);
  const double disarm = MillisSince(disarming);
  EXPECT_TRUE(module.IsOriginal());
  const auto again = Clock::now();
  EXPECT_GE(ArmBatch(*installer, module, sites).size(), 9'700u);
  const double warm = MillisSince(again);
  const CodeMemory& memory = installer->memory();
  std::printf("  %zu armed: cold %.1f ms, disarm %.1f ms, warm %.1f ms\n", armed.size(), cold,
              disarm, warm);
  std::printf("  pages mapped %u, of which alone %u, on %u physical pages\n", memory.mapped_pages(),
              memory.sparse_pages(), memory.shared_pages());
}

TEST(Dense, MappingsAreLimited) {
  auto writer = TextWriter::Create(MakeLinuxTextSystem());
  ASSERT_TRUE(writer.ok());
  CodeLimits limits;
  limits.mappings = 100;
  Installer installer(ListedHit, std::move(*writer), limits);
  TestModule module(1 << 16);
  std::mt19937_64 random(19);
  std::vector<RuntimeAddress> sites;
  for (uint64_t at = 64; at + 512 < (1 << 16); at += 512) {
    const Placed placed = Put(module, at, MakeFunction(random, 30));
    sites.insert(sites.end(), placed.sites.begin(), placed.sites.end());
  }
  module.Seal();
  std::map<std::string, int> refusals;
  const auto armed = ArmBatch(installer, module, sites, &refusals);
  EXPECT_LT(armed.size(), sites.size());
  int over = 0;
  for (const auto& [why, count] : refusals) {
    if (why.starts_with("OVER_LIMIT: the process already has ")) over += count;
  }
  EXPECT_GT(over, 0);
}

}  // namespace
}  // namespace stillframe::probe
