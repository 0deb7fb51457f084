// HTTP to the server, behind an interface so that tests inject a fake. Only this room sees libcurl.
//
// One Connection is driven by the agent thread alone and never blocks outside Wait().
#ifndef STILLFRAME_TRANSPORT_TRANSPORT_H_
#define STILLFRAME_TRANSPORT_TRANSPORT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "model/agent_info.h"

namespace stillframe::transport {

struct Endpoint {
  std::string server;   // http(s)://host:port
  std::string api_key;  // "" = none
};

class Connection {
 public:
  // kUnavailable when libcurl cannot be had (the reason in the message).
  static Result<std::unique_ptr<Connection>> Create(const Endpoint& endpoint);
  virtual ~Connection() = default;

  // Starts a long poll; at most one at a time. A running poll may be cut short by CancelPoll (to
  // report statuses at once).
  virtual void StartPoll(const model::PollRequest& request) = 0;
  virtual void CancelPoll() = 0;
  virtual bool poll_running() const = 0;
  // The finished poll's outcome, once; nullopt while there is none. Errors: kUnavailable (worth a
  // retry), kUnauthorized, kInvalidArgument, kUnsupported (the server does not know the form),
  // kCorrupt.
  virtual std::optional<Result<model::PollResponse>> TakePoll() = 0;

  // `body`: a PublishRequest, with or without tables.
  virtual void StartPublish(const std::string& body, bool tables) = 0;
  virtual bool publish_running() const = 0;
  virtual std::optional<Result<model::PublishResponse>> TakePublish() = 0;
  // Server's Retry-After of the last failed answer, 0 = none.
  virtual uint32_t retry_after_ms() const = 0;

  // Sleeps until there is network activity, Wake() or the time-out, and makes progress.
  virtual void Wait(uint32_t timeout_ms) = 0;
  // From any thread (not from a hit or signal handler).
  virtual void Wake() = 0;
};

// Wire encoding, exposed for tests (libprotobuf is the oracle) and fuzzing.
std::string EncodePollRequest(const model::PollRequest& request);
Result<model::PollResponse> DecodePollResponse(std::string_view bytes);
// From so many on, a batch is smaller with tables once it is compressed, and no dearer to make
// (benchmarks/results/wire.md); a smaller one is smaller without.
inline constexpr size_t kTablesFromSnapshots = 16;
// Without tables; with them: SnapshotPack.
std::string EncodePublishRequest(const model::PublishRequest& request);
Result<model::PublishResponse> DecodePublishResponse(std::string_view bytes);

}  // namespace stillframe::transport

#endif  // STILLFRAME_TRANSPORT_TRANSPORT_H_
