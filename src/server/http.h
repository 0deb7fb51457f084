// HTTP as the rest of the server sees it: plain requests, responses and streams. Only
// http_server.cc and http_connection.cc know the networking library behind it.
#ifndef STILLFRAME_SERVER_HTTP_H_
#define STILLFRAME_SERVER_HTTP_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace stillframe::server {

struct Request {
  std::string method;  // "GET"
  std::string target;  // as sent: path and query, still percent-encoded
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  std::string peer;  // "127.0.0.1:4711"

  // The first header of that (lower-case) name, "" when absent.
  std::string_view Header(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  bool close = false;  // end the connection after this answer
};

// One request that awaits its answer. Threads: every method from any thread; none blocks. Once the
// peer is gone, calls do nothing.
class Exchange {
 public:
  virtual ~Exchange() = default;
  // Answers; only the first Send or StartStream counts.
  virtual void Send(Response response) = 0;
  // Answers with an endless body that Write() extends (server-sent events).
  virtual void StartStream(Response head) = 0;
  // False: the stream is over, because the peer left or reads so slowly that it was dropped.
  virtual bool Write(std::string chunk) = 0;
  virtual void EndStream() = 0;
  // Called once, on the I/O thread, when the peer goes before the answer is complete; at once when
  // it already has. Replaces an earlier callback.
  virtual void OnClosed(std::function<void()> callback) = 0;
};

// What is decided from the header alone, before any body is read.
struct HeaderVerdict {
  uint64_t max_body = 0;            // bytes, as sent
  std::optional<Response> refusal;  // answer this and read no body
};

// Both are called on the I/O thread and must not block.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  virtual HeaderVerdict OnHeader(const Request& request) = 0;
  virtual void OnRequest(Request request, std::shared_ptr<Exchange> exchange) = 0;
  // The answer to a request that cannot be parsed.
  virtual Response OnBroken(int status, std::string_view message) = 0;
};

struct HttpOptions {
  std::string host = "127.0.0.1";  // a name or an address
  uint16_t port = 0;               // 0 = any
  std::string tls_cert, tls_key;   // PEM files; both or none
  uint32_t max_connections = 10'000;
  uint32_t header_timeout_ms = 10'000;  // from the first byte (or the accept) to the blank line
  uint32_t body_timeout_ms = 60'000;
  uint32_t idle_timeout_ms = 75'000;    // between requests
  uint32_t answer_timeout_ms = 90'000;  // for the handler; longer than any held poll
  uint32_t write_timeout_ms = 30'000;   // without progress
  uint32_t header_bytes = 16u << 10;
  uint64_t stream_buffer_bytes = 4u << 20;  // queued for one slow stream before it is dropped
};

struct HttpStats {
  uint64_t connections = 0, accepted = 0, refused = 0, bytes_in = 0, bytes_out = 0,
           slow_streams_dropped = 0;
};

class HttpServer {
 public:
  // Binds and listens. The handler must outlive the server. Errors: kInvalidArgument (address, TLS
  // files), kIoError (bind).
  static Result<std::unique_ptr<HttpServer>> Create(const HttpOptions& options,
                                                    HttpHandler& handler);
  virtual ~HttpServer() = default;
  virtual uint16_t port() const = 0;
  // Calls `tick` every `period_ms` on the I/O thread until Run returns. Before Run only.
  virtual void Every(uint32_t period_ms, std::function<void()> tick) = 0;
  // Serves until Shutdown has drained.
  virtual void Run() = 0;
  // Any thread: accepts no more, closes idle connections, lets the others finish their answer for
  // at most this long.
  virtual void Shutdown(uint32_t deadline_ms) = 0;
  virtual HttpStats stats() const = 0;
};

std::string_view ReasonPhrase(int status);

}  // namespace stillframe::server

#endif  // STILLFRAME_SERVER_HTTP_H_
