// The server: long poll for the desired set, publish for snapshots, both on one connection object.
#include <algorithm>
#include <random>

#include "agent/link.h"
#include "agent/tick_clock.h"
#include "base/log.h"
#include "transport/transport.h"

namespace stillframe::agent {
namespace {

constexpr uint32_t kHoldMs = 50'000;
// While probes are in, statuses go out about once a second without tearing the connection down.
constexpr uint32_t kActiveHoldMs = 1'000;

int64_t Ms(uint32_t ms) { return int64_t{ms} * 1'000'000; }

bool Live(const model::TracepointReport& report) {
  return report.status.state == model::State::kArmed ||
         report.status.state == model::State::kEmitting;
}

// When to try again after a failure.
class Retry {
 public:
  void Succeeded() { attempt_ = 0, not_before_ns_ = 0; }
  void Failed(uint32_t retry_after_ms) {
    const double random = std::uniform_real_distribution<>(0, 1)(random_);
    not_before_ns_ =
        MonotonicNanos() + Ms(transport::BackoffMs(++attempt_, retry_after_ms, random));
  }
  bool due() const { return MonotonicNanos() >= not_before_ns_; }
  bool failing() const { return attempt_ > 0; }
  int64_t not_before_ns() const { return not_before_ns_; }

 private:
  uint32_t attempt_ = 0;
  int64_t not_before_ns_ = 0;
  std::minstd_rand random_{std::random_device()()};
};

std::string EncodePlainly(const model::AgentIdentity& sender,
                          std::vector<model::Snapshot> snapshots) {
  model::PublishRequest request;
  request.instance = sender.instance;
  request.service = sender.service;
  request.epoch = static_cast<uint64_t>(sender.start_unix_nanos);
  request.snapshots = std::move(snapshots);
  return transport::EncodePublishRequest(request);
}

class ServerLink final : public Link {
 public:
  ServerLink(std::unique_ptr<transport::Connection> connection,
             const model::AgentIdentity& identity, uint32_t max_silence_ms)
      : connection_(std::move(connection)), identity_(identity), max_silence_ms_(max_silence_ms) {}

  std::optional<std::string> silence() const override {
    if (max_silence_ms_ == 0 ||
        MonotonicNanos() - heard_ns_ <= int64_t{max_silence_ms_} * 1'000'000) {
      return std::nullopt;
    }
    return "because the server was not heard of for " + std::to_string(max_silence_ms_ / 1'000) +
           " s (STILLFRAME_MAX_SILENCE)";
  }

  std::optional<model::DesiredSet> TakeDesired() override {
    TakePoll();
    StartPoll();
    if (!desired_) return std::nullopt;
    knows_desired_ = true;
    return std::exchange(desired_, std::nullopt);
  }
  bool knows_desired() const override { return knows_desired_; }

  std::vector<model::Query> TakeQueries() override { return std::exchange(queries_, {}); }
  void Answer(model::Answer answer) override {
    answers_.push_back(std::move(answer));
    PollAtOnce();
  }

  void Report(std::vector<model::TracepointReport> reports, bool urgent) override {
    reports_ = std::move(reports);
    // A poll that is held for long would keep the counters back until it ends.
    if (urgent || held_long_) PollAtOnce();
  }

  void Send(transport::Outbox& outbox) override { SendFor(identity_, outbox); }

  void SendFor(const model::AgentIdentity& sender, transport::Outbox& outbox) override {
    TakePublish();
    if (connection_->publish_running() || outbox.empty() || !publish_retry_.due()) return;
    publishing_ = outbox.Sequences();
    published_ = &outbox;
    const bool tables = takes_tables_ && publishing_.size() >= transport::kTablesFromSnapshots;
    connection_->StartPublish(
        tables ? outbox.EncodeBatch(sender) : EncodePlainly(sender, outbox.Batch()), tables);
  }

  bool TellFor(const model::AgentIdentity& dead,
               const std::vector<model::TracepointReport>& reports) override {
    if (told_ == dead.instance) return true;
    if (farewell_) return false;
    farewell_.emplace();
    farewell_->identity = dead;
    farewell_->hold_ms = 0;
    farewell_->reports = reports;
    farewell_->leaving = true;
    PollAtOnce();
    return false;
  }

  void Wait(uint32_t timeout_ms) override {
    int64_t until = MonotonicNanos() + Ms(timeout_ms);
    if (!connection_->poll_running()) until = std::min(until, poll_retry_.not_before_ns());
    // Rounded up: a time-out of 0 does not sleep at all.
    const int64_t left = (until - MonotonicNanos() + 999'999) / 1'000'000;
    connection_->Wait(static_cast<uint32_t>(std::clamp<int64_t>(left, 0, timeout_ms)));
  }
  void Wake() override { connection_->Wake(); }

  void Close(std::vector<model::TracepointReport> reports, uint32_t timeout_ms) override {
    if (poll_retry_.failing()) return;
    reports_ = std::move(reports);
    leaving_ = true;
    telling_ = false;
    connection_->CancelPoll();
    connection_->StartPoll(MakePoll(0));
    const int64_t deadline = MonotonicNanos() + Ms(timeout_ms);
    while (!connection_->TakePoll() && MonotonicNanos() < deadline) connection_->Wait(5);
  }

 private:
  model::PollRequest MakePoll(uint32_t hold_ms) {
    model::PollRequest request;
    request.identity = identity_;
    request.known_revision = revision_;
    request.hold_ms = hold_ms;
    request.reports = reports_;
    request.answers = answers_;
    request.leaving = leaving_;
    return request;
  }

  void StartPoll() {
    if (connection_->poll_running() || desired_ || !poll_retry_.due()) return;
    if (farewell_) {
      telling_ = true;
      return connection_->StartPoll(*farewell_);
    }
    // The first poll is answered at once, so that a start can wait for the set.
    const bool live = std::any_of(reports_.begin(), reports_.end(), Live);
    uint32_t hold_ms = !polled_ || again_ ? 0 : live ? kActiveHoldMs : kHoldMs;
    // A server that only holds a poll is not silent: it answers before that counts.
    if (max_silence_ms_ != 0) hold_ms = std::min(hold_ms, max_silence_ms_ / 2);
    again_ = false;
    held_long_ = hold_ms > kActiveHoldMs;
    sent_answers_ = answers_.size();
    connection_->StartPoll(MakePoll(hold_ms));
  }

  // A held poll is cut short, so that the server hears of a change now.
  void PollAtOnce() {
    again_ = true;
    if (telling_) return;  // it is short
    connection_->CancelPoll();
    StartPoll();
  }

  void TakePoll() {
    auto outcome = connection_->TakePoll();
    if (!outcome) return;
    if (std::exchange(telling_, false)) {
      const Code code = outcome->status().code();
      // What the server will not hear today it will not hear tomorrow.
      if (outcome->ok() || code == Code::kInvalidArgument || code == Code::kUnsupported) {
        told_ = farewell_->identity.instance;
        farewell_.reset();
        return;
      }
    }
    if (!outcome->ok()) {
      const Status status = outcome->status();
      if (!poll_retry_.failing() || status.code() == Code::kUnauthorized) {
        LogError("the server cannot be polled: " + status.ToString());
      }
      poll_retry_.Failed(connection_->retry_after_ms());
      return;
    }
    if (poll_retry_.failing()) LogInfo("the server answers again");
    poll_retry_.Succeeded();
    heard_ns_ = MonotonicNanos();
    answers_.erase(answers_.begin(), answers_.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                            sent_answers_, answers_.size())));
    sent_answers_ = 0;
    model::PollResponse& response = **outcome;
    queries_.insert(queries_.end(), response.queries.begin(), response.queries.end());
    if (!response.unchanged) {
      revision_ = response.desired.revision;
      desired_ = std::move(response.desired);
    } else if (!polled_) {
      desired_.emplace();  // the empty set is an answer too
    }
    polled_ = true;
    takes_tables_ = response.takes_tables;
  }

