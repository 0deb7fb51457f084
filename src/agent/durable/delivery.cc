#include "agent/durable/delivery.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "transport/transport.h"

namespace stillframe::durable {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kTryFor = std::chrono::seconds(30);
constexpr uint32_t kWaitMs = 100;
constexpr uint64_t kAtOnceBytes = 1u << 20;

class Sender {
 public:
  Sender(transport::Connection& connection, const model::AgentIdentity& identity)
      : connection_(connection), identity_(identity) {}

  Status Publish(transport::Outbox& outbox) {
    while (!outbox.empty()) {
      model::PublishRequest request;
      request.instance = identity_.instance;
      request.service = identity_.service;
      request.epoch = static_cast<uint64_t>(identity_.start_unix_nanos);
      request.snapshots = outbox.Batch();
      const std::string body = transport::EncodePublishRequest(request);
      SF_ASSIGN_OR_RETURN(
          const model::PublishResponse answer,
          Retried<model::PublishResponse>([&] { connection_.StartPublish(body, false); },
                                          [&] { return connection_.TakePublish(); }));
      if (answer.acked.empty()) return Status(Code::kCorrupt, "the server acknowledges nothing");
      outbox.Acked(answer.acked);
    }
    return Status();
  }

  Status Tell(std::vector<model::TracepointReport> reports) {
    model::PollRequest request;
    request.identity = identity_;
    request.hold_ms = 0;
    request.reports = std::move(reports);
    request.leaving = true;
    return Retried<model::PollResponse>([&] { connection_.StartPoll(request); },
                                        [&] { return connection_.TakePoll(); })
        .status();
  }

 private:
  template <typename Response, typename Start, typename Take>
  Result<Response> Retried(const Start& start, const Take& take) {
    const auto deadline = Clock::now() + kTryFor;
    for (uint32_t attempt = 1;; ++attempt) {
      start();
      auto outcome = take();
      while (!outcome) {
        connection_.Wait(kWaitMs);
        outcome = take();
      }
      const uint32_t pause_ms =
          std::max(kWaitMs, transport::BackoffMs(attempt, connection_.retry_after_ms(), 0.5));
      const bool again = !outcome->ok() && outcome->status().code() == Code::kUnavailable &&
                         Clock::now() + std::chrono::milliseconds(pause_ms) < deadline;
      if (!again) return std::move(*outcome);
      std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
    }
  }

  transport::Connection& connection_;
  const model::AgentIdentity& identity_;
};

}  // namespace

std::vector<model::TracepointReport> FinalReports(const DeadProcess& dead,
                                                  const transport::Outbox& outbox) {
  std::vector<model::TracepointReport> reports = dead.Reports();
  for (model::TracepointReport& report : reports) {
    model::Counters& counters = report.status.counters;
    const auto arrived = [&counters](uint64_t count) {
      counters.in_flight -= std::min(counters.in_flight, count);
    };
    counters.acked += outbox.acked(report.id);
    arrived(outbox.acked(report.id));
    for (const auto& [reason, count] : outbox.dropped(report.id)) {
      counters.dropped[reason] += count;
      arrived(count);
    }
    // What it took of its share; more than that is free for others.
    report.status.lease = model::LeaseReport{counters.captured, counters.captured, false, 0};
  }
  return reports;
}

Result<uint64_t> Deliver(DeadProcess& dead, const std::string& server, const std::string& key) {
  SF_ASSIGN_OR_RETURN(
      const std::unique_ptr<transport::Connection> connection,
      transport::Connection::Create(transport::Endpoint{.server = server, .api_key = key}));
  Sender sender(*connection, dead.identity());
  transport::Outbox outbox(transport::OutboxLimits{.bytes = 64u << 20});
  uint64_t count = 0;
  while (auto snapshot = dead.Next()) {
    if (outbox.bytes() >= kAtOnceBytes) SF_RETURN_IF_ERROR(sender.Publish(outbox));
    if (outbox.Add(*snapshot)) ++count;
  }
  SF_RETURN_IF_ERROR(sender.Publish(outbox));
  SF_RETURN_IF_ERROR(sender.Tell(FinalReports(dead, outbox)));
  return count;
}

}  // namespace stillframe::durable
