// Differential: every instruction of the corpus, at every position in a word, by every method that
// fits, from random states: the probed run must leave what the unprobed run leaves, and the hit
// must see the state that the instruction was about to run with.
#include <array>
#include <map>
#include <random>

#include "tests/agent/probe/cpu_state.h"
#include "tests/agent/probe/probe_testing.h"
#include "tests/agent/probe/relocation_corpus.h"

namespace stillframe::probe {
namespace {

constexpr Method kMethods[] = {Method::kCallRetarget, Method::kExactPun, Method::kAlignedStore,
                               Method::kGuarded};
constexpr uint64_t kBlockBytes = 64;
constexpr int kStatesPerSite = 12;
// nopl 0(%rax,%rax): as a jump's displacement it leads some megabytes up.
constexpr std::string_view kFiller = "\x0f\x1f\x44\x00\x00\x0f\x1f\x44\x00\x00"sv;

alignas(64) uint8_t g_buffer[4096];

// Code of one test case: what stands before, at, and behind the site.
struct Case {
  std::string text;
  std::string before;
  std::string site;
  std::string after;  // ends in a return
};

CpuState RandomState(std::mt19937_64& random) {
  CpuState state{};
  for (uint64_t& reg : state.gpr) reg = random();
  const auto buffer = reinterpret_cast<uint64_t>(g_buffer);
  state.gpr[2] &= 15;            // rcx
  state.gpr[3] = buffer;         // rbx
  state.gpr[4] = buffer + 1536;  // rsi
  state.gpr[5] = buffer + 2560;  // rdi
  state.gpr[12] = buffer + 256;
  state.gpr[13] = buffer + 512;
  state.rflags = 0x202 | (random() & kStatusFlags) | (random() % 4 == 0 ? kDirectionFlag : 0);
  state.mxcsr = 0x1F80;
  for (auto& xmm : state.xmm) {
    const uint64_t halves[2] = {random(), random()};
    std::memcpy(xmm, halves, sizeof halves);
  }
  return state;
}

struct Outcome {
  CpuState state{};
  std::vector<uint8_t> memory;
};

Outcome Run(uint64_t code, const CpuState& in, uint64_t seed, uint64_t data) {
  std::mt19937_64 random(seed);
  for (uint8_t& byte : g_buffer) byte = static_cast<uint8_t>(random());
  const uint32_t mxcsr = 0x1F80;
  std::memcpy(g_buffer + 1024, &mxcsr, sizeof mxcsr);
  auto* const page = reinterpret_cast<uint8_t*>(data);
  std::memset(page, 0x5A, 256);
  Outcome outcome;
  asm volatile("fninit");
  RunWithState(&in, &outcome.state, code);
  outcome.memory.assign(g_buffer, g_buffer + sizeof g_buffer);
  outcome.memory.insert(outcome.memory.end(), page, page + 256);
  return outcome;
}

// Blocks of code, one per position in a word, with the case's site at that position.
class Bench {
 public:
  explicit Bench(HitFunction hit = RecordingHit) : installer_(MakeInstaller(hit)) {}

  // `edit` sees each block's site address, to fill in what depends on it.
  void Check(const Case& test, const std::function<std::string(uint64_t, uint64_t)>& edit = {},
             const std::function<void(CpuState&, uint64_t)>& prepare = {}) {
    TestModule module(4096);
    for (uint64_t i = 0; i < 8; ++i) {
      const uint64_t start = SiteOffset(i) - test.before.size();
      const uint64_t site = module.at(SiteOffset(i));
      const std::string bytes = edit ? edit(site, module.data()) : test.site;
      module.Put(start, test.before + bytes + test.after);
    }
    module.Seal();
    for (uint64_t i = 0; i < 8; ++i) {
      for (Method method : kMethods) CheckAt(test, module, SiteOffset(i), method, prepare);
    }
    EXPECT_TRUE(module.IsOriginal()) << test.text;
    EXPECT_EQ(installer_->armed_count(), 0u);
  }

