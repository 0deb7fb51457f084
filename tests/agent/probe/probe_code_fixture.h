// One site with code for one probe, run on a stack and over memory that are known.
#ifndef STILLFRAME_TESTS_AGENT_PROBE_PROBE_CODE_FIXTURE_H_
#define STILLFRAME_TESTS_AGENT_PROBE_PROBE_CODE_FIXTURE_H_

#include "agent/hit/interpreter.h"
#include "tests/agent/probe/cpu_state.h"
#include "tests/agent/probe/probe_testing.h"

namespace stillframe::probe::code_test {

inline constexpr uint64_t kTicksPerSecond = 2'000'000'000;
inline constexpr uint64_t kBufferBytes = 4096;
alignas(4096) inline uint8_t g_buffer[kBufferBytes];
inline constexpr uint64_t kStackBytes = 32 * 1024;
alignas(4096) inline uint8_t g_stack[kStackBytes];
inline constexpr uint64_t kFrameAt = kStackBytes - 4096;  // what the programs read lies above it
inline uint64_t g_slow = 0;

SF_TEST_GENERAL_REGS inline void SlowHit(hit::SiteRuntime* runtime, void* registers) {
  ++g_slow;
  hit::stillframe_hit(runtime, static_cast<RegisterFile*>(registers));
}

inline Insn I(Op op, int64_t imm = 0, uint8_t a = 0, uint8_t b = 0) {
  return MakeInsn(op, imm, a, b);
}

// Memory as the interpreter may see it: the buffer and the caller's stack.
struct Memory {
  uint64_t stack_low;
  uint64_t stack_high;
  static bool Read(void* self, uint64_t address, void* out, uint32_t size) {
    const auto* memory = static_cast<Memory*>(self);
    const auto buffer = reinterpret_cast<uint64_t>(g_buffer);
    const bool in_buffer = address - buffer <= kBufferBytes - size;
    const bool on_stack =
        address - memory->stack_low <= memory->stack_high - memory->stack_low - size;
    if (!in_buffer && !on_stack) return false;
    std::memcpy(out, reinterpret_cast<const void*>(address), size);
    return true;
  }
};

// A thread remembers two ranges of memory. A sanitizer's allocator has a mapping for each size, so
// that objects of the heap lie in more, and the hit path is asked again and again: the results must
// be the same, that they are had without it cannot be expected.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kOneHeap = false;
#else
inline constexpr bool kOneHeap = true;
#endif

// One site whose instruction does nothing, and one probe on it that only counts.
class ProbeCodeTest : public ::testing::Test {
 protected:
  ProbeCodeTest() : module_(4096), installer_(MakeInstaller(SlowHit)) {
    // On a stack of its own, whose content above the site's frame stays as it is:
    //   mov [data], rsp; mov rsp, [data+8]; (site) nop; mov rsp, [data]; ret
    const auto relative = [&](uint64_t offset_after, uint64_t data) {
      const auto distance = static_cast<uint32_t>(module_.data() + data - module_.at(offset_after));
      std::string bytes(4, '\0');
      std::memcpy(bytes.data(), &distance, 4);
      return bytes;
    };
    module_.Put(50, "\x48\x89\x25" + relative(57, 0) + "\x48\x8B\x25" + relative(64, 8) +
                        std::string("\x0f\x1f\x44\x00\x00\x48\x8B\x25", 8) + relative(76, 0) +
                        "\xC3");
    module_.Seal();
    rsp_ = reinterpret_cast<uint64_t>(g_stack) + kFrameAt;
    std::memcpy(reinterpret_cast<void*>(module_.data() + 8), &rsp_, 8);
    EXPECT_TRUE(hit::Initialize({kTicksPerSecond, 0, 0}).ok());
    EXPECT_TRUE(hit::PrepareStreams().ok());
    auto prepared = installer_->Prepare(module_.site(64), module_.text());
    EXPECT_TRUE(prepared.ok()) << prepared.status().ToString();
    site_ = prepared->runtime;
    rules_[1].cfa_kind = CfaKind::kRegisterOffset;
    rules_[1].cfa_register = 7;
    rules_[1].cfa_offset = 8;
    unwind_ = {module_.at(0), module_.at(4096), 0, module_.at(0), pcs_, rows_, rules_, 1, 2};
    hit::PublishUnwindModules(&unwind_modules_);
    probe_.action = hit::Action::kCount;
    list_.count = 1;
    list_.entries[0] = {&probe_, 0};
    probe_.sites = &plan_;
    EXPECT_TRUE(hit::SetGuardedReads(true).ok());
    EXPECT_TRUE(installer_->Arm(module_.site(64)).ok());
    // The first hit of a thread goes the full way, which meets it.
    const CpuState in{};
    CpuState out{};
    RunWithState(&in, &out, module_.at(50));
  }
  ~ProbeCodeTest() override {
    site_->entry.store(site_->full_entry);
    site_->list.store(nullptr);
    EXPECT_TRUE(installer_->Disarm(module_.site(64)).ok());
    EXPECT_TRUE(hit::WaitForQuiescence(1000));
    hit::PublishUnwindModules(nullptr);
    EXPECT_TRUE(hit::SetGuardedReads(false).ok());
  }

