// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded loops; general registers only.
#include "agent/hit/last_words.h"

#include <sys/syscall.h>

#include "agent/hit/arch.h"
#include "agent/hit/process_state.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

struct KernelTime {
  int64_t seconds;
  int64_t nanoseconds;
};

}  // namespace

void CommitLastWords(const ring::Slot& slot) {
  constexpr int64_t kStepNs = 1'000'000;
  // Before the agent can see the record.
  g_process.waiting.store(kAboutToWait, std::memory_order_release);
  const uint64_t sequence = ring::Commit(slot);
  g_process.waiting.store(sequence, std::memory_order_release);
  const KernelTime step{0, kStepNs};
  for (uint32_t i = 0; i < kLastWordsMs; ++i) {
    if (g_process.shipped.load(std::memory_order_acquire) >= sequence) break;
    stillframe_syscall(SYS_nanosleep, reinterpret_cast<uint64_t>(&step), 0, 0, 0, 0, 0);
  }
  uint64_t mine = sequence;
  g_process.waiting.compare_exchange_strong(mine, 0, kRelaxed);
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
