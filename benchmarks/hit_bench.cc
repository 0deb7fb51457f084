// What a hit costs the thread that makes it, without the trampoline (its own cost is in the probe
// benchmark): a false condition, and a capture of 5 frames with 20 variables in thread CPU time.
#include <benchmark/benchmark.h>
#include <time.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/hit/hit.h"
#include "agent/ring/ring.h"
#include "agent/unit_view.h"
#include "plan/plan.h"

namespace stillframe::hit {
namespace {

Insn I(Op op, int64_t imm = 0, uint8_t a = 0, uint8_t b = 0) { return MakeInsn(op, imm, a, b); }

struct Item {
  std::string name;
  int64_t price;
};
struct Order {
  int64_t id;
  std::vector<Item> items;
  std::string customer;
};

// Frames as the unwinder finds them: pushed rbp, return address, `kFrameBytes` apart.
constexpr uint64_t kFrameBytes = 96;
constexpr uint64_t kFakeText = 0x10000000;

struct Fixture {
  PlanUnit unit;
  std::vector<SitePlan> sites{SitePlan{}};
  std::optional<agent::UnitArrays> arrays;
  std::unique_ptr<ProbeRuntime> probe{new ProbeRuntime};
  SiteProbeList list{};
  SiteRuntime site;
  RegisterFile registers{};
  alignas(4096) uint8_t stack[8192] = {};
  Order order{17, {{"keyboard with a long name", 80}, {"mouse", 20}}, "somebody with a long name"};

  // Unwind tables: one rule for all the fake text.
  const uint32_t pcs[1] = {0};
  const uint16_t rows[1] = {1};
  UnwindRule rules[2];
  UnwindModule module{};
  UnwindModules modules{1, &module};

  std::vector<CallerEntry> callers;
  CallerTable caller_table{};

  Fixture() {
    unit.frames.push_back(FramePlan{});
    unit.frames[0].virtual_count = 1;
    unit.virtual_frames.push_back(VirtualFrame{});
    rules[1].cfa_kind = CfaKind::kRegisterOffset;
    rules[1].cfa_register = 7;
    rules[1].cfa_offset = kFrameBytes;
    rules[1].save[1] = SaveKind::kAtCfaOffset;
    rules[1].save_offset[1] = -16;
    module = {kFakeText, kFakeText + 4096, 0, kFakeText, pcs, rows, rules, 1, 2};
    registers.gpr[7] = reinterpret_cast<uint64_t>(stack) + 512;
    registers.rip = kFakeText + 16;
    for (uint64_t i = 0; i < 5; ++i) {
      const uint64_t pc = i == 4 ? 0 : kFakeText + 64 + 16 * i;
      std::memcpy(stack + 512 + kFrameBytes * (i + 1) - 8, &pc, 8);
    }
    PublishUnwindModules(&modules);
  }
  ~Fixture() {
    PublishUnwindModules(nullptr);
    PublishCallers(nullptr);
    WaitForQuiescence(1000);
  }

