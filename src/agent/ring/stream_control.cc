// The agent thread's side of the streams.
#include <sys/mman.h>

#include <cstring>

#include "agent/ring/ring_file.h"
#include "agent/ring/ring_state.h"
#include "agent/ring/stream.h"

namespace stillframe::ring {
namespace {

void MoveTail(Stream& stream, uint64_t tail) {
  if (stream.file_tail != nullptr) stream.file_tail->store(tail, std::memory_order_release);
  stream.tail.store(tail, std::memory_order_release);
}

// What was reserved up to `head` is given up. A record's state lies in its first 8 bytes, so these
// are what has to be zero again, and they are never behind kStreamBytes.
void Skip(Stream& stream, uint64_t tail, uint64_t head) {
  const uint64_t bytes = head - tail < kStreamBytes ? head - tail : kStreamBytes;
  for (uint64_t done = 0; done < bytes; done += 8) {
    const uint64_t at = (tail + done) & (kStreamBytes - 1);
    std::memset(stream.bytes + at, 0, 8);
  }
  MoveTail(stream, head);
}

}  // namespace

uint8_t* MapStreams(uint32_t count) {
  const size_t bytes = size_t{count} * kStreamStride;
  void* const map = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) return nullptr;
  madvise(map, bytes, MADV_NOHUGEPAGE);
  return static_cast<uint8_t*>(map);
}

void PlaceStream(Stream& stream, uint32_t index, uint8_t* mapped) {
  uint8_t* const file = RingFile();
  if (file == nullptr || index >= kFileStreams) {
    stream.bytes = mapped + size_t{index} * kStreamStride;
    return;
  }
  stream.file_tail = reinterpret_cast<std::atomic<uint64_t>*>(file + kTailOffset) + index;
  stream.bytes = file + kStreamOffset + size_t{index} * kStreamStride;
}

const std::atomic<uint32_t>* ForkGuard() {
  return g_ring.fork_guard.load(std::memory_order_relaxed);
}

TakeResult Peek(Stream& stream, const std::atomic<uint32_t>& writing,
                std::span<uint8_t, kMaxLightBytes> out, uint32_t& size_bytes) {
  const uint64_t tail = stream.tail.load(std::memory_order_relaxed);
  const uint64_t head = stream.head.load(std::memory_order_acquire);
  if (head == tail || stream.bytes == nullptr) return TakeResult::kNothing;
  if (head - tail > kStreamBytes || (head | tail) % 8 != 0) {  // the slot was overwritten
    Skip(stream, tail, head);
    return TakeResult::kAbandoned;
  }
  uint8_t* const record = stream.bytes + (tail & (kStreamBytes - 1));
  auto* const header = reinterpret_cast<LightHeader*>(record);
  const std::atomic_ref<uint32_t> state(header->state);
  if (state.load(std::memory_order_acquire) != kLightCommitted) {
    if (writing.load(std::memory_order_acquire) != 0) return TakeResult::kNothing;
    // The hit ended between the two looks, or it never will: looked at once more, the first has
    // committed, because it does that before it ends.
    if (state.load(std::memory_order_acquire) != kLightCommitted) {
      Skip(stream, tail, head);
      return TakeResult::kAbandoned;
    }
  }
  size_bytes = header->size_bytes;
  if (size_bytes < sizeof(LightHeader) + sizeof(TraceContextRecord) || size_bytes % 8 != 0 ||
      size_bytes > kMaxLightBytes || size_bytes > head - tail) {
    Skip(stream, tail, head);
    return TakeResult::kAbandoned;
  }
  std::memcpy(out.data(), record, size_bytes);
  return TakeResult::kRecord;
}

void Drop(Stream& stream, uint32_t size_bytes) {
  const uint64_t tail = stream.tail.load(std::memory_order_relaxed);
  std::memset(stream.bytes + (tail & (kStreamBytes - 1)), 0, size_bytes);
  MoveTail(stream, tail + size_bytes);
}

}  // namespace stillframe::ring