  void TakePublish() {
    auto outcome = connection_->TakePublish();
    if (!outcome) return;
    transport::Outbox& outbox = *std::exchange(published_, nullptr);
    if (outcome->ok()) {
      publish_retry_.Succeeded();
      outbox.Acked((*outcome)->acked);
      return;
    }
    const Status status = outcome->status();
    if (status.code() != Code::kUnsupported && !publish_retry_.failing())
      LogError("snapshots cannot be sent: " + status.ToString());
    // Another server answered than the one that we poll, an older one: the same again, plainly.
    if (status.code() == Code::kUnsupported && std::exchange(takes_tables_, false)) return;
    // What the server calls malformed it will call malformed again.
    if (status.code() == Code::kInvalidArgument) outbox.Reject(publishing_);
    publish_retry_.Failed(connection_->retry_after_ms());
  }

  std::unique_ptr<transport::Connection> connection_;
  const model::AgentIdentity& identity_;
  Retry poll_retry_, publish_retry_;
  const uint32_t max_silence_ms_;
  int64_t heard_ns_ = MonotonicNanos();
  uint64_t revision_ = 0;
  bool polled_ = false, again_ = false, knows_desired_ = false, held_long_ = false;
  std::optional<model::DesiredSet> desired_;
  bool takes_tables_ = false;  // as the last poll said
  bool leaving_ = false;
  std::optional<model::PollRequest> farewell_;  // of a dead process, until it is heard
  bool telling_ = false;                        // it is the poll that runs
  std::string told_;                            // whose was heard last
  std::vector<model::Query> queries_;
  std::vector<model::Answer> answers_;
  size_t sent_answers_ = 0;
  std::vector<model::TracepointReport> reports_;
  std::vector<uint64_t> publishing_;
  transport::Outbox* published_ = nullptr;  // whose entries are under way
};

}  // namespace

Result<std::unique_ptr<Link>> MakeServerLink(const Options& options,
                                             const model::AgentIdentity& identity) {
  SF_ASSIGN_OR_RETURN(auto connection, transport::Connection::Create(transport::Endpoint{
                                           .server = options.server, .api_key = options.api_key}));
  return std::unique_ptr<Link>(
      std::make_unique<ServerLink>(std::move(connection), identity, options.max_silence_ms));
}

}  // namespace stillframe::agent