  // Some registers point into the buffer, as those of real code point to objects.
  static CpuState RandomState(std::mt19937_64& random) {
    CpuState state{};
    for (auto& reg : state.gpr) {
      switch (random() % 4) {
        case 0:
          reg = random();
          break;
        case 1:
          reg = random() % 64;
          break;
        default:
          reg = reinterpret_cast<uint64_t>(g_buffer) + random() % (kBufferBytes - 64) / 8 * 8;
      }
    }
    state.rflags = 0x202 | (random() & kStatusFlags);
    state.mxcsr = 0x1F80;
    return state;
  }

  // False: it cannot be compiled.
  bool Compile(std::vector<Insn> code, const std::vector<hit::StringRef>& strings = {}) {
    site_->entry.store(site_->full_entry);
    EXPECT_TRUE(hit::WaitForQuiescence(1000));
    if (block_ != 0) installer_->FreeProbeCode(block_);
    block_ = 0;
    code_ = std::move(code);
    strings_ = strings;
    plan_.condition = {0, static_cast<uint32_t>(code_.size())};
    probe_.unit.code = code_.data();
    probe_.unit.strings = strings_.data();
    site_->list.store(&list_);
    ProbeCodeSpec spec;
    spec.condition = code_;
    spec.strings = strings_.data();
    spec.cfa = {true, 7, 8};
    spec.first_counter = reinterpret_cast<uint64_t>(&probe_.shards->count[0]);
    spec.action = hit::Action::kCount;
    auto block = installer_->PlaceProbeCode(module_.site(64), spec);
    if (!block.ok()) {
      EXPECT_EQ(block.status().code(), Code::kUnsupported) << block.status().ToString();
      return false;
    }
    block_ = *block;
    site_->entry.store(block_);
    return true;
  }

  // Runs the site and compares with the interpreter. True when the compiled code decided.
  bool Check(const CpuState& in) {
    RegisterFile registers{};
    std::memcpy(registers.gpr, in.gpr, sizeof in.gpr);
    registers.gpr[7] = rsp_;
    Memory memory{rsp_ - 128, rsp_ + 4096};
    hit::FrameContext frame{};
    frame.registers = registers.gpr;
    frame.valid_registers = 0xffff;
    frame.cfa_known = 1;
    frame.cfa = rsp_ + 8;
    const hit::EvalResult expected =
        hit::Evaluate(code_.data(), static_cast<uint32_t>(code_.size()), frame,
                      {&Memory::Read, &memory}, strings_.data());
    const hit::CounterSums before = hit::SumCounters(probe_);
    const uint64_t slow = g_slow;
    CpuState out{};
    RunWithState(&in, &out, module_.at(50));
    const hit::CounterSums after = hit::SumCounters(probe_);
    hit::Counter outcome = hit::kConditionError;
    if (expected.error == Code::kOk) {
      outcome = expected.value != 0 ? hit::kCaptured : hit::kConditionFalse;
    }
    // The program may read what only the hit path finds readable; then either answer is right.
    const bool unreadable = expected.error == Code::kUnreadable;
    EXPECT_EQ(after.count[hit::kHits], before.count[hit::kHits] + 1);
    if (!unreadable) {
      EXPECT_EQ(after.count[outcome], before.count[outcome] + 1)
          << outcome << " value " << expected.value << " error " << static_cast<int>(expected.error)
          << " slow " << g_slow - slow;
    }
    for (int i = 0; i < 16; ++i) {
      if (i == 7) continue;
      EXPECT_EQ(out.gpr[i], in.gpr[i]) << "register " << i;
    }
    EXPECT_EQ(out.rflags & kStatusFlags, in.rflags & kStatusFlags);
    return g_slow == slow;
  }

  TestModule module_;
  std::unique_ptr<Installer> installer_;
  const uint32_t pcs_[1] = {0};
  const uint16_t rows_[1] = {1};
  UnwindRule rules_[2];
  hit::UnwindModule unwind_{};
  hit::UnwindModules unwind_modules_{1, &unwind_};
  hit::SiteRuntime* site_ = nullptr;
  hit::ProbeRuntime probe_;
  hit::SiteProbeList list_{};
  SitePlan plan_;
  std::vector<Insn> code_;
  std::vector<hit::StringRef> strings_;
  uint64_t block_ = 0;
  uint64_t rsp_ = 0;
};

}  // namespace stillframe::probe::code_test

#endif  // STILLFRAME_TESTS_AGENT_PROBE_PROBE_CODE_FIXTURE_H_
