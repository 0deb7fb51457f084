// The agent thread's side of the ring.
#include <sys/mman.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>

#include "agent/ring/ring.h"
#include "agent/ring/ring_file.h"
#include "agent/ring/ring_state.h"
#include "plan/record.h"

namespace stillframe::ring {

namespace {

constexpr uint32_t kWarmSlots = 2;
constexpr size_t kPageBytes = 4096;

uint8_t* MapSlots() {
  if (uint8_t* const file = g_ring.file.load(std::memory_order_acquire)) return file + kSlotOffset;
  void* map = mmap(nullptr, size_t{kSlotCount} * kSlotBytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) return nullptr;
  // Without huge pages a slot costs what was written to it, not 2 MiB. Advice: may be refused.
  madvise(map, size_t{kSlotCount} * kSlotBytes, MADV_NOHUGEPAGE);
  return static_cast<uint8_t*>(map);
}

}  // namespace

Status Initialize() {
  if (g_ring.slots.load(std::memory_order_relaxed) != nullptr) return {};
  uint8_t* const map = MapSlots();
  if (map == nullptr) return ErrnoStatus("mapping the ring", errno);
  // The first slots are used lowest first, so these are all that a quiet service ever needs: the
  // first hits must not pay for their page faults.
  auto* const bytes = static_cast<volatile uint8_t*>(map);  // in a file: not used yet, so zeros
  for (size_t at = 0; at < size_t{kWarmSlots} * kSlotBytes; at += kPageBytes) bytes[at] = 0;
  g_ring.free.store(~uint32_t{0}, std::memory_order_relaxed);
  g_ring.slots.store(map, std::memory_order_release);
  return {};
}

bool Take(Slot& slot) {
  const uint32_t ready = g_ring.ready.load(std::memory_order_acquire);
  if (ready == 0) return false;
  uint32_t oldest = kSlotCount;
  uint64_t oldest_sequence = 0;
  for (uint32_t left = ready; left != 0; left &= left - 1) {
    const auto index = static_cast<uint32_t>(std::countr_zero(left));
    const uint64_t sequence = g_ring.sequence[index].load(std::memory_order_relaxed);
    if (oldest == kSlotCount || sequence < oldest_sequence) {
      oldest = index;
      oldest_sequence = sequence;
    }
  }
  g_ring.ready.fetch_and(~(uint32_t{1} << oldest), std::memory_order_relaxed);
  slot.index = oldest;
  slot.data = g_ring.slots.load(std::memory_order_relaxed) + size_t{oldest} * kSlotBytes;
  return true;
}

void Release(const Slot& slot) {
  if (g_ring.file.load(std::memory_order_relaxed) != nullptr) {
    // What was taken is not found again, and what a record held of the program's memory does not
    // stay in a file longer than it must.
    std::atomic_ref<uint64_t>(reinterpret_cast<RecordHeader*>(slot.data)->sequence)
        .store(0, std::memory_order_release);
    std::memset(slot.data, 0, kSlotBytes);  // the scratch space holds some of it, too
  }
  g_ring.free.fetch_or(uint32_t{1} << (slot.index % kSlotCount), std::memory_order_release);
}

uint64_t ResidentBytes() {
  uint8_t* const slots = g_ring.slots.load(std::memory_order_relaxed);
  constexpr size_t kPages = size_t{kSlotCount} * kSlotBytes / kPageBytes;
  unsigned char resident[kPages];
  if (slots == nullptr || mincore(slots, kPages * kPageBytes, resident) != 0) return 0;
  uint64_t pages = 0;
  for (const unsigned char page : resident) pages += page & 1;
  return pages * kPageBytes;
}

uint64_t committed() { return g_ring.committed.load(std::memory_order_acquire); }

}  // namespace stillframe::ring
