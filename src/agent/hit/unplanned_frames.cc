// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded loops; general registers only.
#include "agent/hit/unplanned_frames.h"

#include <cstddef>

#include "agent/hit/arch.h"
#include "agent/hit/bytes.h"
#include "agent/hit/memory.h"
#include "agent/hit/unwinder.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

constexpr uint32_t kMaxBytes = 32 * 1024;     // of a record, for all of this
constexpr uint32_t kFrameBytes = 2 * 1024;    // from each end of a frame's part of the stack
constexpr uint64_t kLowestAddress = 1 << 16;  // no mapping lies below (vm.mmap_min_addr)
// What is copied behind a word, by its distance from the frame: near objects are large, and a text
// or a node behind them is small. Multiples of 8.
constexpr uint32_t kStepBytes[] = {256, 128, 96};
constexpr uint32_t kSteps = sizeof kStepBytes / sizeof kStepBytes[0];
constexpr uint32_t kGuesses = 96;  // in a step
constexpr uint32_t kMaxWrongGuesses = 24;
// In the window of the unwinder, which is done. Never more than half full.
constexpr uint32_t kSeenSlots = kWindowBytes / 8;
constexpr uint32_t kMaxSeen = kSeenSlots / 2;
static_assert(kMaxSeen + 2 * kMaxLocalFrames <= kMaxPending);
static_assert(offsetof(Scratch, window) % 8 == 0);

}  // namespace

UnplannedFrames::UnplannedFrames(RecordWriter& record, const UnwindModules* modules,
                                 uint64_t deadline_ticks)
    : record_(record),
      modules_(modules),
      deadline_ticks_(deadline_ticks),
      stack_start_(record.stack_address()),
      stack_bytes_(record.stack_bytes()),
      seen_(reinterpret_cast<uint64_t*>(record.scratch().window)) {
  const uint32_t room = record.RoomBytes();
  bytes_left_ = room < kMaxBytes ? room : kMaxBytes;
  guesses_left_ = kGuesses;
  for (uint32_t i = 0; i < kSeenSlots; ++i) static_cast<volatile uint64_t*>(seen_)[i] = 0;
}

bool UnplannedFrames::IsNew(uint64_t address) {
  if (seen_count_ == kMaxSeen) return false;
  uint32_t at = CallerHash(address) % kSeenSlots;
  while (seen_[at] != 0) {
    if (seen_[at] == address) return false;
    at = (at + 1) % kSeenSlots;
  }
  seen_[at] = address;
  ++seen_count_;
  return true;
}

void UnplannedFrames::Enqueue(uint64_t address, uint32_t size_bytes) {
  const bool is_there = address - stack_start_ < stack_bytes_ &&
                        size_bytes <= stack_bytes_ - (address - stack_start_);
  const uint32_t needed = is_there ? 0 : RecordWriter::ChunkBytes(size_bytes);
  if (size_bytes == 0 || needed > bytes_left_ || count_ == kMaxPending) return;
  bytes_left_ -= needed;
  record_.scratch().pending[set_][count_++] = {address, size_bytes, 0, 0,
                                               0,       0,          0, PendingKind::kRaw};
}

void UnplannedFrames::Follow(uint64_t word, uint32_t size_bytes) {
  if (word < kLowestAddress || word - stack_start_ < stack_bytes_) return;
  bool is_known = false;
  const uint32_t readable = LikelyReadable(word, size_bytes, is_known);
  if (readable == 0 || (!is_known && guesses_left_ == 0)) return;
  if (IsText(modules_, word) || !IsNew(word)) return;
  if (!is_known) --guesses_left_;
  Enqueue(word, readable);
}

void UnplannedFrames::Add(const FrameRecord& frame) {
  for (int i = 0; i < kSavedRegisterCount; ++i) {
    if ((frame.valid >> i & 1) != 0) Follow(frame.saved[i], kStepBytes[0]);
  }
  if (frame.cfa <= frame.rsp) return;
  const uint64_t size_bytes = frame.cfa - frame.rsp;
  if (size_bytes <= 2 * kFrameBytes) return Enqueue(frame.rsp, static_cast<uint32_t>(size_bytes));
  Enqueue(frame.rsp, kFrameBytes);
  Enqueue(frame.cfa - kFrameBytes, kFrameBytes);
}

void UnplannedFrames::Run() {
  // The frames' own bytes are step 0, and what their registers lead to is looked into with them.
  for (uint32_t step = 0; count_ != 0; ++step) {
    Pending* const entries = record_.scratch().pending[set_];
    const uint32_t count = count_;
    set_ ^= 1;
    count_ = 0;
    record_.ReadPending(entries, count);
    if (step == kSteps) return;
    for (uint32_t i = 0; i < count; ++i) wrong_guesses_ += entries[i].data == 0 ? 1 : 0;
    guesses_left_ = wrong_guesses_ < kMaxWrongGuesses ? kGuesses : 0;
    for (uint32_t i = 0; i < count; ++i) {
      if (entries[i].data == 0) continue;
      const uint8_t* const bytes = record_.slot() + entries[i].data;
      for (uint32_t at = -entries[i].address & 7; at + 8 <= entries[i].size_bytes; at += 8) {
        Follow(Load64(bytes + at), kStepBytes[step]);
      }
    }
    if (stillframe_read_ticks() > deadline_ticks_) return;
  }
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
