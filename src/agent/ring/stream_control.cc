// The agent thread's side of the streams.
#include <sys/mman.h>

#include <cstring>

#include "agent/ring/stream.h"

namespace stillframe::ring {
namespace {

// What was reserved up to `head` is given up. A record's state lies in its first 8 bytes, so these
// are what has to be zero again, and they are never behind kStreamBytes.
void Skip(Stream& stream, uint64_t tail, uint64_t head) {
  const uint64_t bytes = head - tail < kStreamBytes ? head - tail : kStreamBytes;
  for (uint64_t done = 0; done < bytes; done += 8) {
    const uint64_t at = (tail + done) & (kStreamBytes - 1);
    std::memset(stream.bytes + at, 0, 8);
  }
  stream.tail.store(head, std::memory_order_release);
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

TakeResult Take(Stream& stream, const std::atomic<uint32_t>& writing,
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
  std::memset(record, 0, size_bytes);
  stream.tail.store(tail + size_bytes, std::memory_order_release);
  return TakeResult::kRecord;
}

}  // namespace stillframe::ring
