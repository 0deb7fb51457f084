// What engineers call.
#include <algorithm>
#include <charconv>
#include <ctime>

#include "server/api.h"

namespace stillframe::server {
namespace {

Response Error(int status, const std::string& code, const std::string& message,
               const std::string& field = "") {
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

Response FromStatus(const Status& status) {
  const int http = status.code() == Code::kUnavailable ? 503 : 500;
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

std::optional<Response> CheckBody(const Request& request) {
  const std::string_view type = request.Header("content-type");
  const std::string_view media = type.substr(0, type.find(';'));
  if (!media.empty() && media != "application/json") {
    return Error(415, "UNSUPPORTED_MEDIA_TYPE", "the body must be application/json");
  }
  if (!IsUtf8(request.body)) return Error(400, "MALFORMED_JSON", "the body is not UTF-8");
  return std::nullopt;
}

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

// "2026-01-02T03:04:05.5Z"; only UTC, as the server writes it.
std::optional<int64_t> ParseTime(const std::string& text) {
  tm parts{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) return std::nullopt;
  int64_t nanos = 0;
  if (*rest == '.') {
    int64_t scale = 100'000'000;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest, scale /= 10) nanos += (*rest - '0') * scale;
  }
  if (*rest != 'Z' || rest[1] != '\0') return std::nullopt;
  return static_cast<int64_t>(timegm(&parts)) * 1'000'000'000 + nanos;
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
  response.body = hub_.Describe(*created);
  return response;
}

Response Api::List(RouteContext& context) {
  if (auto refusal = CheckService(context)) return *refusal;
  Page page;
  if (auto refusal = ReadPage(context, 100, page)) return *refusal;
  std::vector<std::string> items;
  for (const StoredTracepoint& stored : hub_.List(context.parameters[0])) {
    items.push_back(hub_.Describe(stored));
  }
  return ListPage("tracepoints", items, page);
}

Response Api::Read(RouteContext& context) {
  const auto found = hub_.Find(context.parameters[0], context.principal);
  if (!found) return NoTracepoint(context.parameters[0]);
  Response response;
  response.body = hub_.Describe(*found);
  return response;
}

Response Api::Patch(RouteContext& context) {
  if (auto refusal = CheckBody(context.request)) return *refusal;
  auto found = hub_.Find(context.parameters[0], context.principal);
  if (!found) return NoTracepoint(context.parameters[0]);
  if (auto error = model::PatchTracepointSpec(context.request.body, found->tracepoint.spec)) {
    return Error(*error);
  }
  if (!context.principal.SeesEnvironment(found->tracepoint.spec.selector.environment)) {
    return Error(403, "FORBIDDEN", "this key is for environment " + context.principal.environment,
                 "selector.environment");
  }
  auto changed = hub_.Change(*found);
  if (!changed.ok()) return FromStatus(changed.status());
  Response response;
  response.body = hub_.Describe(*changed);
  return response;
}

Response Api::Delete(RouteContext& context) {
  if (!hub_.Find(context.parameters[0], context.principal)) {
    return NoTracepoint(context.parameters[0]);
  }
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
    items.push_back(model::AgentToJson(agent.identity, agent.last_seen_ms));
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
  response.body = **found;
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
  const auto fail = [&](Response response) {
    Count(kind, response.status);
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
  hub_.Ask(context.parameters[0], std::move(query),
           [this, kind, exchange = context.exchange](Response response) {
             Count(kind, response.status);
             exchange->Send(std::move(response));
           });
}

}  // namespace stillframe::server
