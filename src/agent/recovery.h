// What dead processes of the same service left in the folder of ring files (STILLFRAME_RING_DIR):
// delivered in their names by the next agent that starts there. Agent thread.
#ifndef STILLFRAME_AGENT_RECOVERY_H_
#define STILLFRAME_AGENT_RECOVERY_H_

#include <memory>
#include <string>
#include <vector>

#include "agent/durable/dead_process.h"
#include "agent/link.h"
#include "agent/options.h"
#include "transport/outbox.h"

namespace stillframe::agent {

class Recovery {
 public:
  explicit Recovery(const Options& options) : options_(options) {}
  // A step of it; does not block. Call until it is no longer busy.
  void Step(Link& link);
  bool busy() const { return !listed_ || dead_ != nullptr || !paths_.empty(); }

 private:
  void List();
  void OpenNext();
  void Finish(const std::vector<model::TracepointReport>& reports);

  const Options& options_;
  bool listed_ = false;
  std::vector<std::string> paths_;  // the next one is the last
  std::unique_ptr<durable::DeadProcess> dead_;
  bool taken_ = false;  // dead_ has no more
  uint64_t count_ = 0;
  // One for all, so that an answer that is under way always finds it.
  static constexpr transport::OutboxLimits kLimits{.bytes = 64u << 20};
  transport::Outbox outbox_{kLimits};
};

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_RECOVERY_H_
