// Compiled conditions decide as the interpreter does, disturb nothing, and leave to the hit path
// what they cannot do. Random programs over random registers; the interpreter is the oracle.
#include <cmath>
#include <random>

#include "tests/agent/probe/program_generator.h"

namespace stillframe::probe {
namespace {

using namespace code_test;

TEST_F(ProbeCodeTest, RandomProgramsDecideAsTheInterpreterDoes) {
  std::mt19937_64 random(7);
  for (uint8_t& byte : g_buffer) byte = static_cast<uint8_t>(random());
  for (uint8_t& byte : g_stack) byte = static_cast<uint8_t>(random());
  for (size_t i = 0; i < kBufferBytes / 8; i += 2) {  // pointers to follow
    const uint64_t pointer = reinterpret_cast<uint64_t>(g_buffer) + random() % 4088;
    std::memcpy(g_buffer + i * 8, &pointer, 8);
  }
  const char* const rounds = std::getenv("STILLFRAME_FUZZ_ROUNDS");
  const int programs = rounds != nullptr ? std::atoi(rounds) : 4000;
  int compiled = 0, fast = 0, runs = 0;
  for (int i = 0; i < programs && !HasFailure(); ++i) {
    Generator generator(static_cast<uint64_t>(i) + 100);
    if (!Compile(generator.Make())) continue;
    ++compiled;
    for (int state = 0; state < 8 && !HasFailure(); ++state) {
      ++runs;
      fast += Check(RandomState(random)) ? 1 : 0;
    }
    if (HasFailure()) {
      for (const Insn& insn : code_) {
        std::printf("op %d a %d b %d imm %ld\n", static_cast<int>(insn.op), insn.a, insn.b,
                    insn.imm);
      }
    }
  }
  std::printf("  %d of %d programs compiled; %d of %d hits decided without the hit path\n",
              compiled, programs, fast, runs);
  EXPECT_GT(compiled, programs / 2);
  EXPECT_GT(fast, runs / 4);
}

CpuState StateWith(uint8_t dwarf_register, const void* pointer) {
  std::mt19937_64 random(3);
  CpuState state{};
  for (auto& reg : state.gpr) reg = random();
  state.gpr[dwarf_register] = reinterpret_cast<uint64_t>(pointer);
  state.rflags = 0x202;
  state.mxcsr = 0x1F80;
  return state;
}

TEST_F(ProbeCodeTest, StringsAreComparedInPieces) {
  for (size_t length : {0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32}) {
    const std::string literal = std::string("a text that is long enough to cut").substr(0, length);
    const std::vector<Insn> code = {
        I(Op::kRegister, 0, 3), I(Op::kLoad, 0, 8),  I(Op::kRegister, 0, 3), I(Op::kAddImm, 8),
        I(Op::kLoad, 0, 8),     I(Op::kStringEq, 0), I(Op::kReturn)};
    ASSERT_TRUE(Compile(code, {{literal.data(), literal.size()}}));
    std::string equal = literal;
    std::string other = literal + "x";
    ASSERT_TRUE(hit::SetGuardedReads(false).ok());
    ASSERT_TRUE(hit::SetGuardedReads(true).ok());  // looks at the maps again: the heap has grown
    (void)Check(StateWith(3, &equal));             // the thread learns its ranges
    EXPECT_TRUE(Check(StateWith(3, &equal)) || !kOneHeap);
    EXPECT_TRUE(Check(StateWith(3, &other)) || !kOneHeap);
    for (size_t i = 0; i < length; ++i) {
      std::string wrong = literal;
      wrong[i] = '#';
      EXPECT_TRUE(Check(StateWith(3, &wrong)) || !kOneHeap) << i;
    }
  }
}

TEST_F(ProbeCodeTest, DoublesCompareAsDoubles) {
  const double values[] = {0.0,   -0.0,   1.0,    -1.0,     100.0,     99.99,
                           1e300, -1e300, 5e-324, HUGE_VAL, -HUGE_VAL, NAN};
  for (const Op op : {Op::kFEq, Op::kFNe, Op::kFLt, Op::kFLe}) {
    ASSERT_TRUE(Compile({I(Op::kRegister, 0, 3), I(Op::kRegister, 0, 0), I(op), I(Op::kReturn)}));
    for (const double left : values) {
      for (const double right : values) {
        CpuState state = StateWith(3, nullptr);
        std::memcpy(&state.gpr[3], &left, 8);
        std::memcpy(&state.gpr[0], &right, 8);
        const bool fast = Check(state);
        EXPECT_EQ(fast, std::isfinite(left) && std::isfinite(right));
      }
    }
    ASSERT_TRUE(Compile(
        {I(Op::kRegister, 0, 3), I(Op::kConst, -7), I(Op::kS64ToF64), I(op), I(Op::kReturn)}));
    for (const double left : {-7.0, -6.5, 7.0}) {
      CpuState state = StateWith(3, nullptr);
      std::memcpy(&state.gpr[3], &left, 8);
      EXPECT_TRUE(Check(state));
    }
  }
}

// Where the thread's ranges are stale, the read faults, and the fault leads to the hit path.
TEST_F(ProbeCodeTest, AFaultLeadsToTheHitPath) {
  void* const page =
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  ASSERT_TRUE(hit::SetGuardedReads(false).ok());
  ASSERT_TRUE(hit::SetGuardedReads(true).ok());  // looks at the maps again
  ASSERT_TRUE(Compile(
      {I(Op::kRegister, 0, 3), I(Op::kLoad, 0, 8), I(Op::kConst, 5), I(Op::kEq), I(Op::kReturn)}));
  const CpuState in = StateWith(3, page);
  CpuState out{};
  for (int i = 0; i < 3; ++i) RunWithState(&in, &out, module_.at(50));
  const uint64_t slow = g_slow;
  const hit::CounterSums before = hit::SumCounters(probe_);
  RunWithState(&in, &out, module_.at(50));
  EXPECT_EQ(g_slow, slow) << "readable: decided by the compiled code";
  ASSERT_EQ(munmap(page, 4096), 0);
  RunWithState(&in, &out, module_.at(50));
  EXPECT_EQ(g_slow, slow + 1);
  const hit::CounterSums after = hit::SumCounters(probe_);
  EXPECT_EQ(after.count[hit::kConditionFalse], before.count[hit::kConditionFalse] + 1);
  EXPECT_EQ(after.count[hit::kConditionError], before.count[hit::kConditionError] + 1);
  EXPECT_EQ(std::memcmp(in.gpr, out.gpr, 7 * 8), 0);
}

// The record of one hit, with the fields that differ from hit to hit made equal.
std::vector<uint8_t> TakeOne() {
  std::vector<uint8_t> out;
  uint64_t abandoned = 0;
  hit::TakeLightRecords(
      100,
      [](void* self, std::span<const uint8_t> record) {
        auto& bytes = *static_cast<std::vector<uint8_t>*>(self);
        EXPECT_TRUE(bytes.empty()) << "one hit, one record";
        bytes.assign(record.begin(), record.end());
      },
      &out, abandoned);
  EXPECT_EQ(abandoned, 0u);
  if (out.size() < sizeof(LightHeader)) return {};
  LightHeader header;
  std::memcpy(&header, out.data(), sizeof header);
  EXPECT_GT(header.ticks, 0u);
  EXPECT_EQ(header.size_bytes, out.size());
  header.ticks = 0;
  header.size_bytes = 0;
  std::memcpy(out.data(), &header, sizeof header);
  return out;
}

// Compiled code and the hit path leave the same record for the same registers and memory.
TEST_F(ProbeCodeTest, LightRecordsAreTheSameEitherWay) {
  struct Object {
    uint8_t byte;
    uint16_t half;
    uint32_t word;
    uint64_t whole;
    std::string text;
  };
  constexpr uint8_t kRbx = 3;
  struct Part {
    LightKind kind;
    uint8_t load_bytes;
    std::vector<Insn> code;
    uint8_t is_reference = 0;
  };
  static const std::string referred = "what a reference refers to";
  static const std::string* const reference = &referred;
  const auto member = [](size_t offset) {
    return std::vector<Insn>{I(Op::kRegister, 0, kRbx),
                             I(Op::kAddImm, static_cast<int64_t>(offset)), I(Op::kReturn)};
  };
  const std::vector<Part> parts = {
      {LightKind::kScalar, 0, {I(Op::kRegister, 0, 0), I(Op::kReturn)}},
      {LightKind::kScalar, 1, member(offsetof(Object, byte))},
      {LightKind::kText, 0, member(offsetof(Object, text))},
      {LightKind::kScalar, 2, member(offsetof(Object, half))},
      {LightKind::kScalar, 4, member(offsetof(Object, word))},
      {LightKind::kXmm, 8, {}},
      {LightKind::kTrace, 0, {}},
      {LightKind::kScalar, 8, member(offsetof(Object, whole))},
      {LightKind::kText, 0, member(offsetof(Object, text))},
      {LightKind::kXmm, 4, {}},
      {LightKind::kText,
       0,
       {I(Op::kModuleAddress, reinterpret_cast<int64_t>(&reference)), I(Op::kReturn)},
       1},
      {LightKind::kScalar,
       8,
       {I(Op::kModuleAddress, reinterpret_cast<int64_t>(&reference)), I(Op::kReturn)},
       1},
  };
  constexpr uint32_t kCapacity = 48;
  std::vector<Insn> code;
  std::vector<LightField> fields;
  LightSite light;
  for (const Part& part : parts) {
    LightField field;
    field.kind = part.kind;
    field.load_bytes = part.load_bytes;
    field.reg = 5;
    field.is_reference = part.is_reference;
    field.offset = light.fixed_bytes;
    field.program = {static_cast<uint32_t>(code.size()), static_cast<uint32_t>(part.code.size())};
    field.size_offset = 8;
    field.text_capacity = part.kind == LightKind::kText ? kCapacity : 0;
    code.insert(code.end(), part.code.begin(), part.code.end());
    light.fixed_bytes += sizeof(LightValue);
    light.max_bytes += sizeof(LightValue) + field.text_capacity;
    fields.push_back(field);
  }
  light.fields = fields.data();
  light.field_count = static_cast<uint32_t>(fields.size());

  probe_.action = hit::Action::kLog;
  probe_.light = &light;
  probe_.probe_id = 77;
  probe_.unit.code = code.data();
  site_->list.store(&list_);
  ProbeCodeSpec spec;
  spec.cfa = {true, 7, 8};
  spec.first_counter = reinterpret_cast<uint64_t>(&probe_.shards->count[0]);
  spec.action = hit::Action::kLog;
  spec.light = &light;
  spec.code = code.data();
  spec.probe_id = 77;
  auto block = installer_->PlaceProbeCode(module_.site(64), spec);
  ASSERT_TRUE(block.ok()) << block.status().ToString();

  hit::SetThreadTraceContext({{1, 2, 3}, {4, 5}, 1, 1, {}});
  std::mt19937_64 random(11);
  auto object = std::make_unique<Object>();
  uint64_t compiled = 0;
  for (int round = 0; round < 2000 && !HasFailure(); ++round) {
    CpuState in = RandomState(random);
    for (auto& xmm : in.xmm) {
      const uint64_t halves[2] = {random(), random()};
      std::memcpy(xmm, halves, sizeof halves);
    }
    object->byte = static_cast<uint8_t>(random());
    object->half = static_cast<uint16_t>(random());
    object->word = static_cast<uint32_t>(random());
    object->whole = random();
    object->text.assign(random() % 80, static_cast<char>('a' + round % 26));
    const bool wild = round % 50 == 49;
    in.gpr[kRbx] = wild ? random() : reinterpret_cast<uint64_t>(object.get());
    if (round % 100 == 0) {
      ASSERT_TRUE(hit::SetGuardedReads(false).ok());
      ASSERT_TRUE(hit::SetGuardedReads(true).ok());
    }
    CpuState out{};
    site_->entry.store(site_->full_entry);
    RunWithState(&in, &out, module_.at(50));
    std::vector<uint8_t> expected = TakeOne();
    site_->entry.store(*block);
    const uint64_t slow = g_slow;
    RunWithState(&in, &out, module_.at(50));
    std::vector<uint8_t> actual = TakeOne();
    compiled += g_slow == slow ? 1 : 0;
    // The hit path leaves room for full texts.
    ASSERT_FALSE(expected.empty());
    ASSERT_LE(actual.size(), expected.size());
    if (g_slow == slow) {
      // Behind a text the last word may hold what stood there in memory.
      size_t at = light.fixed_bytes;
      for (const size_t text : {object->text.size(), object->text.size(), referred.size()}) {
        const size_t shown = std::min<size_t>(text, kCapacity);
        const size_t padded = (shown + 7) & ~size_t{7};
        ASSERT_LE(at + padded, actual.size());
        for (size_t i = shown; i < padded; ++i) actual[at + i] = 0;
        at += padded;
      }
      ASSERT_EQ(actual.size(), at);
    }
    expected.resize(actual.size());
    EXPECT_EQ(actual, expected) << "round " << round;
    for (int i = 0; i < 16; ++i) {
      if (i == 7) continue;
      EXPECT_EQ(out.gpr[i], in.gpr[i]) << "register " << i;
      EXPECT_EQ(std::memcmp(out.xmm[i], in.xmm[i], 16), 0) << "xmm" << i;
    }
  }
  EXPECT_GE(compiled, kOneHeap ? 1500u : 0u);
  EXPECT_EQ(hit::SumCounters(probe_).count[hit::kCaptured], 4000u);
  hit::SetThreadTraceContext({});
}

// Nobody takes what is written: the hits are counted, and the stream goes on afterwards.
TEST_F(ProbeCodeTest, AFullStreamIsCounted) {
  LightSite light;
  probe_.action = hit::Action::kLog;
  probe_.light = &light;
  site_->list.store(&list_);
  ProbeCodeSpec spec;
  spec.first_counter = reinterpret_cast<uint64_t>(&probe_.shards->count[0]);
  spec.action = hit::Action::kLog;
  spec.light = &light;
  auto block = installer_->PlaceProbeCode(module_.site(64), spec);
  ASSERT_TRUE(block.ok()) << block.status().ToString();
  const CpuState in = StateWith(3, nullptr);
  CpuState out{};
  RunWithState(&in, &out, module_.at(50));  // the hit path meets the thread
  site_->entry.store(*block);
  uint64_t taken = 0, abandoned = 0;
  const auto count = [](void* self, std::span<const uint8_t>) { ++*static_cast<uint64_t*>(self); };
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 3000; ++i) RunWithState(&in, &out, module_.at(50));
    hit::TakeLightRecords(100'000, count, &taken, abandoned);
  }
  const hit::CounterSums sums = hit::SumCounters(probe_);
  EXPECT_EQ(sums.count[hit::kCaptured], taken);
  EXPECT_EQ(sums.count[hit::kCaptured] + sums.count[hit::kRingFull], 9001u);
  EXPECT_GT(sums.count[hit::kRingFull], 0u);
  EXPECT_EQ(abandoned, 0u);
}

TEST_F(ProbeCodeTest, WildPointersAreErrors) {
  ASSERT_TRUE(Compile({I(Op::kRegister, 0, 3), I(Op::kLoad, 0, 8), I(Op::kReturn)}));
  for (const uint64_t wild :
       {uint64_t{0}, uint64_t{1}, uint64_t{8}, uint64_t{1} << 63, (uint64_t{1} << 63) + 4,
        ~uint64_t{0}, uint64_t{0xdeadbeef00000000}, uint64_t{0x7ffffffff000}}) {
    const hit::CounterSums before = hit::SumCounters(probe_);
    (void)Check(StateWith(3, reinterpret_cast<const void*>(wild)));
    const hit::CounterSums after = hit::SumCounters(probe_);
    EXPECT_EQ(after.count[hit::kConditionError], before.count[hit::kConditionError] + 1) << wild;
  }
}

}  // namespace
}  // namespace stillframe::probe
