// The agent thread and what other threads may ask of it.
//
// Life: Start() makes one thread (signals blocked, named "stillframe") that owns everything else.
// The Agent object is never destroyed: hits and exit handlers may need it until the last
// instruction of the process.
#ifndef STILLFRAME_AGENT_AGENT_H_
#define STILLFRAME_AGENT_AGENT_H_

#include <pthread.h>

#include <condition_variable>
#include <mutex>

#include "agent/link.h"
#include "agent/options.h"
#include "base/status.h"

namespace stillframe::agent {

class Agent {
 public:
  explicit Agent(Options options) : options_(std::move(options)) {}

  // Starts the thread; with STILLFRAME_START_WAIT waits for the first settlement. Any thread.
  Status Start();
  // Waits until everything captured so far is acknowledged or written. False after timeout_ms.
  bool Flush(uint32_t timeout_ms);
  // Flushes and ends the thread's work, within timeout_ms. Takes the probes out unless the process
  // is at its exit and ends anyway.
  void Stop(uint32_t timeout_ms, bool at_exit);
  // Stop, and the thread itself is gone when this returns. For a host that ends its main thread by
  // pthread_exit: it lives on until its last thread ends, and that one runs the exit handlers. Ours
  // must not be the last, ever; so the agent goes with the main thread. That thread, once.
  void StopWithMainThread(uint32_t timeout_ms);

 private:
  friend class AgentLoop;
  static void* ThreadMain(void* self);
  [[noreturn]] static void EndThreadOnly();
  void Wake();  // under mutex_

  // What the loop is asked and tells; under mutex_.
  struct Shared {
    Link* link = nullptr;  // to wake; nullptr before and after the loop
    bool settled = false;  // the first desired set is armed or refused
    bool stop = false;
    bool at_exit = false;
    bool finished = false;
    int64_t stop_deadline_ns = 0;  // CLOCK_MONOTONIC
    uint64_t flush_wanted = 0;     // counts requests
    uint64_t flush_done = 0;
  };

  const Options options_;
  pthread_t thread_{};
  bool started_ = false;  // thread_ is one; written by Start
  std::mutex mutex_;
  std::condition_variable changed_;
  Shared shared_;
};

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_AGENT_H_
