// The record decoder over hostile records, and the light one over hostile light records.
// Input: 1 byte which plan and form, then for records: header fields, frames and one chunk of
// memory whose words point into itself; or the raw bytes as they are.
#include "agent/decode/light_builder.h"
#include "agent/decode/snapshot_builder.h"
#include "tests/fuzz/plans.h"

namespace stillframe {
namespace {

constexpr uint64_t kMemory = 0x7000'0000;

template <typename T>
void Append(std::vector<uint8_t>& out, const T& value) {
  const auto* const from = reinterpret_cast<const uint8_t*>(&value);
  out.insert(out.end(), from, from + sizeof value);
}

// A record that is well-formed but for what the input says.
std::vector<uint8_t> MakeRecord(fuzz::Input& input) {
  RecordHeader header{};
  header.magic = kRecordMagic;
  header.frame_count = 1 + input.Byte() % 3;
  header.chunk_count = 1;
  header.flags = input.Byte();
  for (uint64_t& gpr : header.registers.gpr) gpr = kMemory + 8 * uint64_t{input.Byte()};
  std::vector<uint8_t> record;
  Append(record, header);
  for (uint32_t i = 0; i < header.frame_count; ++i) {
    FrameRecord frame{};
    frame.pc = input.Take<uint16_t>();
    frame.cfa = kMemory + 8 * uint64_t{input.Byte()};
    frame.valid = input.Byte();
    for (uint64_t& saved : frame.saved) saved = kMemory + 8 * uint64_t{input.Byte()};
    Append(record, frame);
  }
  std::vector<uint8_t> memory;
  while (!input.empty() && memory.size() < 32768) {
    const uint16_t word = input.Take<uint16_t>();
    Append(memory, (word & 0x8000) != 0 ? kMemory + (word & 0x7fff) : uint64_t{word});
  }
  Append(record, ChunkHeader{kMemory, static_cast<uint32_t>(memory.size()), kChunkOk});
  record.insert(record.end(), memory.begin(), memory.end());
  const auto size = static_cast<uint32_t>(record.size());
  std::memcpy(record.data() + offsetof(RecordHeader, size_bytes), &size, sizeof size);
  return record;
}

void DecodeRecord(const ProbePlan& plan, std::span<const uint8_t> record) {
  decode::BuildInput input;
  input.record = record;
  input.plan = &plan;
  input.limits.depth = 6;
  input.resolve_frame = [&plan](uint64_t pc, bool) {
    decode::FrameMeaning meaning;
    meaning.unit = &plan.unit;
    meaning.frame = static_cast<uint32_t>(pc);
    return meaning;
  };
  input.symbol_name = [](uint64_t address) { return address % 7 == 0 ? "<symbol+1>" : ""; };
  const auto snapshot = decode::BuildSnapshot(input);
  if (snapshot.ok()) (void)model::SnapshotToJson(*snapshot);
}

void DecodeLight(const ProbePlan& plan, fuzz::Input& input) {
  std::vector<LightField> fields(plan.sites[0].expression_count);
  LightSite site;
  uint32_t offset = site.fixed_bytes;
  for (LightField& field : fields) {
    field.kind = static_cast<LightKind>(input.Byte() % 3);
    field.offset = offset;
    offset += sizeof(LightValue);
    field.text_capacity = 8u * (input.Byte() % 32);
  }
  site.fields = fields.data();
  site.field_count = static_cast<uint32_t>(fields.size());
  site.fixed_bytes = offset;
  const std::vector<LightSite> sites(plan.sites.size(), site);
  decode::LightInput light;
  light.record = input.rest();
  light.plan = &plan;
  light.sites = sites;
  const auto snapshot = decode::BuildLightSnapshot(light);
  if (snapshot.ok()) (void)model::SnapshotToJson(*snapshot);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const std::vector<ProbePlan>& plans = fuzz::SoundPlans();
  const uint8_t which = input.Byte();
  const ProbePlan& plan = plans[which % plans.size()];
  switch (which / 2 % 4) {
    case 0:
      DecodeRecord(plan, input.rest());
      break;
    case 1:
      DecodeLight(plan, input);
      break;
    default:
      DecodeRecord(plan, MakeRecord(input));
  }
  return 0;
}

}  // namespace stillframe