  const std::map<Method, std::map<uint64_t, int>>& exercised() const { return exercised_; }

 private:
  static uint64_t SiteOffset(uint64_t i) { return 256 + i * kBlockBytes * 2 + i; }

  void CheckAt(const Case& test, const TestModule& module, uint64_t offset, Method method,
               const std::function<void(CpuState&, uint64_t)>& prepare) {
    SCOPED_TRACE(test.text + " by " + MethodName(method) + " at " + std::to_string(offset % 8));
    installer_->Only(method);
    const RuntimeAddress site = module.site(offset);
    const auto prepared = installer_->Prepare(site, module.text());
    if (!prepared.ok()) {
      ASSERT_EQ(prepared.status().code(), Code::kUnsafeSite) << prepared.status().ToString();
      return;
    }
    ASSERT_EQ(prepared->method, method);
    const uint64_t code = module.at(offset - test.before.size());
    std::mt19937_64 random(offset * 31 + static_cast<uint64_t>(method));
    for (int round = 0; round < kStatesPerSite; ++round) {
      CpuState in = RandomState(random);
      if (prepare) prepare(in, code);
      const uint64_t seed = random();
      const Outcome expected = Run(code, in, seed, module.data());
      const Status armed = installer_->Arm(site);
      ASSERT_TRUE(armed.ok()) << armed.ToString();
      const uint64_t hits = g_hits.Count();
      const Outcome actual = Run(code, in, seed, module.data());
      const Status disarmed = installer_->Disarm(site);
      ASSERT_TRUE(disarmed.ok()) << disarmed.ToString();
      ASSERT_EQ(g_hits.Count(), hits + 1);
      Compare(expected, actual);
      if (test.before.empty()) CompareHit(in, expected, site, *prepared);
      if (::testing::Test::HasFailure()) return;
    }
    ++exercised_[method][offset % 8];
  }

  static void Compare(const Outcome& expected, const Outcome& actual) {
    for (int i = 0; i < 16; ++i) {
      EXPECT_EQ(expected.state.gpr[i], actual.state.gpr[i]) << "register " << i;
      EXPECT_EQ(std::memcmp(expected.state.xmm[i], actual.state.xmm[i], 16), 0) << "xmm" << i;
    }
    EXPECT_EQ(expected.state.rflags, actual.state.rflags);
    EXPECT_EQ(expected.state.mxcsr, actual.state.mxcsr);
    EXPECT_TRUE(expected.memory == actual.memory);
  }

  static void CompareHit(const CpuState& in, const Outcome& outcome, RuntimeAddress site,
                         const InstalledSite& installed) {
    const RegisterFile& seen = g_hits.registers;
    for (int i = 0; i < 16; ++i) {
      // The harness's call pushed a return address below the rsp that it stores afterwards.
      if (i == 7) continue;
      EXPECT_EQ(seen.gpr[i], in.gpr[i]) << "register " << i;
    }
    EXPECT_EQ(seen.gpr[7], outcome.state.gpr[7] - 8);
    EXPECT_EQ(seen.rip, site.value);
    const uint64_t flags = kStatusFlags | kDirectionFlag;
    EXPECT_EQ(seen.rflags & flags, in.rflags & flags);
    EXPECT_EQ(g_hits.runtime, installed.runtime);
    EXPECT_EQ(g_hits.entry_flags & kDirectionFlag, 0u) << "psABI: DF is clear on entry";
    const uint64_t used = seen.gpr[7] - reinterpret_cast<uint64_t>(g_hits.entry_rsp);
    EXPECT_LE(used, 350u + 256u) << "the trampoline and this hit's own frame";
  }

