#include "agent/agent.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <new>
#include <string>

#include "agent/agent_loop.h"
#include "agent/hit/hit.h"
#include "agent/hit/read_method.h"
#include "agent/private_descriptors.h"
#include "agent/probe/text_system.h"
#include "agent/tick_clock.h"
#include "base/log.h"

namespace stillframe::agent {
namespace {

constexpr time_t kJoinSeconds = 10;

// The thread inherits the mask of its maker, so there is no moment in which a host signal could
// land on it (HAZARDS D4). Synchronous signals stay open: a blocked SIGSEGV would be fatal at once.
// SIGABRT is none: abort() opens it itself, and one sent to the process is the host's to handle.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) sigdelset(&all, signal);
    pthread_sigmask(SIG_BLOCK, &all, &old_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &old_, nullptr); }

 private:
  sigset_t old_;
};

// The host goes on without us. Allocates nothing.
void SayOutOfMemory() {
  static constexpr char kLine[] = "stillframe: the agent stops: no memory\n";
  WriteLogLine(kLine, sizeof kLine - 1);
}

// ---- std::terminate on the agent thread ----
// An exception that finds no memory for itself ends in std::terminate, which would take the host
// along. Where the C++ library is our own copy, only the thread ends.

std::atomic<Agent*> g_thread_agent{nullptr};
std::atomic<pid_t> g_thread_id{0};

bool CxxLibraryIsOurs() {
  Dl_info library{}, agent{}, program{};
  return dladdr(reinterpret_cast<void*>(
                    static_cast<std::terminate_handler (*)(std::terminate_handler)>(
                        &std::set_terminate)),
                &library) != 0 &&
         dladdr(reinterpret_cast<void*>(&CxxLibraryIsOurs), &agent) != 0 &&
         dladdr(reinterpret_cast<void*>(getauxval(AT_ENTRY)), &program) != 0 &&
         library.dli_fbase == agent.dli_fbase && agent.dli_fbase != program.dli_fbase;
}

}  // namespace

void Agent::EndThreadOnly() {
  if (gettid() != g_thread_id.load(std::memory_order_relaxed)) std::abort();
  SayOutOfMemory();
  Agent* agent = g_thread_agent.load(std::memory_order_relaxed);
  if (agent->mutex_.try_lock()) {  // we may hold it
    agent->shared_.link = nullptr;
    agent->shared_.finished = true;
    agent->shared_.settled = true;
    agent->changed_.notify_all();
    agent->mutex_.unlock();
  }
  syscall(SYS_exit, 0);
  __builtin_unreachable();
}

void* Agent::ThreadMain(void* self) {
  auto& agent = *static_cast<Agent*>(self);
  g_thread_agent.store(&agent, std::memory_order_relaxed);
  g_thread_id.store(gettid(), std::memory_order_relaxed);
  if (CxxLibraryIsOurs()) std::set_terminate(&EndThreadOnly);
  hit::ExcludeThisThread();
  try {
    // While the table of descriptors is still the host's: the way to read memory that needs a
    // descriptor needs it there.
    if (Status status = hit::ChooseReadMethod(); !status.ok()) LogInfo(status.ToString());
    if (UsePrivateDescriptors()) {
      probe::KeepMemoryFile();
    } else {
      LogInfo("descriptors are shared with the program");
    }
    // Never destroyed: hits may still read plans and tables after the thread's end.
    (new AgentLoop(agent))->Run();
  } catch (const std::bad_alloc&) {
    SayOutOfMemory();
  } catch (const std::exception& error) {
    try {
      LogError(std::string("the agent stops: ") + error.what());
    } catch (...) {
      SayOutOfMemory();
    }
  }
  const std::lock_guard lock(agent.mutex_);
  agent.shared_.link = nullptr;
  agent.shared_.finished = true;
  agent.shared_.settled = true;
  agent.changed_.notify_all();
  return nullptr;
}

Status Agent::Start() {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  // Stack is address space only until touched; the type reader recurses.
  pthread_attr_setstacksize(&attributes, 2u << 20);
  int error = 0;
  {
    const SignalsBlocked blocked;
    error = pthread_create(&thread_, &attributes, &Agent::ThreadMain, this);
  }
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    shared_.finished = true;
    return ErrnoStatus("starting the agent thread", error);
  }
  started_ = true;
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

void Agent::StopWithMainThread(uint32_t timeout_ms) {
  LogInfo("the program's main thread ends: the agent stops");
  Stop(timeout_ms, /*at_exit=*/false);
  if (!started_) return;
  // The thread may be in the middle of something long; no other thread of the host waits for this.
  timespec deadline{};
  clock_gettime(CLOCK_MONOTONIC, &deadline);
  deadline.tv_sec += kJoinSeconds;
  pthread_clockjoin_np(thread_, nullptr, CLOCK_MONOTONIC, &deadline);
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
