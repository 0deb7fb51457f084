// The lock-free ring between hits and the agent thread: a pool of fixed slots and a queue of those
// that are ready.
//
// Guarantees: a writer never waits (no slot free: kRingFull is counted); a record is seen whole or
// not at all; sequence numbers are given at commit, dense from 1; slots are reused lowest first, so
// that little memory stays warm. One reader. Assumes a hostile peer: the reader checks every size.
// A thread that dies or blocks between Acquire and Commit costs its slot, nothing else.
#ifndef STILLFRAME_AGENT_RING_RING_H_
#define STILLFRAME_AGENT_RING_RING_H_

#include <cstdint>

#include "base/status.h"

namespace stillframe::ring {

inline constexpr uint32_t kSlotCount = 32;
inline constexpr uint32_t kSlotBytes = 160 * 1024;  // 64 KiB of record at most, and scratch

struct Slot {
  uint8_t* data = nullptr;  // kSlotBytes, 64-aligned
  uint32_t index = 0;
};

// Maps the slots and touches the first two; at the first tracepoint: an idle agent pays nothing.
// Agent thread, once.
Status Initialize();

// ---- hit path ----
bool Acquire(Slot& slot);
// Publishes; returns the sequence number. The record's header must be complete but `sequence`,
// which Commit writes.
uint64_t Commit(const Slot& slot);
void Abandon(const Slot& slot);

// ---- agent thread ----
// The oldest committed slot; false when none. Must be given back by Release.
bool Take(Slot& slot);
void Release(const Slot& slot);
// Memory of the slots that is resident.
uint64_t ResidentBytes();
uint64_t committed();  // records committed so far = last sequence number

}  // namespace stillframe::ring

#endif  // STILLFRAME_AGENT_RING_RING_H_
