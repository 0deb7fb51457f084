// What engineers call.
#include <algorithm>
#include <charconv>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>

#include "model/json_reader.h"
#include "server/api.h"

namespace stillframe::server {
namespace {

Response FromStatus(const Status& status) {
  const int http = status.code() == Code::kUnavailable ? 503
                   : status.code() == Code::kOverLimit ? 429
                   : status.code() == Code::kNotFound  ? 404
                                                       : 500;
  return Error(http, std::string(CodeName(status.code())), status.message());
}

// The page asked for: a size, and where it begins.
struct Page {
  uint32_t size = 100;
  std::string token;
};

std::optional<Response> ReadPage(const RouteContext& context, uint32_t default_size, Page& page) {
  page.size = default_size;
  if (const std::string* text = context.target.Find("pageSize")) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), page.size);
    if (error != std::errc() || end != text->data() + text->size() || page.size < 1 ||
        page.size > 1000) {
      return Error(400, "INVALID_ARGUMENT", "pageSize must be an integer from 1 to 1000",
                   "pageSize");
    }
  }
  if (const std::string* text = context.target.Find("pageToken")) page.token = *text;
  return std::nullopt;
}

Response BadToken() {
  return Error(400, "INVALID_ARGUMENT", "pageToken is not one that this server gave out",
               "pageToken");
}

// {"name": [items…], "nextPageToken": "…"} of items that are JSON already. The token is the number
// of items before the next page.
Response ListPage(const char* name, const std::vector<std::string>& items, const Page& page) {
  size_t first = 0;
  if (!page.token.empty()) {
    const auto [end, error] =
        std::from_chars(page.token.data(), page.token.data() + page.token.size(), first);
    if (error != std::errc() || end != page.token.data() + page.token.size() ||
        first > items.size()) {
      return BadToken();
    }
  }
  const size_t last = std::min(items.size(), first + page.size);
  std::string body = std::string("{\"") + name + "\":[";
  for (size_t i = first; i < last; ++i) body += (i == first ? "" : ",") + items[i];
  body += "]";
  if (last < items.size()) body += ",\"nextPageToken\":\"" + std::to_string(last) + "\"";
  Response response;
  response.body = body + "}";
  return response;
}

// An agent's answer ({"lines": […]} or {"sites": […]}), page by page.
Response AnswerPage(const std::string& body, const Page& page) {
  nlohmann::ordered_json parsed;
  if (model::ParseJson(body, parsed) || !parsed.is_object() || parsed.empty() ||
      !parsed.front().is_array()) {
    return Error(502, "BAD_ANSWER", "the agent's answer is not what it should be");
  }
  std::vector<std::string> items;
  for (const auto& item : parsed.front()) items.push_back(item.dump());
  return ListPage(parsed.begin().key().c_str(), items, page);
}

}  // namespace

std::optional<Response> CheckBody(const Request& request) {
  const std::string_view type = request.Header("content-type");
  const std::string_view media = type.substr(0, type.find(';'));
  // Required, so that no web page can make a browser send this without asking first (CORS).
  if (media != "application/json") {
    return Error(415, "UNSUPPORTED_MEDIA_TYPE", "the body must be application/json");
  }
  if (!IsUtf8(request.body)) return Error(400, "MALFORMED_JSON", "the body is not UTF-8");
  return std::nullopt;
}

