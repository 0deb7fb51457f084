#include "cli/api_client.h"

#include <curl/curl.h>

#include <memory>

#include "cli/terminal.h"

namespace stillframe::cli {
namespace {

using Json = nlohmann::ordered_json;
constexpr size_t kMaxBody = 64u << 20;

struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Easy = std::unique_ptr<CURL, EasyDeleter>;
using Headers = std::unique_ptr<curl_slist, ListDeleter>;

void Add(Headers& headers, const std::string& line) {
  headers.reset(curl_slist_append(headers.release(), line.c_str()));
}

size_t Append(char* data, size_t, size_t count, void* out) {
  auto& body = *static_cast<std::string*>(out);
  if (body.size() + count > kMaxBody) return 0;
  body.append(data, count);
  return count;
}

Easy MakeEasy(const std::string& url, Headers& headers, const std::string& key, char* error) {
  Easy easy(curl_easy_init());
  if (!key.empty()) Add(headers, "Authorization: Bearer " + key);
  curl_easy_setopt(easy.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy.get(), CURLOPT_CONNECTTIMEOUT_MS, 5000L);
  curl_easy_setopt(easy.get(), CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.get());
  if (const char* bundle = getenv("STILLFRAME_CA_FILE")) {
    curl_easy_setopt(easy.get(), CURLOPT_CAINFO, bundle);
  }
  return easy;
}

ApiError TransportError(CURL* easy, CURLcode code, const char* text) {
  const char* const words = *text != '\0' ? text : curl_easy_strerror(code);
  if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT) {
    return {kUsage, "", std::string("--server must be http(s)://host:port: ") + words, ""};
  }
  // Connected, but no answer in time: that is a wait that ended, not a server that is not there.
  double connect_seconds = 0;
  curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME, &connect_seconds);
  if (code == CURLE_OPERATION_TIMEDOUT && connect_seconds > 0) return {kTimedOut, "", words, ""};
  return {kCannotConnect, "CANNOT_CONNECT", words, ""};
}

ApiError HttpError(long http, const std::string& text) {
  ApiError error{kRefused, "HTTP_" + std::to_string(http),
                 "the server answers " + std::to_string(http), ""};
  const Json body = Json::parse(text, nullptr, false);
  if (!body.is_object() || !body.contains("error") || !body["error"].is_object()) return error;
  const Json& inner = body["error"];
  const auto read = [&inner](const char* key, std::string& out) {
    if (inner.contains(key) && inner[key].is_string()) out = inner[key].get<std::string>();
  };
  read("code", error.code);
  read("message", error.message);
  read("field", error.field);
  return error;
}

// Splits a stream into events (HTML Living Standard §9.2.6, as far as needed).
struct EventParser {
  const ApiClient::OnEvent& on_event;
  CURL* easy;
  std::string& id;  // an id alone is no event, but counts
  bool& connected;
  std::string buffer{}, name{}, data{}, refusal{};
  bool ended = false;

  void Line(std::string_view line) {
    if (line.empty()) {
      if (!data.empty() && !on_event(name.empty() ? "message" : name, data)) ended = true;
      name.clear();
      data.clear();
      return;
    }
    const size_t colon = line.find(':');
    if (colon == 0) return;
    const std::string_view field = line.substr(0, colon);
    std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (field == "event") {
      name = value;
    } else if (field == "data") {
      data += (data.empty() ? "" : "\n") + std::string(value);
    } else if (field == "id") {
      id = value;
    }
  }

  static size_t Receive(char* bytes, size_t, size_t count, void* self) {
    auto& parser = *static_cast<EventParser*>(self);
    long http = 0;
    curl_easy_getinfo(parser.easy, CURLINFO_RESPONSE_CODE, &http);
    if (http != 200) return Append(bytes, 1, count, &parser.refusal);
    parser.connected = true;
    parser.buffer.append(bytes, count);
    if (parser.buffer.size() > kMaxBody) return 0;
    for (size_t end; !parser.ended && (end = parser.buffer.find('\n')) != std::string::npos;) {
      std::string line = parser.buffer.substr(0, end);
      parser.buffer.erase(0, end + 1);
      if (line.ends_with('\r')) line.pop_back();
      parser.Line(line);
    }
    return parser.ended ? 0 : count;
  }
};

}  // namespace

