// Plans with damaged tables. What the verifier accepts is hit like a probe of a running program,
// with the input as the memory around the stack pointer, and what was captured is decoded. Input: 1
// byte which plan, 1 byte number of edits, the edits, registers, memory.
#include "agent/decode/snapshot_builder.h"
#include "agent/hit/hit.h"
#include "agent/ring/ring.h"
#include "agent/unit_view.h"
#include "plan/verifier.h"
#include "tests/fuzz/plans.h"

namespace stillframe {
namespace {

constexpr uint64_t kBias = 0x4000'0000;
constexpr size_t kArenaBytes = 16384;
alignas(4096) uint8_t g_arena[kArenaBytes];

// The CFA of every frame is rsp + 64: one row for all addresses near the plan's module.
void PublishFrames() {
  static const uint32_t pcs[] = {0};
  static const uint16_t rows[] = {1};
  static UnwindRule rules[2];
  rules[1].cfa_kind = CfaKind::kRegisterOffset;
  rules[1].cfa_register = 7;
  rules[1].cfa_offset = 64;
  static const hit::UnwindModule module{
      kBias, kBias + 0x100'0000, kBias, kBias, pcs, rows, rules, 1, 2};
  static const hit::UnwindModules modules{1, &module};
  hit::PublishUnwindModules(&modules);
}

void InitializeOnce() {
  static const bool done = [] {
    // A second that never ends: no rate is reached.
    SF_FUZZ_CHECK(hit::Initialize({uint64_t{1} << 40, 0, 0}).ok());
    PublishFrames();
    return true;
  }();
  (void)done;
}

void Decode(const ProbePlan& plan) {
  ring::Slot slot;
  while (ring::Take(slot)) {
    RecordHeader header;
    std::memcpy(&header, slot.data, sizeof header);
    SF_FUZZ_CHECK(header.size_bytes <= ring::kSlotBytes);
    decode::BuildInput input;
    input.record = {slot.data, header.size_bytes};
    input.plan = &plan;
    input.load_bias = kBias;
    input.limits = plan.limits;
    const auto snapshot = decode::BuildSnapshot(input);
    if (!snapshot.ok()) {
      fuzz::Broken("own records decode", __FILE__, __LINE__, snapshot.status().ToString());
    }
    (void)model::SnapshotToJson(*snapshot);
    ring::Release(slot);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  InitializeOnce();
  fuzz::Input input(data, size);
  const std::vector<ProbePlan>& plans = fuzz::SoundPlans();
  ProbePlan plan = plans[input.Byte() % plans.size()];
  fuzz::Damage(plan, input, input.Byte() % 64);
  if (!VerifyPlan(plan).ok() || plan.sites.empty()) return 0;
  plan.limits.depth = std::min(plan.limits.depth, 8u);

  RegisterFile registers{};
  for (uint64_t& gpr : registers.gpr) {
    gpr = reinterpret_cast<uint64_t>(g_arena) + 8 * uint64_t{input.Byte()};
  }
  registers.rip = kBias + plan.sites[0].address.value;
  std::memset(g_arena, 0, sizeof g_arena);
  // Words of two bytes with a mark become pointers into the memory itself.
  for (size_t at = 0; at + 8 <= kArenaBytes && !input.empty(); at += 8) {
    const uint16_t word = input.Take<uint16_t>();
    const uint64_t value = (word & 0xc000) == 0x8000
                               ? reinterpret_cast<uint64_t>(g_arena) + (word & 0x3fff)
                           : (word & 0xc000) == 0xc000 ? ~uint64_t{word & 0x3fffu}
                                                       : word;
    std::memcpy(g_arena + at, &value, sizeof value);
  }
  const agent::UnitArrays arrays(plan.unit);
  hit::ProbeRuntime runtime;
  runtime.probe_id = 1;
  runtime.unit = arrays.view();
  runtime.sites = plan.sites.data();
  runtime.load_bias = kBias;
  runtime.limits = plan.limits;
  hit::SiteProbeList list{};
  list.count = 1;
  list.entries[0] = {&runtime, 0};
  hit::SiteRuntime site;
  site.list.store(&list);
  site.address = registers.rip;
  stillframe_hit(&site, &registers);
  Decode(plan);
  return 0;
}

}  // namespace stillframe
