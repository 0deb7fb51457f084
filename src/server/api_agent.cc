// What agents call.
#include "server/api.h"
#include "server/clock.h"
#include "server/compress.h"
#include "server/crypto.h"
#include "server/wire.h"

namespace stillframe::server {
namespace {

constexpr uint64_t kMaxPollBytes = 1u << 20;  // once decompressed
constexpr uint64_t kMaxPublishBytes = 8u << 20;

// The body, unpacked; or the answer that refuses it.
std::optional<Response> Unpack(Request& request, uint64_t max_bytes, bool may_have_tables,
                               std::string& body) {
  std::string_view type = request.Header("content-type");
  type = type.substr(0, type.find(';'));
  const bool tables = may_have_tables && type == "application/x-protobuf-tables";
  if (!tables && type != "application/x-protobuf") {
    return Error(415, "UNSUPPORTED_MEDIA_TYPE", "the body must be application/x-protobuf");
  }
  const std::string encoding(request.Header("content-encoding"));
  auto decoded = DecodeBody(encoding, std::move(request.body), max_bytes);
  if (decoded.ok()) {
    body = std::move(*decoded);
    return std::nullopt;
  }
  const Status status = decoded.status();
  const int http = status.code() == Code::kUnsupported ? 415
                   : status.code() == Code::kOverLimit ? 413
                                                       : 400;
  return Error(http, std::string(CodeName(status.code())), status.message());
}

Response BadMessage(const Status& status) {
  return Error(status.code() == Code::kOverLimit ? 413 : 400,
               status.code() == Code::kOverLimit ? "OVER_LIMIT" : "MALFORMED_PROTOBUF",
               status.message());
}

// An agent speaks for the service and environment of its key, and under a name.
std::optional<Response> CheckIdentity(const std::string& service, const std::string& environment,
                                      const std::string& instance, const Principal& principal) {
  if (!IsName(service, 256) || !IsName(instance, 256)) {
    return Error(400, "INVALID_ARGUMENT", "service and instance must be names");
  }
  if (!principal.SeesService(service) || !principal.SeesEnvironment(environment)) {
    return Error(403, "FORBIDDEN", "this key is for another service or environment");
  }
  return std::nullopt;
}

// Ids of a batch's snapshots: in the order of time, so that the store's index of them grows at its
// end, and with enough chance in them that no two batches have the same.
class SnapshotIds {
 public:
  explicit SnapshotIds(int64_t now_ms)
      : prefix_("sn_" + Digits(static_cast<uint64_t>(now_ms), 12) + RandomHex(4)) {}
  std::string Next() { return prefix_ + Digits(next_++, 4); }

 private:
  static std::string Digits(uint64_t number, size_t count) {
    std::string digits(count, '0');
    for (size_t i = count; i-- > 0; number /= 16) digits[i] = "0123456789abcdef"[number % 16];
    return digits;
  }
  std::string prefix_;
  uint64_t next_ = 0;
};

}  // namespace

void Api::Poll(RouteContext& context) {
  const auto fail = [&](Response response) {
    Count("/v1/agent/poll", response.status);
    context.exchange->Send(std::move(response));
  };
  std::string body;
  if (auto refusal = Unpack(context.request, kMaxPollBytes, false, body)) return fail(*refusal);
  auto request = ParsePollRequest(body);
  if (!request.ok()) return fail(BadMessage(request.status()));
  const model::AgentIdentity& identity = request->identity;
  if (auto refusal = CheckIdentity(identity.service, identity.environment, identity.instance,
                                   context.principal)) {
    return fail(*refusal);
  }
  Count("/v1/agent/poll", 200);
  hub_.Poll(std::move(*request), context.principal.key_id, context.exchange);
}

void Api::Publish(RouteContext& context) {
  const auto fail = [this, exchange = context.exchange](Response response) {
    Count("/v1/agent/publish", response.status);
    exchange->Send(std::move(response));
  };
  std::string body;
  if (auto refusal = Unpack(context.request, kMaxPublishBytes, true, body)) return fail(*refusal);
  auto request = ParsePublishRequest(body);
  if (!request.ok()) return fail(BadMessage(request.status()));
  if (auto refusal = CheckIdentity(request->service, context.principal.environment,
                                   request->instance, context.principal)) {
    return fail(*refusal);
  }
  // The batch does not say its environment; the agent's polls do, and a key's scope is stronger.
  std::string environment = context.principal.environment;
  if (environment.empty()) environment = hub_.EnvironmentOf(request->service, request->instance);
  std::vector<SnapshotRow> rows;
  std::vector<uint64_t> unwanted;  // taken from the agent, and not kept
  const int64_t now_ms = WallMs();
  SnapshotIds ids(now_ms);
  for (model::Snapshot& snapshot : request->snapshots) {
    if (hub_.IsLost(snapshot.tracepoint_id, request->instance)) {
      unwanted.push_back(snapshot.sequence);
      continue;
    }
    snapshot.service = request->service;  // not what the snapshot claims
    snapshot.instance = request->instance;
    // Ours, whatever it says: an id that another snapshot has would be refused with its batch.
    snapshot.id = ids.Next();
    SnapshotRow row;
    row.id = snapshot.id;
    row.service = request->service;
    row.instance = request->instance;
    row.environment = environment;
    row.tracepoint_id = snapshot.tracepoint_id;
    row.trace_id = snapshot.trace.trace_id;
    row.kind = model::KindName(snapshot.kind);
    row.epoch = request->epoch;
    row.sequence = snapshot.sequence;
    row.time_ns = snapshot.time_unix_nanos;
    row.received_ms = now_ms;
    row.json = model::SnapshotToJson(snapshot);
    rows.push_back(std::move(row));
  }
  const Status queued = store_.InsertSnapshots(
      std::move(rows), [this, fail, unwanted](Status status, std::vector<SnapshotRow> done) {
        if (!status.ok()) return fail(Error(503, "UNAVAILABLE", status.message()));
        model::PublishResponse response;
        response.acked = unwanted;
        for (const SnapshotRow& row : done) {
          response.acked.push_back(row.sequence);
          row.inserted ? ++stored_ : ++duplicates_;
          if (row.inserted) hub_.PublishEvent("snapshot", row.service, row.environment, row.json);
        }
        Response answer;
        answer.content_type = "application/x-protobuf";
        answer.body = SerializePublishResponse(response);
        fail(std::move(answer));
      });
  if (!queued.ok()) fail(Error(503, "UNAVAILABLE", queued.message()));
}

}  // namespace stillframe::server
