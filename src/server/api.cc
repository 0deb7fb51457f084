#include "server/api.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "base/log.h"

namespace stillframe::server {

Response Error(int status, const std::string& code, const std::string& message,
               const std::string& field) {
  Response response;
  response.status = status;
  response.body = model::ErrorToJson({code, message, field});
  return response;
}

Response Error(const model::FieldError& error) {
  Response response;
  response.status = error.code == "OVER_LIMIT" ? 413 : 400;
  response.body = model::ErrorToJson(error);
  return response;
}
namespace {

constexpr uint64_t kMaxRestBody = 64u << 10;
constexpr uint64_t kMaxPollBody = 1u << 20;
constexpr uint64_t kMaxPublishBody = 8u << 20;
constexpr size_t kMaxWork = 10'000;
constexpr int kWorkers = 4;

const std::vector<Route> kRoutes = {
    {"POST", "/v1/services/{service}/tracepoints", Access::kWrite, "", true},
    {"GET", "/v1/services/{service}/tracepoints", Access::kRead, "pageSize pageToken", false},
    {"GET", "/v1/tracepoints/{id}", Access::kRead, "", false},
    {"PATCH", "/v1/tracepoints/{id}", Access::kWrite, "", true},
    {"DELETE", "/v1/tracepoints/{id}", Access::kWrite, "", true},
    {"POST", "/v1/stops", Access::kWrite, "", true},
    {"GET", "/v1/stops", Access::kRead, "", false},
    {"DELETE", "/v1/stops/{id}", Access::kWrite, "", true},
    {"GET", "/v1/services", Access::kRead, "pageSize pageToken", false},
    {"GET", "/v1/services/{service}/agents", Access::kRead, "pageSize pageToken", false},
    {"GET", "/v1/services/{service}/lines", Access::kRead, "file line pageSize pageToken", false},
    {"GET", "/v1/services/{service}/variables", Access::kRead, "file line pageSize pageToken",
     false},
    {"GET", "/v1/snapshots", Access::kRead,
     "service tracepoint traceId kind since pageSize pageToken", true},
    {"GET", "/v1/snapshots/{id}", Access::kRead, "", true},
    {"GET", "/v1/events", Access::kRead, "service", false},
    {"POST", "/v1/agent/poll", Access::kAgent, "", false},
    {"POST", "/v1/agent/publish", Access::kAgent, "", true},
    {"GET", "/healthz", Access::kPublic, "", false},
    {"GET", "/readyz", Access::kPublic, "", true},
    {"GET", "/metrics", Access::kPublic, "", true},
};

bool MatchesPattern(std::string_view pattern, const std::vector<std::string>& segments,
                    std::vector<std::string>& parameters) {
  parameters.clear();
  size_t i = 0;
  while (!pattern.empty()) {
    pattern.remove_prefix(1);  // '/'
    const std::string_view part = pattern.substr(0, pattern.find('/'));
    pattern.remove_prefix(part.size());
    if (i == segments.size()) return false;
    if (part.starts_with('{')) {
      if (segments[i].empty()) return false;
      parameters.push_back(segments[i]);
    } else if (part != segments[i]) {
      return false;
    }
    ++i;
  }
  return i == segments.size();
}

uint64_t MaxBody(const Route& route) {
  if (route.access != Access::kAgent) return kMaxRestBody;
  return std::strcmp(route.pattern, "/v1/agent/publish") == 0 ? kMaxPublishBody : kMaxPollBody;
}

bool IsAllowedParameter(const char* allowed, const std::string& name) {
  const std::string list = std::string(" ") + allowed + " ";
  return list.find(" " + name + " ") != std::string::npos;
}

}  // namespace

const std::vector<Route>& Routes() { return kRoutes; }

Api::Api(Store& store, Hub& hub, bool no_auth, Sources sources)
    : store_(store), hub_(hub), keys_(store), no_auth_(no_auth), sources_(std::move(sources)) {
  for (int i = 0; i < kWorkers; ++i) workers_.emplace_back([this] { Work(); });
}

Api::~Api() { Stop(); }

void Api::Stop() {
  {
    const std::lock_guard lock(work_mutex_);
    stopping_ = true;
  }
  work_ready_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

void Api::Work() {
  while (true) {
    std::function<void()> job;
    {
      std::unique_lock lock(work_mutex_);
      work_ready_.wait(lock, [this] { return stopping_ || !work_.empty(); });
      if (work_.empty()) return;
      job = std::move(work_.front());
      work_.pop_front();
    }
    try {
      job();
    } catch (const std::exception& error) {  // bad_alloc, most likely: that request is lost
      LogError(std::string("unexpected exception in a request: ") + error.what());
    }
  }
}

Api::Match Api::FindRoute(const Request& request, const Target& target) {
  Match match;
  for (const Route& route : kRoutes) {
    std::vector<std::string> parameters;
    if (!MatchesPattern(route.pattern, target.segments, parameters)) continue;
    match.path_known = true;
    match.allowed += (match.allowed.empty() ? "" : ", ") + std::string(route.method);
    if (request.method != route.method) continue;
    match.route = &route;
    match.parameters = std::move(parameters);
  }
  return match;
}

// Without keys, a name that resolves to this machine is the only way in for a web page of someone
// else (DNS rebinding): only the machine's own names are answered.
std::optional<Response> Api::CheckHost(const Request& request) const {
  std::string_view host = request.Header("host");
  if (host.starts_with('[')) {
    host = host.substr(0, host.find(']') + 1);
  } else {
    host = host.substr(0, host.find(':'));
  }
  in_addr address{};
  const bool v4 = inet_pton(AF_INET, std::string(host).c_str(), &address) == 1 &&
                  ntohl(address.s_addr) >> 24 == 127;
  if (v4 || host == "localhost" || host == "[::1]") return std::nullopt;
  return Error(403, "FORBIDDEN", "with --no-auth the server answers to localhost only");
}

std::optional<Response> Api::Authorize(const Request& request, const Route& route,
                                       Principal& principal) {
  if (route.access == Access::kPublic) return std::nullopt;
  if (no_auth_) {
    if (auto refusal = CheckHost(request)) return refusal;
    principal.role = Role::kAdmin;
    principal.everything = true;
    return std::nullopt;
  }
  std::string_view header = request.Header("authorization");
  constexpr std::string_view kBearer = "Bearer ";
  std::optional<Principal> holder;
  if (header.size() > kBearer.size() &&
      std::equal(kBearer.begin(), kBearer.end(), header.begin(),
                 [](char a, char b) { return a == b || (a >= 'A' && a <= 'Z' && a + 32 == b); })) {
    holder = keys_.Find(header.substr(kBearer.size()));
  }
  if (!holder) {
    Response response = Error(401, "UNAUTHORIZED",
                              header.empty() ? "an API key is missing (Authorization: Bearer …)"
                                             : "the API key is not valid");
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
    return response;
  }
  if (!Allows(holder->role, route.access)) {
    return Error(403, "FORBIDDEN",
                 "a key of role " + std::string(RoleName(holder->role)) + " may not do this");
  }
  principal = *holder;
  return std::nullopt;
}

HeaderVerdict Api::OnHeader(const Request& request) {
  HeaderVerdict verdict;
  const auto target = ParseTarget(request.target);
  if (!target) return verdict;  // answered in OnRequest
  const Match match = FindRoute(request, *target);
  if (match.route == nullptr) {
    verdict.max_body = kMaxRestBody;
    return verdict;
  }
  // Nobody without a key gets to send a body.
  Principal principal;
  verdict.refusal = Authorize(request, *match.route, principal);
  if (verdict.refusal) Count(match.route->pattern, verdict.refusal->status);
  verdict.max_body = MaxBody(*match.route);
  return verdict;
}

Response Api::OnBroken(int status, std::string_view message) {
  Count("(broken)", status);
  const char* code = status == 413   ? "TOO_LARGE"
                     : status == 431 ? "HEADER_TOO_LARGE"
                     : status == 408 ? "TIMEOUT"
                                     : "MALFORMED_REQUEST";
  return Error(status, code, std::string(message));
}

void Api::OnRequest(Request request, std::shared_ptr<Exchange> exchange) {
  auto owned = std::make_shared<Request>(std::move(request));
  auto target = ParseTarget(owned->target);
  if (!target) {
    Count("(none)", 400);
    return exchange->Send(Error(400, "MALFORMED_REQUEST", "the path or query is malformed"));
  }
  const Match match = FindRoute(*owned, *target);
  if (match.route == nullptr) {
    Response response = match.path_known
                            ? Error(405, "METHOD_NOT_ALLOWED", owned->method + " is not allowed")
                            : Error(404, "NOT_FOUND", "there is nothing at this path");
    if (match.path_known) response.headers.emplace_back("Allow", match.allowed);
    Count("(none)", response.status);
    return exchange->Send(std::move(response));
  }
  auto context =
      std::make_shared<RouteContext>(RouteContext{*owned, *target, match.parameters, {}, exchange});
  const Route& route = *match.route;
  std::optional<Response> refusal = Authorize(*owned, route, context->principal);
  for (const auto& [name, value] : target->query) {
    if (!refusal && !IsAllowedParameter(route.query, name)) {
      refusal = Error(400, "UNKNOWN_FIELD", "unknown parameter '" + name + "'", name);
    }
  }
  if (refusal) return Finish(route, *context, std::move(*refusal));
  if (!route.blocks) return Dispatch(route, *context);
  {
    const std::lock_guard lock(work_mutex_);
    if (work_.size() < kMaxWork && !stopping_) {
      work_.push_back([this, owned, context, &route] { Dispatch(route, *context); });
      work_ready_.notify_one();
      return;
    }
  }
  Finish(route, *context, Error(503, "UNAVAILABLE", "too many requests wait"));
}

void Api::Dispatch(const Route& route, RouteContext& context) {
  const std::string key = std::string(route.method) + " " + route.pattern;
  const auto is = [&key](const char* name) { return key == name; };
  if (is("GET /v1/events")) return Events(context);
  if (is("GET /v1/services/{service}/lines")) return Ask(context, "lines");
  if (is("GET /v1/services/{service}/variables")) return Ask(context, "variables");
  if (is("POST /v1/agent/poll")) return Poll(context);
  if (is("POST /v1/agent/publish")) return Publish(context);
  Response response;
  if (is("POST /v1/services/{service}/tracepoints")) {
    response = Create(context);
  } else if (is("GET /v1/services/{service}/tracepoints")) {
    response = List(context);
  } else if (is("GET /v1/tracepoints/{id}")) {
    response = Read(context);
  } else if (is("PATCH /v1/tracepoints/{id}")) {
    response = Patch(context);
  } else if (is("DELETE /v1/tracepoints/{id}")) {
    response = Delete(context);
  } else if (is("POST /v1/stops")) {
    response = AddStop(context);
  } else if (is("GET /v1/stops")) {
    response = Stops(context);
  } else if (is("DELETE /v1/stops/{id}")) {
    response = RemoveStop(context);
  } else if (is("GET /v1/services")) {
    response = Services(context);
  } else if (is("GET /v1/services/{service}/agents")) {
    response = Agents(context);
  } else if (is("GET /v1/snapshots")) {
    response = Snapshots(context);
  } else if (is("GET /v1/snapshots/{id}")) {
    response = OneSnapshot(context);
  } else if (is("GET /readyz")) {
    response = Ready();
  } else if (is("GET /metrics")) {
    response = Metrics();
  } else {
    response.body = "{\"status\":\"ok\"}";
  }
  Finish(route, context, std::move(response));
}

void Api::Finish(const Route& route, RouteContext& context, Response response) {
  Count(route.pattern, response.status);
  context.exchange->Send(std::move(response));
}

void Api::Count(const char* route, int status) {
  const std::lock_guard lock(counts_mutex_);
  ++requests_[{route, status}];
}

Response Api::Ready() {
  if (Status status = store_.CheckWritable(); !status.ok()) {
    return Error(503, "UNAVAILABLE", status.message());
  }
  Response response;
  response.body = "{\"status\":\"ready\"}";
  return response;
}

Response Api::Metrics() {
  std::string text =
      "# HELP stillframe_requests_total Answers, by route and status.\n"
      "# TYPE stillframe_requests_total counter\n";
  {
    const std::lock_guard lock(counts_mutex_);
    for (const auto& [key, count] : requests_) {
      text += "stillframe_requests_total{route=\"" + key.first + "\",status=\"" +
              std::to_string(key.second) + "\"} " + std::to_string(count) + "\n";
    }
  }
  const auto add = [&text](const std::string& name, const char* type, uint64_t value,
                           const char* help) {
    const std::string full = "stillframe_" + name;
    text += "# HELP " + full + " " + help + "\n# TYPE " + full + " " + type + "\n" + full + " " +
            std::to_string(value) + "\n";
  };
  const HubStats hub = hub_.stats();
  add("agents", "gauge", hub.agents, "Connected agents.");
  add("polls_held", "gauge", hub.held_polls, "Long polls that wait for news.");
  add("event_streams", "gauge", hub.streams, "Open event streams.");
  add("tracepoints", "gauge", hub.tracepoints, "Tracepoints, expired ones included.");
  add("snapshots_received_total", "counter", stored_.load(), "Snapshots stored since the start.");
  add("snapshots_duplicate_total", "counter", duplicates_.load(),
      "Snapshots sent again and not stored twice.");
  if (const auto count = store_.CountSnapshots(); count.ok()) {
    add("snapshots_stored", "gauge", *count, "Snapshots in the store.");
  }
  if (http_ != nullptr) {
    const HttpStats http = http_->stats();
    add("connections", "gauge", http.connections, "Open connections.");
    add("connections_accepted_total", "counter", http.accepted, "Connections accepted.");
    add("connections_refused_total", "counter", http.refused,
        "Connections refused because there were too many.");
    add("received_bytes_total", "counter", http.bytes_in, "Bytes read.");
    add("sent_bytes_total", "counter", http.bytes_out, "Bytes written.");
    add("slow_streams_dropped_total", "counter", http.slow_streams_dropped,
        "Event streams closed because their reader was too slow.");
  }
  Response response;
  response.content_type = "text/plain; version=0.0.4";
  response.body = std::move(text);
  return response;
}

}  // namespace stillframe::server
