// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded loops; general registers only.
#include "agent/hit/entry_stash.h"

#include "agent/hit/arch.h"
#include "agent/hit/hit.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;
constexpr auto kRelease = std::memory_order_release;
constexpr uint64_t kPageBytes = 4096;
constexpr uint32_t kVectorCells = ((1u << kStashCells) - 1) & ~((1u << kGeneralEntryCells) - 1);
// DWARF numbers of the general entry cells: rdi, rsi, rdx, rcx, r8, r9.
constexpr uint8_t kRegisterOf[kGeneralEntryCells] = {5, 4, 1, 2, 8, 9};

struct alignas(128) Slot {
  std::atomic<uint64_t> sequence;  // odd: being written. Release in writers; partner: ReadStash
  std::atomic<uint64_t> id;
  std::atomic<uint64_t> cfa;
  std::atomic<uint64_t> return_address;
  std::atomic<uint64_t> cells[kStashCells];
};
static_assert(sizeof(Slot) == 128);
static_assert(sizeof(std::atomic<uint64_t>) == 8);  // stillframe_save_arguments stores there

// Zero pages until they are used: no key has the id 0.
Slot g_slots[kStashSlots];
std::atomic<uint32_t> g_turn;  // whose place a new key takes

SF_HIT_INLINE Slot* SetOf(uint64_t id, uint64_t cfa) {
  const uint64_t hash = (cfa >> 3 ^ id << 32) * 0x9e3779b97f4a7c15u;
  return g_slots + (hash >> 40) % kStashSets * kStashWays;
}

// Even to odd, by one writer at a time.
SF_HIT_INLINE bool Lock(Slot& slot, uint64_t& sequence) {
  sequence = slot.sequence.load(kRelaxed);
  return (sequence & 1) == 0 &&
         slot.sequence.compare_exchange_strong(sequence, sequence + 1, kAcquire, kRelaxed);
}

SF_HIT_INLINE bool Has(const Slot& slot, uint64_t id, uint64_t cfa) {
  return slot.cfa.load(kRelaxed) == cfa && slot.id.load(kRelaxed) == id;
}

// Locks the slot of the key if it has one, else one that another key has, or none. nullptr: all are
// being written by calls that this one interrupted or by other threads: their keys replace what
// stood there, so nothing of this key is left.
SF_HIT_INLINE Slot* Claim(uint64_t id, uint64_t cfa, uint64_t& sequence) {
  Slot* const set = SetOf(id, cfa);
  for (uint32_t i = 0; i < kStashWays; ++i) {
    // Where the lock fails, another key is on its way in.
    if (Has(set[i], id, cfa) && Lock(set[i], sequence)) return set + i;
  }
  for (uint32_t i = 0; i < kStashWays; ++i) {
    if (set[i].id.load(kRelaxed) == 0 && Lock(set[i], sequence)) return set + i;
  }
  const uint32_t first = g_turn.fetch_add(1, kRelaxed);
  for (uint32_t i = 0; i < kStashWays; ++i) {
    Slot& slot = set[(first + i) % kStashWays];
    if (Lock(slot, sequence)) return &slot;
  }
  return nullptr;
}

}  // namespace

void StashEntry(const StashedFunction& function, const RegisterFile& registers) {
  const uint64_t id = function.id.load(kAcquire);
  if (id == 0) return;  // the agent is about to take the probe out, or has just put it in
  const uint64_t cfa = registers.gpr[function.cfa_register] +
                       static_cast<uint64_t>(static_cast<int64_t>(function.cfa_offset));
  uint64_t sequence = 0;
  Slot* const slot = Claim(id, cfa, sequence);
  if (slot == nullptr) return;
  // Each store releases the odd sequence: who sees one of them sees that, too. On x86-64 all of
  // these are plain stores, in order.
  slot->id.store(id, kRelease);
  slot->cfa.store(cfa, kRelease);
  // The trampoline has just written below this word, so its page is there; at a page's first word
  // that proves nothing, and no return address stands there (psABI §3.2.2).
  const uint64_t at = cfa - 8;
  slot->return_address.store(
      at % kPageBytes != 0 ? *reinterpret_cast<const volatile uint64_t*>(at) : 0, kRelease);
  for (uint32_t i = 0; i < kGeneralEntryCells; ++i) {
    if ((function.cells >> i & 1) != 0) {
      slot->cells[i].store(registers.gpr[kRegisterOf[i]], kRelease);
    }
  }
  if ((function.cells & kVectorCells) != 0) {
    stillframe_save_arguments(slot->cells + kGeneralEntryCells);
  }
  slot->sequence.store(sequence + 2, kRelease);
}

bool ReadStash(const StashedFunction& function, uint64_t cfa, uint64_t return_address,
               EntryValues& out) {
  const uint64_t id = function.id.load(kAcquire);
  if (id == 0 || cfa == 0 || return_address == 0) return false;
  const Slot* const set = SetOf(id, cfa);
  for (uint32_t i = 0; i < kStashWays; ++i) {
    const Slot& slot = set[i];
    const uint64_t sequence = slot.sequence.load(kAcquire);
    // Acquired, so that the sequence is looked at again after all of them.
    if ((sequence & 1) != 0 || slot.id.load(kAcquire) != id || slot.cfa.load(kAcquire) != cfa ||
        slot.return_address.load(kAcquire) != return_address) {
      continue;
    }
    uint64_t cells[kStashCells];
    for (uint32_t c = 0; c < kStashCells; ++c) cells[c] = slot.cells[c].load(kAcquire);
    if (slot.sequence.load(kRelaxed) != sequence) continue;
    for (uint32_t c = 0; c < kStashCells; ++c) {
      if ((function.cells >> c & 1) != 0) out.cells[c] = cells[c];
    }
    out.valid |= function.cells;
    out.stashed = function.cells;
    return true;
  }
  return false;
}

const StashedFunction* ReadFrameStash(const ProbeRuntime& probe, uint64_t entry, uint64_t pc,
                                      uint64_t cfa, uint64_t return_address, EntryValues& out) {
  for (uint32_t i = 0; i < probe.stashed_count; ++i) {
    const StashedFunction& function = probe.stashed[i];
    if (function.entry != entry) continue;
    // Up to the probed instruction an older call's stash may still stand.
    const bool is_before = pc - entry <= function.probed - entry;
    if (is_before || !ReadStash(function, cfa, return_address, out)) {
      out.absent = function.absent.load(kRelaxed);
    }
    return &function;
  }
  return nullptr;
}

void ReadSiteStash(const ProbeRuntime& probe, uint32_t site_index, uint64_t pc, uint64_t cfa,
                   const MemoryReader& memory, EntryValues& out) {
  out.valid = 0;
  out.stashed = 0;
  out.absent = Code::kOk;
  const FramePlan& frame = probe.unit.frames[probe.sites[site_index].frame];
  uint64_t return_address = 0;
  if (!memory.read(memory.self, cfa - 8, &return_address, 8)) return;
  ReadFrameStash(probe, frame.function_entry.value + probe.load_bias, pc, cfa, return_address, out);
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
