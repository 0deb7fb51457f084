// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/ and
// ring/; bounded loops; general registers only.
#include "agent/hit/throws.h"

#include "agent/hit/memory.h"
#include "agent/hit/process_state.h"
#include "agent/hit/record_writer.h"
#include "agent/hit/thread_state.h"
#include "agent/hit/unwinder.h"
#include "agent/ring/hit_path.h"
#include "agent/ring/ring.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr uint8_t kRsp = 7;
constexpr uint8_t kTypeInfo = 4;  // rsi, __cxa_throw's second argument
constexpr uint64_t kNameOffset = 8;
constexpr uint32_t kNameWords = 32;  // of the type's name
constexpr uint32_t kFrames = 9;      // the site's and those of eight callers
constexpr uint32_t kSlice = 4096;

SF_HIT_INLINE uint64_t Mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
  return hash ^ hash >> 29;
}

// Of the name and not of its address: the same in every process.
uint64_t HashType(uint64_t type_info) {
  const MemoryReader& memory = t_thread.memory;
  uint64_t name = 0;
  if (!memory.read(memory.self, type_info + kNameOffset, &name, 8)) return type_info;
  uint64_t hash = 1;
  for (uint32_t i = 0; i < kNameWords; ++i, name += 8) {
    uint64_t word = 0;
    if (!memory.read(memory.self, name, &word, 8)) break;
    // Behind the terminator there is something else.
    const uint64_t zeros = (word - 0x0101010101010101u) & ~word & 0x8080808080808080u;
    if (zeros != 0) {
      const auto bits = static_cast<uint32_t>(__builtin_ctzll(zeros)) - 7;
      return Mix(hash, bits == 0 ? 0 : word & ((uint64_t{1} << bits) - 1));
    }
    hash = Mix(hash, word);
  }
  return hash;
}

// Unwinds in a slot's scratch space.
uint64_t Fingerprint(const RegisterFile& registers, uint8_t* slot) {
  auto& scratch = *reinterpret_cast<Scratch*>(slot + kMaxRecordBytes);
  auto* const frames = reinterpret_cast<FrameRecord*>(slot + sizeof(RecordHeader));
  StackCopy stack{};
  stack.slice = scratch.slice;
  stack.slice_address = registers.gpr[kRsp];
  stack.slice_bytes =
      ReadSome(stack.slice_address, scratch.slice, ClipToRange(stack.slice_address, kSlice));
  stack.window = scratch.window;
  stack.window_capacity = kWindowBytes;
  stack.refills_left = kFrames;
  const UnwindModules* const modules = g_process.modules.load(std::memory_order_acquire);
  const UnwindResult result = Unwind(modules, registers, stack, frames, kFrames);
  uint64_t hash = HashType(registers.gpr[kTypeInfo]);
  for (uint32_t i = 1; i < result.frame_count; ++i) {
    hash = Mix(hash, RelativePc(modules, frames[i].pc));
  }
  return hash == 0 ? 1 : hash;
}

ThrowEntry* FindEntry(ThrowEntry* entries, uint64_t fingerprint) {
  for (uint32_t i = 0; i < kThrowEntries; ++i) {
    ThrowEntry& entry = entries[(fingerprint + i) % kThrowEntries];
    uint64_t known = entry.fingerprint.load(kRelaxed);
    if (known == 0 && entry.fingerprint.compare_exchange_strong(known, fingerprint, kRelaxed)) {
      return &entry;
    }
    if (known == fingerprint) return &entry;
  }
  return nullptr;
}

}  // namespace

Counter ClaimThrow(ProbeRuntime& probe) {
  ThreadState& thread = t_thread;
  ring::Slot slot;
  thread.thrown = nullptr;
  if (!ring::Acquire(slot)) return kRingFull;
  thread.fingerprint = Fingerprint(*thread.hit_registers, slot.data);
  ring::Abandon(slot);
  ThrowEntry* const entry = FindEntry(probe.throws, thread.fingerprint);
  if (entry == nullptr) return kRateLimited;
  entry->count.fetch_add(1, kRelaxed);
  if (entry->captured.exchange(1, kRelaxed) != 0) return kRateLimited;
  thread.thrown = entry;
  return kCaptured;
}

void ReturnThrow(ProbeRuntime& probe) {
  if (probe.throws == nullptr || t_thread.thrown == nullptr) return;
  t_thread.thrown->captured.store(0, kRelaxed);
  t_thread.thrown = nullptr;
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