std::string ApiError::ToString() const {
  std::string text = code;
  if (!message.empty()) text += (text.empty() ? "" : ": ") + message;
  if (!field.empty() && message.find(field) == std::string::npos) text += " (" + field + ")";
  return Safe(text);
}

ApiClient::ApiClient(std::string server, std::string key)
    : server_(std::move(server)), key_(std::move(key)) {
  if (server_.ends_with('/')) server_.pop_back();
}

ApiResult ApiClient::Call(const char* method, const std::string& path, const Json* body) {
  ApiResult result;
  std::string request, answer;
  char error[CURL_ERROR_SIZE] = {};
  Headers headers;
  if (body != nullptr) {
    request = body->dump();
    Add(headers, "Content-Type: application/json");
  }
  const Easy easy = MakeEasy(server_ + path, headers, key_, error);
  curl_easy_setopt(easy.get(), CURLOPT_CUSTOMREQUEST, method);
  if (body != nullptr) {
    curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDS, request.data());
    curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDSIZE, static_cast<long>(request.size()));
  }
  curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(easy.get(), CURLOPT_TIMEOUT_MS, 30'000L);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, &Append);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &answer);
  const CURLcode code = curl_easy_perform(easy.get());
  if (code != CURLE_OK) {
    result.error = TransportError(easy.get(), code, error);
    return result;
  }
  long http = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &http);
  if (http < 200 || http >= 300) {
    result.error = HttpError(http, answer);
    return result;
  }
  result.body = answer.empty() ? Json::object() : Json::parse(answer, nullptr, false);
  if (result.body.is_discarded()) {
    result.error = {kRefused, "BAD_ANSWER", "the server's answer is not JSON", ""};
  }
  return result;
}

ApiResult ApiClient::GetAll(const std::string& path, const char* list) {
  constexpr int kMaxPages = 1000;
  const std::string base = path + (path.find('?') == std::string::npos ? "?" : "&");
  Json all = Json::array();
  std::string token;
  for (int i = 0; i < kMaxPages; ++i) {
    ApiResult page =
        Get(base + "pageSize=1000" + (token.empty() ? "" : "&pageToken=" + UrlEncode(token)));
    if (!page.ok()) return page;
    for (Json& item : page.body[list]) all.push_back(std::move(item));
    token = page.body.value("nextPageToken", "");
    if (token.empty()) break;
  }
  ApiResult result;
  result.body[list] = std::move(all);
  return result;
}

ApiError ApiClient::Stream(const std::string& path, std::string& last_event_id, bool& connected,
                           const OnEvent& on_event) {
  char error[CURL_ERROR_SIZE] = {};
  Headers headers;
  Add(headers, "Accept: text/event-stream");
  if (!last_event_id.empty()) Add(headers, "Last-Event-ID: " + last_event_id);
  const Easy easy = MakeEasy(server_ + path, headers, key_, error);
  EventParser parser{on_event, easy.get(), last_event_id, connected};
  curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.get());
  // Heartbeats come every few seconds; without one for a minute the peer is gone.
  curl_easy_setopt(easy.get(), CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(easy.get(), CURLOPT_LOW_SPEED_TIME, 60L);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, &EventParser::Receive);
  curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &parser);
  const CURLcode code = curl_easy_perform(easy.get());
  if (parser.ended) return {};
  long http = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &http);
  if (http != 0 && http != 200) return HttpError(http, parser.refusal);
  return code == CURLE_OK ? ApiError{kCannotConnect, "CANNOT_CONNECT", "the stream ended", ""}
                          : TransportError(easy.get(), code, error);
}

std::string UrlEncode(std::string_view text) {
  std::string out;
  for (unsigned char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    char escaped[4];
    snprintf(escaped, sizeof escaped, "%%%02X", c);
    out += plain ? std::string(1, static_cast<char>(c)) : escaped;
  }
  return out;
}

}  // namespace stillframe::cli
