// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded loops; general registers only.
#include "agent/hit/scope.h"

#include <sys/syscall.h>

#include "agent/hit/arch.h"
#include "agent/hit/bytes.h"
#include "agent/hit/process_state.h"
#include "agent/hit/thread_state.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr uint64_t kGetName = 16;  // PR_GET_NAME of prctl(2)

SF_HIT_INLINE bool IsOfTrace(const Scope& scope, const ThreadState& thread) {
  const TraceContextRecord& trace = thread.traces[thread.trace_index.load(kRelaxed) & 1];
  return trace.valid != 0 && Load64(trace.trace_id) == scope.trace_id[0] &&
         Load64(trace.trace_id + 8) == scope.trace_id[1];
}

SF_HIT_INLINE bool IsOfSession(const Scope& scope, const ThreadState& thread) {
  for (const SessionId& id : thread.sessions.id) {
    if (id.word[0] == scope.session.word[0] && id.word[1] == scope.session.word[1]) return true;
  }
  return false;
}

// A name is asked for again after a tenth of a second: threads are renamed, but seldom. Threads
// without a slot ask every time, into memory that nothing needs before the condition runs.
SF_HIT_INLINE const char* ThreadName(ThreadState& thread) {
  ThreadSlot* const slot = thread.slot;
  char* const name = slot != nullptr ? slot->name : reinterpret_cast<char*>(thread.xmm);
  const uint64_t now = stillframe_read_ticks();
  if (slot != nullptr) {
    if (slot->name_ticks != 0 &&
        now - slot->name_ticks < g_process.ticks_per_second.load(kRelaxed) / 10) {
      return name;
    }
    slot->name_ticks = now;
  }
  stillframe_syscall(SYS_prctl, kGetName, reinterpret_cast<uint64_t>(name), 0, 0, 0, 0);
  return name;
}

SF_HIT_INLINE bool IsOfName(const Scope& scope, ThreadState& thread) {
  const char* const name = ThreadName(thread);
  const uint32_t bytes = scope.name_bytes;
  for (uint32_t i = 0; i < bytes; ++i) {
    if (name[i] != scope.thread_name[i]) return false;
  }
  return scope.name_is_prefix || name[bytes] == 0;
}

}  // namespace

__attribute__((noinline)) bool InScope(const Scope& scope) {
  ThreadState& thread = t_thread;
  if (scope.by_trace && !IsOfTrace(scope, thread)) return false;
  if (scope.by_session && !IsOfSession(scope, thread)) return false;
  return (scope.name_bytes == 0 && !scope.name_is_prefix) || IsOfName(scope, thread);
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
