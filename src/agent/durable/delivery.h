// What a dead process left, on its way to a server in its name.
#ifndef STILLFRAME_AGENT_DURABLE_DELIVERY_H_
#define STILLFRAME_AGENT_DURABLE_DELIVERY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "agent/durable/dead_process.h"
#include "transport/outbox.h"

namespace stillframe::durable {

// What the process counted in all, its records included that went through the outbox since.
std::vector<model::TracepointReport> FinalReports(const DeadProcess& dead,
                                                  const transport::Outbox& outbox);

// Sends everything that Next() gives, then the final counters; returns how many snapshots the
// server has now. Blocks; tries again for half a minute while the server cannot be reached or is
// busy. Sending the same again is harmless: the server keeps one copy. Errors: kUnavailable,
// kUnauthorized, kInvalidArgument (the server refuses something), kCorrupt.
Result<uint64_t> Deliver(DeadProcess& dead, const std::string& server, const std::string& key);

}  // namespace stillframe::durable

#endif  // STILLFRAME_AGENT_DURABLE_DELIVERY_H_
