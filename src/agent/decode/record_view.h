// A bounds-checked view of a record: header, frames, and its memory by address.
#ifndef STILLFRAME_AGENT_DECODE_RECORD_VIEW_H_
#define STILLFRAME_AGENT_DECODE_RECORD_VIEW_H_

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/status.h"
#include "plan/record.h"

namespace stillframe::decode {

class RecordView {
 public:
  // `bytes` must outlive the view. kCorrupt when sizes contradict each other.
  static Result<RecordView> Parse(std::span<const uint8_t> bytes);

  const RecordHeader& header() const { return header_; }
  const std::vector<FrameRecord>& frames() const { return frames_; }
  bool truncated() const { return (header_.flags & kRecordTruncated) != 0; }

  // What a probe at the entry of the frame's function stashed; nullptr: none was asked for.
  const StashedValues* stashed(uint32_t frame) const;

  // Memory that is not in the record is read from this process from now on: only while the thread
  // that made it stands still.
  void ReadLive() { live_ = true; }

  // Copies size_bytes of the target's memory, also across chunks. kOk, kUnreadable (the hit tried
  // and could not), or kNotCaptured (kLimit when the record was cut at its byte limit).
  Code Read(uint64_t address, void* out, uint64_t size_bytes) const;
  // How many bytes from `address` on are there, at most `wanted`.
  uint64_t Available(uint64_t address, uint64_t wanted) const;

 private:
  struct Chunk {
    uint64_t address;
    uint64_t size_bytes;
    const uint8_t* bytes;  // nullptr: unreadable
  };
  const Chunk* Find(uint64_t address) const;

  bool live_ = false;
  RecordHeader header_{};
  std::vector<FrameRecord> frames_;
  std::vector<Chunk> chunks_;
  std::vector<std::pair<uint64_t, StashedValues>> stashed_;  // with the frame
};

}  // namespace stillframe::decode

#endif  // STILLFRAME_AGENT_DECODE_RECORD_VIEW_H_