namespace {

Response NoTracepoint(const std::string& id) {
  return Error(404, "NOT_FOUND", "there is no tracepoint " + id);
}

// The service named by the path, if the key may see it.
std::optional<Response> CheckService(const RouteContext& context) {
  const std::string& service = context.parameters[0];
  if (!IsName(service, 256)) {
    return Error(400, "INVALID_ARGUMENT", "the service's name is not a name", "service");
  }
  if (!context.principal.SeesService(service)) {
    return Error(403, "FORBIDDEN", "this key is for service " + context.principal.service);
  }
  return std::nullopt;
}

// A key for one environment changes only tracepoints of exactly that one.
std::optional<Response> CheckEnvironment(const Principal& principal,
                                         const model::TracepointSpec& spec) {
  if (principal.SeesEnvironment(spec.selector.environment)) return std::nullopt;
  return Error(403, "FORBIDDEN", "this key is for environment " + principal.environment,
               "selector.environment");
}

// The number in exactly `digits` digits at the front, which are taken off.
bool TakeNumber(std::string_view& text, size_t digits, int min, int max, int& out) {
  if (text.size() < digits) return false;
  out = 0;
  for (const char c : text.substr(0, digits)) {
    if (c < '0' || c > '9') return false;
    out = out * 10 + (c - '0');
  }
  text.remove_prefix(digits);
  return out >= min && out <= max;
}

bool Take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

// "Z", "+02:00" or "-05:30" in seconds.
std::optional<int> TakeOffset(std::string_view& text) {
  if (Take(text, 'Z') || Take(text, 'z')) return 0;
  const int sign = Take(text, '+') ? 1 : Take(text, '-') ? -1 : 0;
  int hours = 0, minutes = 0;
  if (sign == 0 || !TakeNumber(text, 2, 0, 23, hours) || !Take(text, ':') ||
      !TakeNumber(text, 2, 0, 59, minutes)) {
    return std::nullopt;
  }
  return sign * (hours * 3600 + minutes * 60);
}

// RFC 3339, "2026-01-02T03:04:05.5Z", in nanoseconds; what lies outside 1970 to 2261 (int64_t) is
// refused.
std::optional<int64_t> ParseTime(std::string_view text) {
  tm parts{};
  const bool shape = TakeNumber(text, 4, 1970, 2261, parts.tm_year) && Take(text, '-') &&
                     TakeNumber(text, 2, 1, 12, parts.tm_mon) && Take(text, '-') &&
                     TakeNumber(text, 2, 1, 31, parts.tm_mday) &&
                     (Take(text, 'T') || Take(text, 't')) &&
                     TakeNumber(text, 2, 0, 23, parts.tm_hour) && Take(text, ':') &&
                     TakeNumber(text, 2, 0, 59, parts.tm_min) && Take(text, ':') &&
                     TakeNumber(text, 2, 0, 60, parts.tm_sec);
  if (!shape) return std::nullopt;
  int64_t nanos = 0;
  if (Take(text, '.')) {
    int64_t scale = 100'000'000;
    int digit = 0, count = 0;
    for (; TakeNumber(text, 1, 0, 9, digit); scale /= 10, ++count) nanos += digit * scale;
    if (count == 0) return std::nullopt;
  }
  const auto offset = TakeOffset(text);
  if (!offset || !text.empty()) return std::nullopt;
  parts.tm_year -= 1900;
  --parts.tm_mon;
  const int day = parts.tm_mday;
  const int64_t seconds = timegm(&parts);
  if (parts.tm_mday != day && parts.tm_sec != 0) return std::nullopt;  // 31 February
  return (seconds - *offset) * 1'000'000'000 + nanos;
}

}  // namespace

Response Api::Create(RouteContext& context) {
  if (auto refusal = CheckService(context)) return *refusal;
  if (auto refusal = CheckBody(context.request)) return *refusal;
  model::TracepointSpec spec;
  if (auto error = model::ParseTracepointSpec(context.request.body, spec, nullptr)) {
    return Error(*error);
  }
  if (!context.principal.SeesEnvironment(spec.selector.environment)) {
    if (!spec.selector.environment.empty()) {
      return Error(403, "FORBIDDEN", "this key is for environment " + context.principal.environment,
                   "selector.environment");
    }
    spec.selector.environment = context.principal.environment;
  }
  auto created = hub_.Create(context.parameters[0], spec, context.principal.key_id);
  if (!created.ok()) return FromStatus(created.status());
  Response response;
  response.status = 201;
  response.headers.emplace_back("Location", "/v1/tracepoints/" + created->tracepoint.id);
  response.body = hub_.Describe(*created, context.principal);
  return response;
}

