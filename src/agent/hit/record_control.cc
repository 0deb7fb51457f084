// The agent thread's side of records.
#include <algorithm>
#include <cstring>

#include "agent/hit/capture.h"
#include "agent/hit/record_writer.h"

namespace stillframe::hit {

void WipeRecord(const ring::Slot& slot) {
  // What a wild store of the host's left there must not lead out of the slot.
  auto& scratch = *reinterpret_cast<Scratch*>(slot.data + kMaxRecordBytes);
  const uint32_t used = std::min(scratch.used_bytes, kMaxRecordBytes);
  std::memset(slot.data, 0, used);
  std::memset(scratch.entries, 0, sizeof scratch.entries);
  std::memset(scratch.value, 0, sizeof scratch.value);
  std::memset(scratch.slice, 0, std::min(scratch.slice_bytes, kSliceBytes));
  std::memset(scratch.window, 0, std::min(scratch.window_bytes, kWindowBytes));
}

}  // namespace stillframe::hit
