#include "agent/agent.h"

#include <pthread.h>
#include <signal.h>

#include <chrono>

#include "agent/agent_loop.h"
#include "agent/tick_clock.h"
#include "base/log.h"

namespace stillframe::agent {
namespace {

// The thread inherits the mask of its maker, so there is no moment in which a host signal could
// land on it (HAZARDS D4). Synchronous signals stay open: a blocked SIGSEGV would be fatal at once.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&all, signal);
    pthread_sigmask(SIG_BLOCK, &all, &old_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &old_, nullptr); }

 private:
  sigset_t old_;
};

}  // namespace

void* Agent::ThreadMain(void* self) {
  auto& agent = *static_cast<Agent*>(self);
  try {
    // Never destroyed: hits may still read plans and tables after the thread's end.
    (new AgentLoop(agent))->Run();
  } catch (const std::exception& error) {
    // Memory is out, most likely: the host goes on without us.
    LogError(std::string("the agent stops: ") + error.what());
  }
  const std::lock_guard lock(agent.mutex_);
  agent.shared_.link = nullptr;
  agent.shared_.finished = true;
  agent.shared_.settled = true;
  agent.changed_.notify_all();
  return nullptr;
}

Status Agent::Start() {
  pthread_t thread;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  // Stack is address space only until touched; the type reader recurses.
  pthread_attr_setstacksize(&attributes, 2u << 20);
  int error = 0;
  {
    const SignalsBlocked blocked;
    error = pthread_create(&thread, &attributes, &Agent::ThreadMain, this);
  }
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    shared_.finished = true;
    return ErrnoStatus("starting the agent thread", error);
  }
  if (options_.start_wait_ms > 0) {
    std::unique_lock lock(mutex_);
    const bool settled = changed_.wait_for(lock, std::chrono::milliseconds(options_.start_wait_ms),
                                           [this] { return shared_.settled; });
    if (!settled) LogError("STILLFRAME_START_WAIT is over before the tracepoints are armed");
  }
  return Status();
}

void Agent::Wake() {
  if (shared_.link != nullptr) shared_.link->Wake();
}

bool Agent::Flush(uint32_t timeout_ms) {
  std::unique_lock lock(mutex_);
  if (shared_.finished) return true;
  const uint64_t mine = ++shared_.flush_wanted;
  Wake();
  return changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                           [this, mine] { return shared_.flush_done >= mine || shared_.finished; });
}

void Agent::Stop(uint32_t timeout_ms, bool at_exit) {
  std::unique_lock lock(mutex_);
  if (shared_.finished) return;
  shared_.stop = true;
  shared_.at_exit = at_exit;
  shared_.stop_deadline_ns = MonotonicNanos() + int64_t{timeout_ms} * 1'000'000;
  Wake();
  changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                    [this] { return shared_.finished; });
}

}  // namespace stillframe::agent