Response Api::List(RouteContext& context) {
  if (auto refusal = CheckService(context)) return *refusal;
  Page page;
  if (auto refusal = ReadPage(context, 100, page)) return *refusal;
  std::vector<std::string> items;
  for (const StoredTracepoint& stored : hub_.List(context.parameters[0], context.principal)) {
    items.push_back(hub_.Describe(stored, context.principal));
  }
  return ListPage("tracepoints", items, page);
}

Response Api::Read(RouteContext& context) {
  const auto found = hub_.Find(context.parameters[0], context.principal);
  if (!found) return NoTracepoint(context.parameters[0]);
  Response response;
  response.body = hub_.Describe(*found, context.principal);
  return response;
}

Response Api::Patch(RouteContext& context) {
  if (auto refusal = CheckBody(context.request)) return *refusal;
  const Principal& principal = context.principal;
  const auto edit = [&](StoredTracepoint& stored) -> std::optional<Response> {
    model::TracepointSpec& spec = stored.tracepoint.spec;
    // Before and after: a change may neither take nor give what belongs to another environment.
    if (auto refusal = CheckEnvironment(principal, spec)) return refusal;
    if (auto error = model::PatchTracepointSpec(context.request.body, spec)) return Error(*error);
    return CheckEnvironment(principal, spec);
  };
  auto changed = hub_.Change(context.parameters[0], principal, edit);
  if (!changed.ok()) return FromStatus(changed.status());
  if (changed->refusal) return *changed->refusal;
  Response response;
  response.body = hub_.Describe(changed->tracepoint, principal);
  return response;
}

Response Api::Delete(RouteContext& context) {
  const auto found = hub_.Find(context.parameters[0], context.principal);
  if (!found) return NoTracepoint(context.parameters[0]);
  if (auto refusal = CheckEnvironment(context.principal, found->tracepoint.spec)) return *refusal;
  if (Status status = hub_.Remove(context.parameters[0]); !status.ok()) return FromStatus(status);
  Response response;
  response.status = 204;
  response.content_type = "";
  return response;
}

Response Api::Services(RouteContext& context) {
  Page page;
  if (auto refusal = ReadPage(context, 100, page)) return *refusal;
  std::vector<std::string> items;
  for (const Hub::ServiceView& service : hub_.Services(context.principal)) {
    items.push_back(model::ServiceToJson(service.name, service.agents, service.tracepoints));
  }
  return ListPage("services", items, page);
}

Response Api::Agents(RouteContext& context) {
  if (auto refusal = CheckService(context)) return *refusal;
  Page page;
  if (auto refusal = ReadPage(context, 100, page)) return *refusal;
  std::vector<std::string> items;
  for (const AgentView& agent : hub_.Agents(context.parameters[0], context.principal)) {
    items.push_back(model::AgentToJson(agent.identity, agent.last_seen_ms, agent.stopped));
  }
  return ListPage("agents", items, page);
}

