// A trampoline disturbs nothing: the whole state of the processor, errno and the stack are
// bit-identical with the probe and without it, at every kind of site, by every method, at every
// position in a word, whatever the hit does.
#include <cerrno>
#include <chrono>
#include <map>

#include "tests/agent/probe/hit_kinds.h"
#include "tests/agent/probe/machine_run.h"
#include "tests/agent/probe/site_shapes.h"

namespace stillframe::probe {
namespace {

constexpr Method kMethods[] = {Method::kCallRetarget, Method::kExactPun, Method::kAlignedStore,
                               Method::kGuarded};
constexpr uint64_t kBlockStride = 256;
constexpr uint32_t kStatesPerVisit = 32;
constexpr uint64_t kStackBytes = 16384;
constexpr uint64_t kStackTop = 12288;  // where rsp is, give or take
constexpr uint64_t kSeenBelow = 128;   // the red zone
constexpr uint64_t kSeenAbove = 256;

struct Outcome {
  MachineState state{};
  int error_number = 0;
  uint8_t stack[kSeenBelow + kSeenAbove] = {};
  uint8_t data[512] = {};
};

class StateBench {
 public:
  explicit StateBench(HitKind kind) : hit_(kind) {
    for (const Method method : kMethods) AddModule(method);
  }

  // kStatesPerVisit states at each site in turn; until `end`, at least once.
  void Run(std::chrono::steady_clock::time_point end) {
    uint64_t round = 0;
    do {
      for (const Block& block : blocks_) {
        Visit(block, ++round);
        if (testing::Test::HasFailure()) return;
      }
    } while (std::chrono::steady_clock::now() < end);
    for (const TestModule& module : modules_) EXPECT_TRUE(module.IsOriginal());
    if (hit_.probe() != nullptr) hit::ExpectAccounted(hit_.probe()->Sums());
  }

  uint64_t states() const { return states_; }
  // (shape, method) -> bit set of positions
  const std::map<std::pair<std::string, Method>, uint8_t>& visited() const { return visited_; }

 private:
  struct Block {
    const SiteShape* shape;
    const TestModule* module;
    Method method;
    uint64_t offset;
    uint64_t position;
  };

  // A module of its own for each method: a site keeps the trampoline that it once had.
  void AddModule(Method method) {
    hit_.installer().Only(method);
    TestModule& module = modules_.emplace_back(65536);
    std::vector<Block> blocks;
    for (const SiteShape& shape : shapes_) {
      for (uint64_t position = 0; position < 8; ++position) {
        const uint64_t offset = 1024 + blocks.size() * kBlockStride + position;
        module.Put(offset, ShapeCode(shape, module.at(offset), module.data()));
        blocks.push_back({&shape, &module, method, offset, position});
      }
    }
    module.Seal();
    for (const Block& block : blocks) {
      if (hit_.Prepare(module.site(block.offset), module.text()).ok()) blocks_.push_back(block);
    }
  }

  void Visit(const Block& block, uint64_t seed) {
    SCOPED_TRACE(block.shape->text + " by " + MethodName(block.method) + " at " +
                 std::to_string(block.position) + " mod 8, " + HitKindName(hit_.kind()));
    const RuntimeAddress site = block.module->site(block.offset);
    for (uint32_t i = 0; i < kStatesPerVisit; ++i) RunOnce(block, seed, i, expected_[i]);
    const Status armed = hit_.installer().Arm(site);
    ASSERT_TRUE(armed.ok()) << armed.ToString();
    const uint64_t hits = hit_.Hits();
    for (uint32_t i = 0; i < kStatesPerVisit; ++i) {
      RunOnce(block, seed, i, actual_);
      Compare(*block.shape, expected_[i], actual_);
      hit_.Drain();
    }
    EXPECT_EQ(hit_.Hits(), hits + (hit_.Counts() ? kStatesPerVisit : 0));
    ASSERT_TRUE(hit_.installer().Disarm(site).ok());
    states_ += kStatesPerVisit;
    visited_[{block.shape->text, block.method}] |= static_cast<uint8_t>(1u << block.position);
  }

  void RunOnce(const Block& block, uint64_t seed, uint32_t index, Outcome& out) {
    const SiteShape& shape = *block.shape;
    FastRandom random(seed * kStatesPerVisit + index);
    RandomizeState(random, in_, true);
    // Mostly what the ABI asks for or eight bytes off it; any byte now and then.
    uint64_t rsp = reinterpret_cast<uint64_t>(stack_) + kStackTop - 8 * random.Below(64);
    if (random.OneIn(8)) rsp -= random.Below(8);
    in_.gpr[kStateRsp] = rsp;
    if (random.OneIn(2)) in_.gpr[2] = random.Below(3);  // rcx: loops that end
    const uint64_t code = block.module->at(block.offset);
    const uint64_t target = code + kShapeTarget;
    auto* const data = reinterpret_cast<uint8_t*>(block.module->data());
    random.Fill(data, sizeof out.data);
    random.Fill(reinterpret_cast<uint8_t*>(rsp) - kSeenBelow, kSeenBelow + kSeenAbove);
    if (shape.target_in == TargetIn::kR11) in_.gpr[kStateR11] = target;
    if (shape.target_in == TargetIn::kMemory) {
      in_.gpr[kStateRbx] = block.module->data();
      std::memcpy(data + 0x140, &target, sizeof target);
    }
    if (shape.target_in == TargetIn::kStackTop) {
      std::memcpy(reinterpret_cast<void*>(rsp), &target, sizeof target);
    }
    errno = static_cast<int>(random.Below(1000));
    const MachineFault fault = RunMachine(in_, out.state, code);
    out.error_number = errno;
    ASSERT_EQ(fault.signal, 0) << "at " << std::hex << fault.rip;
    std::memcpy(out.stack, reinterpret_cast<uint8_t*>(rsp) - kSeenBelow, sizeof out.stack);
    std::memcpy(out.data, data, sizeof out.data);
  }