  std::unique_ptr<Installer> installer_;
  std::map<Method, std::map<uint64_t, int>> exercised_;
};

std::string Str(std::string_view view) { return std::string(view); }

std::string Little32(uint64_t value) {
  std::string bytes(4, '\0');
  std::memcpy(bytes.data(), &value, 4);
  return bytes;
}

TEST(Relocation, CorpusRunsAlikeByEveryMethod) {
  Bench bench;
  for (const CorpusEntry& entry : kCorpus) {
    bench.Check({Str(entry.text), "", Str(entry.bytes), Str(kFiller) + "\xC3"});
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
  for (const auto& [method, positions] : bench.exercised()) {
    for (const auto& [position, count] : positions) {
      std::printf("  %-14s at %lu mod 8: %d instructions\n", MethodName(method), position, count);
    }
  }
  EXPECT_EQ(bench.exercised().at(Method::kExactPun).size(), 8u);
  EXPECT_EQ(bench.exercised().at(Method::kAlignedStore).size(), 8u);
  EXPECT_GE(bench.exercised().at(Method::kGuarded).size(), 3u);
}

TEST(Relocation, RipRelativeOperandsKeepTheirTarget) {
  Bench bench;
  struct Form {
    const char* text;
    std::string head;
    std::string tail;  // immediate
  };
  const Form forms[] = {
      {"mov rax, [rip+x]", "\x48\x8B\x05", ""},
      {"lea rdx, [rip+x]", "\x48\x8D\x15", ""},
      {"mov [rip+x], ecx", "\x89\x0D", ""},
      {"mov dword [rip+x], imm32", "\xC7\x05", "\x78\x56\x34\x12"},
      {"cmp byte [rip+x], imm8", "\x80\x3D", "\x5A"},
      {"add qword [rip+x], imm8", "\x48\x83\x05", "\x07"},
      {"test dword [rip+x], imm32", "\xF7\x05", "\x01\x02\x03\x04"},
      {"movups xmm0, [rip+x]", "\x0F\x10\x05", ""},
      {"vaddps xmm0, xmm1, [rip+x]", "\xC5\xF0\x58\x05", ""},
      {"pshufd xmm1, [rip+x], imm8", "\x66\x0F\x70\x0D", "\x1B"},
      {"push [rip+x]; pop rax", "\xFF\x35", ""},
  };
  for (const Form& form : forms) {
    const std::string after = form.head == "\xFF\x35" ? "\x58" : "";
    bench.Check({form.text, "", "", after + Str(kFiller) + "\xC3"},
                [&](uint64_t site, uint64_t data) {
                  const uint64_t end = site + form.head.size() + 4 + form.tail.size();
                  return form.head + Little32(data + 64 - end) + form.tail;
                });
    if (HasFailure()) return;
  }
}

// Taken, the branch skips an increment of r15 and lands on the return.
TEST(Relocation, BranchesGoWhereTheyWent) {
  Bench bench;
  const std::string increment = "\x49\xFF\xC7";
  for (int condition = 0; condition < 16; ++condition) {
    const std::string short_form = {static_cast<char>(0x70 + condition), 13};
    bench.Check({"jcc rel8", "", short_form, Str(kFiller) + increment + "\xC3"});
    const std::string near_form = {0x0F, static_cast<char>(0x80 + condition), 13, 0, 0, 0};
    bench.Check({"jcc rel32", "", near_form, Str(kFiller) + increment + "\xC3"});
  }
  for (int loop = 0xE0; loop <= 0xE3; ++loop) {
    const std::string form = {static_cast<char>(loop), 13};
    bench.Check({"loop", "", form, Str(kFiller) + increment + "\xC3"});
    bench.Check({"loop by ecx", "", "\x67" + form, Str(kFiller) + increment + "\xC3"});
  }
  bench.Check({"jmp rel8", "", Str("\xEB\x0D"sv), Str(kFiller) + increment + "\xC3"});
  bench.Check({"jmp rel32", "", Str("\xE9\x0D\x00\x00\x00"sv), Str(kFiller) + increment + "\xC3"});
  bench.Check(
      {"bnd jmp", "", Str("\xF2\xE9\x0D\x00\x00\x00"sv), Str(kFiller) + increment + "\xC3"});
}

// The callee keeps the return address that it sees in r14 and counts itself in r15.
constexpr std::string_view kCallee = "\x4C\x8B\x34\x24\x49\xFF\xC7\xC3"sv;

TEST(Relocation, CallsReturnToTheirOwnSite) {
  Bench bench;
  const std::string callee = Str(kCallee);
  const std::string after = Str(kFiller) + "\xC3" + callee;
  const std::string direct = Str("\xE8\x0B\x00\x00\x00"sv);
  bench.Check({"call rel32", "", direct, after});
  bench.Check({"addr32 call rel32", "", "\x67" + direct, after});
  EXPECT_EQ(bench.exercised().at(Method::kCallRetarget).size(), 8u);
}

TEST(Relocation, IndirectCallsReturnToTheirOwnSite) {
  Bench bench;
  const std::string after = Str(kFiller) + "\xC3" + Str(kCallee);
  struct Form {
    const char* text;
    std::string before;
    std::string site;
    std::string cleanup;
  };
  const Form forms[] = {
      {"call r11", "", "\x41\xFF\xD3", ""},
      {"call [rsp]", "\x41\x53", "\xFF\x14\x24", "\x58"},
      {"call [rsp+8]", "\x41\x53\x41\x53", "\xFF\x54\x24\x08", "\x58\x58"},
      {"call [rbx+16]", "\x4C\x89\x5B\x10", "\xFF\x53\x10", ""},
      {"call [rbx+rcx*8+16]", "\x4C\x89\x5C\xCB\x10", "\xFF\x54\xCB\x10", ""},
      // Not what a compiler writes, but a call reads its target before it pushes.
      {"call [rsp-8]", "\x4C\x89\x5C\x24\xF8", "\xFF\x54\x24\xF8", ""},
  };
  for (const Form& form : forms) {
    const std::string tail = form.cleanup + after;
    const uint64_t callee = form.before.size() + form.site.size() + tail.size() - kCallee.size();
    bench.Check({form.text, form.before, form.site, tail}, {},
                [&](CpuState& state, uint64_t code) { state.gpr[11] = code + callee; });
    if (HasFailure()) return;
  }
}

TEST(Relocation, IndirectJumps) {
  Bench bench;
  const std::string increment = "\x49\xFF\xC7";
  bench.Check({"jmp r11", "", "\x41\xFF\xE3", Str(kFiller) + increment + "\xC3"}, {},
              [&](CpuState& state, uint64_t code) { state.gpr[11] = code + 3 + 13; });
}

// Values below rsp survive (psABI §3.2.2).
TEST(Relocation, RedZoneIsKept) {
  Bench bench;
  std::string before = "\x48\x89\x44\x24\xF8";  // mov [rsp-8], rax
  before += "\x48\x89\x54\x24\x80";             // mov [rsp-128], rdx
  std::string after = Str(kFiller);
  after += "\x4C\x8B\x74\x24\xF8";      // mov r14, [rsp-8]
  after += "\x4C\x8B\x7C\x24\x80\xC3";  // mov r15, [rsp-128]; ret
  bench.Check({"mov ecx, edx", before, "\x89\xD1", after});
  bench.Check({"add rcx, imm32", before, Str("\x48\x81\xC1\x01\x02\x03\x04"sv), after});
}

// Its return address is what the kernel stores in rcx: moved, the instruction would tell.
TEST(Relocation, SystemCallsAreRefused) {
  auto installer = MakeInstaller();
  TestModule module(4096);
  // mov eax, 39 (getpid); syscall; nop...; ret
  module.Put(64, "\xB8\x27\x00\x00\x00\x0F\x05\x0F\x1F\x44\x00\x00\xC3"sv);
  module.Seal();
  EXPECT_EQ(PrepareAndArm(*installer, module.site(69), module.text()).code(), Code::kUnsafeSite);
  EXPECT_EQ(module.Call(64), static_cast<uint64_t>(getpid()));
  EXPECT_TRUE(module.IsOriginal());
}

}  // namespace
}  // namespace stillframe::probe