  Program Code(std::vector<Insn> code) {
    const Program program{static_cast<uint32_t>(unit.code.size()),
                          static_cast<uint32_t>(code.size())};
    unit.code.insert(unit.code.end(), code.begin(), code.end());
    return program;
  }
  TypeId Type(TypeKind kind, uint32_t size_bytes, TypeId target = kVoidType, uint8_t flags = 0) {
    TypeNode node;
    node.kind = kind;
    node.size_bytes = size_bytes;
    node.target = target;
    node.flags = flags;
    unit.types.push_back(node);
    return static_cast<TypeId>(unit.types.size() - 1);
  }
  TypeId WithView(uint32_t size_bytes, const View& view) {
    const TypeId id = Type(TypeKind::kStruct, size_bytes, kVoidType, kFlagNeedsWalk);
    unit.types[id].view = static_cast<uint32_t>(unit.views.size());
    unit.views.push_back(view);
    return id;
  }
  TypeId Struct(uint32_t size_bytes, const std::vector<std::pair<TypeId, uint32_t>>& fields) {
    const TypeId id = Type(TypeKind::kStruct, size_bytes, kVoidType, kFlagNeedsWalk);
    unit.types[id].first_member = static_cast<uint32_t>(unit.members.size());
    unit.types[id].member_count = static_cast<uint32_t>(fields.size());
    for (const auto& [type, offset] : fields) {
      Member member;
      member.type = type;
      member.offset_bytes = offset;
      unit.members.push_back(member);
    }
    return id;
  }
  TypeId OrderType() {
    View string;
    string.kind = ViewKind::kString;
    string.b = 8;
    string.element = Type(TypeKind::kChar, 1);
    const TypeId string_type = WithView(sizeof(std::string), string);
    const TypeId number = Type(TypeKind::kSigned, 8);
    const TypeId item = Struct(sizeof(Item), {{string_type, 0}, {number, sizeof(std::string)}});
    View vector;
    vector.kind = ViewKind::kSequence;
    vector.b = 8;
    vector.element = item;
    const TypeId items = WithView(sizeof(std::vector<Item>), vector);
    return Struct(sizeof(Order), {{number, 0}, {items, 8}, {string_type, 32}});
  }
  void AddVariable(TypeId type, std::vector<Insn> code) {
    Variable variable;
    variable.type = type;
    variable.location.kind = LocationKind::kMemory;
    variable.location.program = Code(std::move(code));
    unit.variables.push_back(variable);
    unit.virtual_frames[0].variable_count = static_cast<uint32_t>(unit.variables.size());
  }
  void Publish() {
    arrays.emplace(unit);
    const UnitView& view = arrays->view();
    probe->unit = view;
    probe->sites = sites.data();
    list.count = 1;
    list.entries[0] = {probe.get(), 0};
    site.list.store(&list);
    callers.assign(16, CallerEntry{});
    caller_table = {15, callers.data()};
    for (uint64_t i = 0; i < 4; ++i) {
      const uint64_t pc = kFakeText + 64 + 16 * i;
      uint32_t at = CallerHash(pc) & 15;
      while (callers[at].return_address != 0) at = (at + 1) & 15;
      callers[at] = {pc, i + 1, 0, 0, view};
    }
    PublishCallers(&caller_table);
  }
};

bool Start() {
  return Initialize(
             {.ticks_per_second = 2'000'000'000, .snapshots_per_second = 0, .cpu_permille = 0})
      .ok();
}

void FalseCondition(benchmark::State& state, Fixture& fixture, std::vector<Insn> condition) {
  if (!Start()) return state.SkipWithError("cannot start");
  fixture.sites[0].condition = fixture.Code(std::move(condition));
  fixture.Publish();
  for (auto _ : state) stillframe_hit(&fixture.site, &fixture.registers);
  const CounterSums sums = SumCounters(*fixture.probe);
  if (sums.count[kHits] != sums.count[kConditionFalse]) state.SkipWithError("not all were false");
}

// number == 7, number in a register
void BM_FalseRegister(benchmark::State& state) {
  Fixture fixture;
  FalseCondition(state, fixture,
                 {I(Op::kRegister, 0, 3), I(Op::kConst, 7), I(Op::kEq), I(Op::kReturn)});
}
BENCHMARK(BM_FalseRegister);

// number == 7, number at the canonical frame address - 40
void BM_FalseStack(benchmark::State& state) {
  Fixture fixture;
  FalseCondition(state, fixture,
                 {I(Op::kCfa), I(Op::kAddImm, -40), I(Op::kLoad, 0, 8, 1), I(Op::kConst, 7),
                  I(Op::kEq), I(Op::kReturn)});
}
BENCHMARK(BM_FalseStack);

// order.items.size() > 3, order a reference held in a register, 40 bytes an element
std::vector<Insn> SizeCondition(const Fixture& fixture) {
  static_assert(sizeof(Item) == 40);
  const auto items = reinterpret_cast<int64_t>(&fixture.order) + 8;
  return {I(Op::kConst, items),  I(Op::kAddImm, 8), I(Op::kLoad, 0, 8, 0), I(Op::kConst, items),
          I(Op::kLoad, 0, 8, 0), I(Op::kSub),       I(Op::kConst, 40),     I(Op::kDivU),
          I(Op::kConst, 3),      I(Op::kSwap),      I(Op::kLtU),           I(Op::kReturn)};
}
void BM_FalseContainerSizeGuarded(benchmark::State& state) {
  const auto fixture = std::make_unique<Fixture>();
  if (!SetGuardedReads(true).ok()) return state.SkipWithError("no guard");
  FalseCondition(state, *fixture, SizeCondition(*fixture));
  if (!SetGuardedReads(false).ok()) state.SkipWithError("guard stays");
}
BENCHMARK(BM_FalseContainerSizeGuarded);

void BM_FalseContainerSizeBySystemCall(benchmark::State& state) {
  const auto fixture = std::make_unique<Fixture>();
  FalseCondition(state, *fixture, SizeCondition(*fixture));
}
BENCHMARK(BM_FalseContainerSizeBySystemCall);

double ThreadSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Five frames with four variables each: two numbers and a string on the stack or the heap, and an
// order (a vector of structs with strings) by address.
void Capture5Frames20Variables(benchmark::State& state, bool guarded) {
  const auto fixture = std::make_unique<Fixture>();
  if (!Start()) return state.SkipWithError("cannot start");
  if (guarded && !SetGuardedReads(true).ok()) return state.SkipWithError("no guard");
  const TypeId order = fixture->OrderType();
  const TypeId number = fixture->Type(TypeKind::kSigned, 8);
  const auto address = reinterpret_cast<int64_t>(&fixture->order);
  for (const int64_t offset : {-40, -48, -56}) {
    fixture->AddVariable(number, {I(Op::kCfa), I(Op::kAddImm, offset), I(Op::kReturn)});
  }
  fixture->AddVariable(order, {I(Op::kConst, address), I(Op::kReturn)});
  fixture->Publish();
  uint32_t frames = 0, bytes = 0;
  for (auto _ : state) {
    const double start = ThreadSeconds();
    stillframe_hit(&fixture->site, &fixture->registers);
    state.SetIterationTime(ThreadSeconds() - start);
    ring::Slot slot;
    if (!ring::Take(slot)) {
      state.SkipWithError("no record");
      break;
    }
    const auto* header = reinterpret_cast<const RecordHeader*>(slot.data);
    frames = header->frame_count;
    bytes = header->size_bytes;
    ring::Release(slot);
  }
  state.counters["frames"] = frames;
  state.counters["record_bytes"] = bytes;
  if (!SetGuardedReads(false).ok()) state.SkipWithError("guard stays");
}
void BM_Capture5Frames20Variables(benchmark::State& state) {
  Capture5Frames20Variables(state, true);
}
BENCHMARK(BM_Capture5Frames20Variables)->UseManualTime();

void BM_Capture5Frames20VariablesBySystemCalls(benchmark::State& state) {
  Capture5Frames20Variables(state, false);
}
BENCHMARK(BM_Capture5Frames20VariablesBySystemCalls)->UseManualTime();

}  // namespace
}  // namespace stillframe::hit

BENCHMARK_MAIN();
