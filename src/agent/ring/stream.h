// Streams of light records (plan/light_record.h): one for each thread slot, from that thread to the
// agent thread.
//
// Guarantees: a writer never waits (no room: kRingFull is counted); a record is seen whole or not
// at all; records of one thread are taken in their order; hits in signal handlers of the thread may
// write between two steps of an interrupted one. No locked instruction: a place is reserved by one
// compare-and-exchange that only has to be whole as seen by the same thread, and a record is
// committed by a plain store behind its other stores (release). The reader leaves zeros behind, so
// that a reserved place reads as not committed.
#ifndef STILLFRAME_AGENT_RING_STREAM_H_
#define STILLFRAME_AGENT_RING_STREAM_H_

#include <atomic>
#include <cstdint>
#include <span>

#include "base/status.h"
#include "plan/light_record.h"

namespace stillframe::ring {

inline constexpr uint32_t kStreamBytes = 64 * 1024;
// A record may begin in the last bytes and end behind them.
inline constexpr uint32_t kStreamStride = kStreamBytes + 2 * kMaxLightBytes;
static_assert((kStreamBytes & (kStreamBytes - 1)) == 0);

// In a thread slot. Positions count bytes from the beginning of time.
struct Stream {
  std::atomic<uint64_t> head;  // next free; written by the thread alone; partner: Take
  std::atomic<uint64_t> tail;  // next to be taken; written by the agent thread; partner: Reserve
  uint8_t* bytes = nullptr;    // kStreamStride of them; nullptr: no stream
  // Of a stream in a ring file: where that tells `tail`; written by the agent thread.
  std::atomic<uint64_t>* file_tail = nullptr;
};

// Memory for `count` streams, zero, touched only where it is used; nullptr when there is none.
// Agent thread.
uint8_t* MapStreams(uint32_t count);
// Gives stream number `index` its memory: in the ring file when there is one and it has room, else
// in `mapped`. Agent thread.
void PlaceStream(Stream& stream, uint32_t index, uint8_t* mapped);
// What compiled code compares with 0 before it reserves: nullptr, or 0 in a forked child.
const std::atomic<uint32_t>* ForkGuard();

// ---- hit path ----
// Room for a record of size_bytes (a multiple of 8, at most kMaxLightBytes); nullptr: none.
uint8_t* Reserve(Stream& stream, uint32_t size_bytes);
inline void CommitLight(uint8_t* record) {
  auto* const header = reinterpret_cast<LightHeader*>(record);
  std::atomic_ref<uint32_t>(header->state).store(kLightCommitted, std::memory_order_release);
}

// ---- agent thread ----
enum class TakeResult : uint8_t {
  kNothing,    // nothing is committed next
  kRecord,     // `out` is a copy of the record
  kAbandoned,  // records were reserved and will never be committed, or are corrupt: skipped
};
// `writing` tells whether a hit of the stream's thread is running now.
// Peek leaves the record where it is; after kRecord, Drop takes it away. Take is both.
TakeResult Peek(Stream& stream, const std::atomic<uint32_t>& writing,
                std::span<uint8_t, kMaxLightBytes> out, uint32_t& size_bytes);
void Drop(Stream& stream, uint32_t size_bytes);
inline TakeResult Take(Stream& stream, const std::atomic<uint32_t>& writing,
                       std::span<uint8_t, kMaxLightBytes> out, uint32_t& size_bytes) {
  const TakeResult result = Peek(stream, writing, out, size_bytes);
  if (result == TakeResult::kRecord) Drop(stream, size_bytes);
  return result;
}

}  // namespace stillframe::ring

#endif  // STILLFRAME_AGENT_RING_STREAM_H_
