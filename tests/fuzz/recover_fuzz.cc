// The reader of a dead process's files. Input: 1 byte what is damaged, then edits of 4 bytes
// (place, 2 bytes; value; how many times) of files that are sound, or the plans or the outbox as
// they are.
#include "agent/durable/dead_process.h"
#include "model/snapshot_codec.h"
#include "tests/agent/durable/ring_image.h"
#include "tests/fuzz/plans.h"

namespace stillframe {
namespace {

void Recover(durable::RingImage image) {
  auto dead = durable::DeadProcess::FromBytes(std::move(image.ring), image.plans, image.outbox);
  if (!dead.ok()) return;
  for (int i = 0; i < 200; ++i) {
    const auto snapshot = (*dead)->Next();
    if (!snapshot) break;
    (void)model::SnapshotToJson(*snapshot);
  }
  for (const model::TracepointReport& report : (*dead)->Reports()) {
    const model::Counters& counters = report.status.counters;
    uint64_t sum = counters.acked + counters.in_flight;
    for (const auto& [reason, count] : counters.dropped) sum += count;
    SF_FUZZ_CHECK(counters.captured == sum);
  }
}

durable::RingImage MakeImage() {
  durable::RingImage image;
  uint64_t probe_id = 8;
  for (const ProbePlan& plan : fuzz::SoundPlans()) {
    durable::ProbeEntry probe;
    probe.probe_id = probe_id;
    probe.tracepoint_id = "tp" + std::to_string(probe_id);
    probe.plan = EncodePlan(plan);
    image.plans += durable::Framed(durable::kProbeEntry, durable::EncodeEntry(probe));
    image.AddRecord(static_cast<uint32_t>(probe_id), probe_id, probe_id);
    ++probe_id;
  }
  image.AddProbe();
  image.AddRecord(0, 1);
  model::Snapshot snapshot;
  snapshot.sequence = 2;
  image.outbox = durable::Framed(
      durable::kSnapshotEntry,
      durable::EncodeEntry(durable::SnapshotEntry{0, model::EncodeSnapshot(snapshot)}));
  return image;
}

// Damages an entry's payload and makes its checksum right again, as an attacker would.
std::string Entry(uint32_t type, std::string payload, fuzz::Input& input) {
  for (int i = 0; i < 8 && !input.empty() && !payload.empty(); ++i) {
    const size_t at = input.Take<uint16_t>() % payload.size();
    payload[at] = static_cast<char>(input.Byte());
  }
  return durable::Framed(type, payload);
}

void Edit(std::string& bytes, size_t begin, size_t size, fuzz::Input& input) {
  for (int i = 0; i < 16 && !input.empty(); ++i) {
    bytes[begin + input.Take<uint16_t>() % size] = static_cast<char>(input.Byte());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const durable::RingImage sound = MakeImage();
  fuzz::Input input(data, size);
  durable::RingImage image = sound;
  switch (input.Byte() % 6) {
    case 0:  // header, mirror
      Edit(image.ring, 0, ring::kSlotOffset, input);
      break;
    case 1: {  // a record
      const uint64_t slot = input.Byte() % 2 == 0 ? 0 : 8;
      Edit(image.ring, ring::kSlotOffset + slot * ring::kSlotBytes, 1024, input);
      break;
    }
    case 2: {  // a stream
      const auto bytes = input.rest();
      std::memcpy(image.ring.data() + ring::kStreamOffset, bytes.data(),
                  std::min<size_t>(bytes.size(), ring::kStreamBytes));
      break;
    }
    case 3: {
      durable::ProbeEntry probe;
      probe.probe_id = 8;
      probe.role = static_cast<durable::ProbeRole>(input.Byte() % 5);
      const auto& plans = fuzz::SoundPlans();
      ProbePlan plan = plans[input.Byte() % plans.size()];
      fuzz::Damage(plan, input, 2);
      probe.plan = EncodePlan(plan);
      image.plans += durable::Framed(durable::kProbeEntry, durable::EncodeEntry(probe));
      break;
    }
    case 4: {
      model::Snapshot snapshot;
      snapshot.frames.resize(2);
      snapshot.frames[0].variables.resize(3);
      snapshot.frames[0].variables[1].children.resize(2);
      image.outbox += Entry(
          durable::kSnapshotEntry,
          durable::EncodeEntry(durable::SnapshotEntry{1, model::EncodeSnapshot(snapshot)}), input);
      break;
    }
    default: {
      const uint32_t type = 1 + input.Byte() % 8;
      const auto bytes = input.rest();
      const std::string entry = durable::Framed(type, std::string(bytes.begin(), bytes.end()));
      image.plans += entry;
      image.outbox += entry;
    }
  }
  Recover(std::move(image));
  return 0;
}

}  // namespace stillframe
