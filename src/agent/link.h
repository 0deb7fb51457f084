// Where the desired set comes from and where snapshots go: a server, or two files.
#ifndef STILLFRAME_AGENT_LINK_H_
#define STILLFRAME_AGENT_LINK_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/options.h"
#include "base/status.h"
#include "model/agent_info.h"
#include "transport/outbox.h"

namespace stillframe::agent {

// Agent thread only.
class Link {
 public:
  virtual ~Link() = default;
  // A new desired set, once; nullopt when nothing changed since the last call.
  virtual std::optional<model::DesiredSet> TakeDesired() = 0;
  // True once the first desired set is known (or known to be unreachable for good).
  virtual bool knows_desired() const = 0;
  // Why nothing may go on: the server has not been heard of for too long. nullopt: it has.
  virtual std::optional<std::string> silence() const { return std::nullopt; }
  // Queries of the server since the last call, and their answers.
  virtual std::vector<model::Query> TakeQueries() { return {}; }
  virtual void Answer(model::Answer answer) = 0;
  // Statuses to report; `urgent` = a state changed, tell at once.
  virtual void Report(std::vector<model::TracepointReport> reports, bool urgent) = 0;
  // Moves what it can from the outbox. May finish later.
  virtual void Send(transport::Outbox& outbox) = 0;
  // The same in the name of another process, which is dead. Both must outlive the link or be empty.
  virtual void SendFor(const model::AgentIdentity& dead, transport::Outbox& outbox) = 0;
  // What that process counted in all: its last words. Call again until it is true: they arrived, or
  // there is nobody to be told.
  virtual bool TellFor(const model::AgentIdentity& /*dead*/,
                       const std::vector<model::TracepointReport>& /*reports*/) {
    return true;
  }
  // Sleeps until something happens or timeout_ms passed. Wake() ends it, from any thread.
  virtual void Wait(uint32_t timeout_ms) = 0;
  virtual void Wake() = 0;
  // The last words before the thread ends: final statuses, at most timeout_ms.
  virtual void Close(std::vector<model::TracepointReport> reports, uint32_t timeout_ms) = 0;
};

Result<std::unique_ptr<Link>> MakeServerLink(const Options& options,
                                             const model::AgentIdentity& identity);
Result<std::unique_ptr<Link>> MakeFileLink(const Options& options,
                                           const model::AgentIdentity& identity);

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_LINK_H_
