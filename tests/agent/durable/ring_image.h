// The three files of a process that died, made by hand.
#ifndef STILLFRAME_TESTS_AGENT_DURABLE_RING_IMAGE_H_
#define STILLFRAME_TESTS_AGENT_DURABLE_RING_IMAGE_H_

#include <cstddef>
#include <cstring>
#include <string>

#include "agent/durable/entries.h"
#include "agent/durable/journal.h"
#include "agent/ring/ring_file.h"
#include "base/checksum.h"
#include "plan/plan_codec.h"
#include "plan/record.h"

namespace stillframe::durable {

template <typename T>
std::string EncodeEntry(const T& entry) {
  std::string bytes;
  ArchiveWriter writer(bytes);
  writer(entry);
  return bytes;
}

// As JournalWriter appends it.
inline std::string Framed(uint32_t type, const std::string& payload) {
  const uint32_t head[2] = {type, static_cast<uint32_t>(payload.size())};
  const uint32_t checksum = Crc32c(payload.data(), payload.size(), Crc32c(head, sizeof head));
  const uint32_t fields[4] = {0x4A465331, head[0], head[1], checksum};
  return std::string(reinterpret_cast<const char*>(fields), sizeof fields) + payload;
}

struct RingImage {
  std::string ring = std::string(ring::kRingFileBytes, '\0');
  std::string plans, outbox;

  RingImage() {
    ring::RingFileHeader header{};
    std::memcpy(header.magic, ring::kRingFileMagic, sizeof header.magic);
    header.version = ring::kRingFileVersion;
    header.slot_count = ring::kSlotCount;
    header.slot_bytes = ring::kSlotBytes;
    header.stream_count = ring::kFileStreams;
    header.stream_bytes = ring::kStreamBytes;
    header.stream_stride = ring::kStreamStride;
    header.size_bytes = ring::kRingFileBytes;
    header.checksum = ring::HeaderChecksum(header);
    std::memcpy(ring.data(), &header, sizeof header);
    ProcessEntry process;
    process.identity.instance = "01234567-89ab-4cde-8f01-23456789abcd";
    process.identity.service = "shop";
    process.identity.pid = 4711;
    plans = Framed(kProcessEntry, EncodeEntry(process));
    ring::RingMirror mirror{};
    mirror.generation = 1;
    mirror.ticks = 5'000;
    mirror.unix_nanos = 1'700'000'000'000'000'000;
    mirror.ticks_per_second = 1'000;
    mirror.probe_count = 1;
    mirror.probes[0].probe_id = 7;
    mirror.probes[0].count[1] = 40;  // conditionFalse
    mirror.probes[0].count[6] = 2;   // ringFull
    mirror.checksum = ring::MirrorChecksum(mirror);
    std::memcpy(ring.data() + ring::kMirrorOffset + sizeof mirror, &mirror, sizeof mirror);
  }

  // Probe 7 of tracepoint "tp": one site in one function.
  void AddProbe() {
    ProbePlan plan;
    plan.module_path = "/bin/shop";
    plan.unit.strings = {"", "Checkout()", "/src/shop.cc"};
    plan.unit.virtual_frames.push_back(VirtualFrame{1, 2, 42, 0, {}, 0, 0});
    FramePlan frame;
    frame.virtual_count = 1;
    plan.unit.frames.push_back(frame);
    plan.sites.emplace_back();
    ProbeEntry probe;
    probe.probe_id = 7;
    probe.tracepoint_id = "tp";
    probe.plan = EncodePlan(plan);
    plans += Framed(kProbeEntry, EncodeEntry(probe));
  }

  // A record as a hit leaves it; `sequence` 0: not committed.
  void AddRecord(uint32_t slot, uint64_t sequence, uint64_t probe_id = 7) {
    RecordHeader header{};
    header.magic = kRecordMagic;
    header.size_bytes = sizeof(RecordHeader) + sizeof(FrameRecord);
    header.sequence = sequence;
    header.probe_id = probe_id;
    header.thread_id = 99;
    header.start_ticks = 4'000;  // a second before the mirror
    header.end_ticks = 4'001;
    header.frame_count = 1;
    std::memcpy(ring.data() + ring::kSlotOffset + uint64_t{slot} * ring::kSlotBytes, &header,
                sizeof header);
  }
};

}  // namespace stillframe::durable

#endif  // STILLFRAME_TESTS_AGENT_DURABLE_RING_IMAGE_H_