Response Api::Snapshots(RouteContext& context) {
  Page page;
  if (auto refusal = ReadPage(context, 50, page)) return *refusal;
  SnapshotQuery query;
  query.limit = page.size;
  const auto take = [&context](const char* name, std::string& out) {
    if (const std::string* text = context.target.Find(name)) out = *text;
  };
  take("service", query.service);
  take("tracepoint", query.tracepoint);
  take("traceId", query.trace_id);
  take("kind", query.kind);
  if (context.target.Find("kind") != nullptr && query.kind != "SNAPSHOT" && query.kind != "LOG" &&
      query.kind != "SPAN") {
    return Error(400, "INVALID_ARGUMENT", "kind must be SNAPSHOT, LOG or SPAN", "kind");
  }
  query.environment = context.principal.environment;
  if (!context.principal.service.empty()) {
    if (!query.service.empty() && query.service != context.principal.service) {
      return Error(403, "FORBIDDEN", "this key is for service " + context.principal.service);
    }
    query.service = context.principal.service;
  }
  if (const std::string* since = context.target.Find("since")) {
    query.since_ns = ParseTime(*since);
    if (!query.since_ns) {
      return Error(400, "INVALID_ARGUMENT", "since must be a time such as 2026-01-02T03:04:05Z",
                   "since");
    }
  }
  if (!page.token.empty()) {
    SnapshotCursor cursor;
    const char* end = page.token.data() + page.token.size();
    auto first = std::from_chars(page.token.data(), end, cursor.time_ns);
    if (first.ec != std::errc() || first.ptr == end || *first.ptr != '-') return BadToken();
    auto second = std::from_chars(first.ptr + 1, end, cursor.row);
    if (second.ec != std::errc() || second.ptr != end) return BadToken();
    query.after = cursor;
  }
  auto result = store_.ListSnapshots(query);
  if (!result.ok()) return FromStatus(result.status());
  std::string body = "{\"snapshots\":[";
  for (size_t i = 0; i < result->json.size(); ++i) body += (i == 0 ? "" : ",") + result->json[i];
  body += "]";
  if (result->next) {
    body += ",\"nextPageToken\":\"" + std::to_string(result->next->time_ns) + "-" +
            std::to_string(result->next->row) + "\"";
  }
  Response response;
  response.body = body + "}";
  return response;
}

Response Api::OneSnapshot(RouteContext& context) {
  auto found = store_.GetSnapshot(context.parameters[0], context.principal);
  if (!found.ok()) return FromStatus(found.status());
  if (!*found) return Error(404, "NOT_FOUND", "there is no snapshot " + context.parameters[0]);
  Response response;
  response.body = sources_.empty() ? **found : sources_.Annotate(**found);
  return response;
}

void Api::Events(RouteContext& context) {
  const std::string* service = context.target.Find("service");
  if (service != nullptr && !context.principal.SeesService(*service)) {
    Count("/v1/events", 403);
    return context.exchange->Send(
        Error(403, "FORBIDDEN", "this key is for service " + context.principal.service));
  }
  Count("/v1/events", 200);
  hub_.Subscribe(service == nullptr ? "" : *service, context.principal,
                 std::string(context.request.Header("last-event-id")), context.exchange);
}

void Api::Ask(RouteContext& context, const char* kind) {
  const char* const route = std::strcmp(kind, "lines") == 0 ? "/v1/services/{service}/lines"
                                                            : "/v1/services/{service}/variables";
  const auto fail = [&](Response response) {
    Count(route, response.status);
    context.exchange->Send(std::move(response));
  };
  if (auto refusal = CheckService(context)) return fail(*refusal);
  model::Query query;
  query.kind = kind;
  const std::string* file = context.target.Find("file");
  if (file == nullptr || !IsName(*file, 4096)) {
    return fail(Error(400, "INVALID_ARGUMENT", "file is missing", "file"));
  }
  query.file = *file;
  const std::string* line = context.target.Find("line");
  if (line != nullptr) {
    const auto [end, error] =
        std::from_chars(line->data(), line->data() + line->size(), query.line);
    if (error != std::errc() || end != line->data() + line->size() || query.line == 0) {
      return fail(Error(400, "INVALID_ARGUMENT", "line must be a positive integer", "line"));
    }
  } else if (query.kind == "variables") {
    return fail(Error(400, "INVALID_ARGUMENT", "line is missing", "line"));
  }
  Page page;
  if (auto refusal = ReadPage(context, 1000, page)) return fail(*refusal);
  hub_.Ask(context.parameters[0], context.principal, std::move(query),
           [this, route, page, exchange = context.exchange](Response response) {
             if (response.status == 200) response = AnswerPage(response.body, page);
             Count(route, response.status);
             exchange->Send(std::move(response));
           });
}

}  // namespace stillframe::server