  static void Compare(const SiteShape& shape, const Outcome& expected, const Outcome& actual) {
    if (!SameState(expected.state, actual.state)) {
      ADD_FAILURE() << DescribeDifference(expected.state, actual.state);
    }
    EXPECT_EQ(expected.error_number, actual.error_number);
    const uint64_t dead = shape.is_call ? kSeenBelow - 8 : 0;
    EXPECT_EQ(std::memcmp(expected.stack + dead, actual.stack + dead, sizeof actual.stack - dead),
              0)
        << "the stack from the red zone up";
    EXPECT_EQ(std::memcmp(expected.data, actual.data, sizeof actual.data), 0);
  }

  KindOfHit hit_;
  const std::vector<SiteShape> shapes_ = SiteShapes();
  std::deque<TestModule> modules_;
  std::vector<Block> blocks_;
  std::map<std::pair<std::string, Method>, uint8_t> visited_;
  uint64_t states_ = 0;
  MachineState in_{};
  Outcome actual_;
  std::vector<Outcome> expected_{kStatesPerVisit};
  alignas(64) uint8_t stack_[kStackBytes];
};

void PrintVisited(const StateBench& bench) {
  std::map<Method, std::pair<int, int>> sums;
  for (const auto& [key, positions] : bench.visited()) {
    ++sums[key.second].first;
    sums[key.second].second += __builtin_popcount(positions);
  }
  for (const auto& [method, sum] : sums) {
    std::printf("    %-14s %2d shapes, %3d (shape, position) pairs\n", MethodName(method),
                sum.first, sum.second);
  }
}

TEST(TrampolineState, IsBitIdenticalAtEveryKindOfSite) {
  std::string why_not;
  if (!StartMachine(&why_not)) GTEST_SKIP() << why_not;
  const char* const text = getenv("STILLFRAME_STATE_SECONDS");
  const double seconds = text == nullptr ? 10 : atof(text);
  uint64_t states = 0;
  for (const HitKind kind : kHitKinds) {
    // The bench is large and lives long enough for threads to be nowhere in its trampolines.
    auto bench = std::make_unique<StateBench>(kind);
    bench->Run(std::chrono::steady_clock::now() + std::chrono::milliseconds(static_cast<int64_t>(
                                                      1000 * seconds / std::size(kHitKinds))));
    if (HasFailure()) return;
    std::printf("  %-16s %8lu states, image of %u bytes\n", HitKindName(kind), bench->states(),
                Machine().xsave_bytes);
    if (kind == HitKind::kEmpty) PrintVisited(*bench);
    std::map<Method, int> shapes;
    for (const auto& [key, positions] : bench->visited()) {
      ++shapes[key.second];
      if (key.second == Method::kExactPun || key.second == Method::kCallRetarget) {
        // A padded call cannot begin with the last byte of a word.
        const bool may_pad = key.first == "call [rbx+0x140]";
        const int padded = key.second == Method::kCallRetarget ? 0x7F : 0x80;
        EXPECT_EQ(positions, may_pad ? padded : 0xFF)
            << key.first << " by " << MethodName(key.second);
      }
    }
    EXPECT_EQ(shapes[Method::kCallRetarget], 2);
    EXPECT_GE(shapes[Method::kExactPun], 10);
    EXPECT_GE(shapes[Method::kAlignedStore], 10);
    EXPECT_GE(shapes[Method::kGuarded], 5);
    states += bench->states();
  }
  std::printf("  %lu states in all\n", states);
}

// Hits that break their contract, one register each.
#define SF_BAD_HIT(name, instructions)                         \
  __attribute__((naked)) void name(hit::SiteRuntime*, void*) { \
    asm volatile(instructions "\n\tret");                      \
  }
SF_BAD_HIT(HitChangingXmm, "pxor %xmm3, %xmm3")
SF_BAD_HIT(HitChangingMxcsr, "pushq $0x1f80\n\tldmxcsr (%rsp)\n\tpopq %rax")
SF_BAD_HIT(HitChangingX87, "fninit")
SF_BAD_HIT(HitChangingRbp, "incq %rbp")
SF_BAD_HIT(HitChangingUpperHalves, "vzeroupper")
#undef SF_BAD_HIT

TEST(TrampolineState, DamageWouldBeSeen) {
  std::string why_not;
  if (!StartMachine(&why_not)) GTEST_SKIP() << why_not;
  const SiteShape shape = SiteShapes().front();
  alignas(64) static uint8_t stack[kStackBytes];
  for (const HitFunction hit : {&HitChangingXmm, &HitChangingMxcsr, &HitChangingX87,
                                &HitChangingRbp, &HitChangingUpperHalves, &EmptyHit}) {
    auto installer = MakeInstaller(hit);
    TestModule module(4096);
    module.Put(64, ShapeCode(shape, module.at(64), module.data()));
    module.Seal();
    MachineState in{}, expected{}, actual{};
    FastRandom random(5);
    RandomizeState(random, in, true);
    in.gpr[kStateRsp] = reinterpret_cast<uint64_t>(stack) + kStackTop;
    ASSERT_EQ(RunMachine(in, expected, module.at(64)).signal, 0);
    ASSERT_TRUE(PrepareAndArm(*installer, module.site(64), module.text()).ok());
    ASSERT_EQ(RunMachine(in, actual, module.at(64)).signal, 0);
    EXPECT_EQ(SameState(expected, actual), hit == &EmptyHit);
  }
}

}  // namespace
}  // namespace stillframe::probe
