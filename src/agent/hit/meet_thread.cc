// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded loops; general registers only.
#include "agent/hit/meet_thread.h"

#include <sys/syscall.h>

#include <cerrno>

#include "agent/hit/arch.h"
#include "agent/hit/process_state.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

bool IsDead(uint32_t thread_id) {
  const uint64_t pid = g_process.pid.load(kRelaxed);
  return stillframe_syscall(SYS_tgkill, pid, thread_id, 0, 0, 0, 0) == -ESRCH;
}

// Partner: FreeDeadSlots, which does the same.
bool TakeFromDead(ThreadSlot& slot, uint32_t owner, uint32_t thread_id) {
  if (!slot.owner.compare_exchange_strong(owner, kTakingBack, std::memory_order_acq_rel)) {
    return false;
  }
  const bool dead = IsDead(owner);
  slot.owner.store(dead ? thread_id : owner, std::memory_order_release);
  return dead;
}

// Lowest first, so that few pages of counters are touched. A slot with this thread's own id
// belonged to a dead thread of that number.
ThreadSlot* ClaimSlot(uint32_t thread_id) {
  constexpr int kMaxQuestions = 32;
  int questions = 0;
  for (const bool ask : {false, true}) {
    for (uint32_t i = 0; i < kThreadSlots; ++i) {
      ThreadSlot& slot = g_process.slots[i];
      uint32_t owner = slot.owner.load(kRelaxed);
      if (owner != 0 && owner != thread_id) {
        if (!ask || owner == kTakingBack) continue;
        if (questions++ == kMaxQuestions) return nullptr;
        if (!TakeFromDead(slot, owner, thread_id)) continue;
      } else if (!slot.owner.compare_exchange_strong(owner, thread_id, std::memory_order_acq_rel)) {
        continue;
      }
      slot.announced.store(0, kRelaxed);
      slot.stack = 0;
      slot.spans.count = 0;
      slot.name_ticks = 0;
      slot.shard_bytes = uint64_t{i} * sizeof(CounterShard);
      uint32_t used = g_process.slots_used.load(kRelaxed);
      while (used <= i && !g_process.slots_used.compare_exchange_weak(used, i + 1, kRelaxed)) {
      }
      return &slot;
    }
  }
  return nullptr;
}

}  // namespace

void MeetThread(ThreadState& thread) {
  if (thread.thread_id == 0) {
    thread.thread_id = static_cast<uint32_t>(stillframe_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0));
  }
  ThreadSlot* const slot =
      g_process.slots_work.load(kRelaxed) != 0 ? ClaimSlot(thread.thread_id) : nullptr;
  // A hit in a signal handler may have met the thread meanwhile: one slot is then lost until it
  // ends.
  thread.slot = slot;
  thread.shard_plus_one =
      1 + (slot == nullptr ? kSharedShard : static_cast<uint32_t>(slot - g_process.slots));
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
