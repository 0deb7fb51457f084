#include "server/http_connection.h"

#include <boost/asio/post.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cctype>
#include <mutex>
#include <optional>

namespace stillframe::server {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr uint64_t kLingerBytes = 16u << 20;
constexpr uint32_t kGoodbyeMs = 2'000;
constexpr uint32_t kLingerMs = 10'000;  // a peer on a slow line sends on until it sees the answer

std::string ToString(boost::beast::string_view text) { return {text.data(), text.size()}; }

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// RFC 9112 §7.1: size in hex, CRLF, data, CRLF.
std::string AsChunk(const std::string& data) {
  char size[20];
  const int n = snprintf(size, sizeof size, "%zx\r\n", data.size());
  return std::string(size, static_cast<std::size_t>(n)) + data + "\r\n";
}

int StatusOfParseError(const error_code& ec) {
  if (ec == http::error::header_limit) return 431;
  if (ec == http::error::body_limit) return 413;
  if (ec == http::error::bad_version) return 505;
  return 400;
}

}  // namespace

struct Connection::Parser {
  http::request_parser<http::string_body> http;
  Request request;
  bool header_seen = false;
};

// Every post takes its reference to the connection along, so that the last one goes on the I/O
// thread and with it the connection.
class ConnectionExchange : public Exchange,
                           public std::enable_shared_from_this<ConnectionExchange> {
 public:
  ConnectionExchange(std::shared_ptr<Connection> connection, uint64_t number)
      : connection_(std::move(connection)),
        number_(number),
        io_(connection_->context_.io),
        limit_(connection_->context_.options.stream_buffer_bytes) {}

  void Send(Response response) override {
    auto connection = First();
    if (!connection) return;
    asio::post(io_, [connection = std::move(connection), n = number_,
                     r = std::move(response)]() mutable { connection->OnSend(n, std::move(r)); });
  }

  void StartStream(Response head) override {
    auto connection = First();
    if (!connection) return;
    asio::post(io_,
               [connection = std::move(connection), n = number_, r = std::move(head)]() mutable {
                 connection->OnStartStream(n, std::move(r));
               });
  }

  bool Write(std::string chunk) override {
    auto connection = Get();
    if (!connection) return false;
    // Partner: OnDrained() on the I/O thread.
    if (queued_.fetch_add(chunk.size()) + chunk.size() > limit_) {
      if (!dropped_.exchange(true)) {
        connection->context_.slow_streams_dropped++;
        asio::post(io_, [connection = std::move(connection)] { connection->Close(); });
      }
      return false;
    }
    asio::post(io_,
               [connection = std::move(connection), n = number_, c = std::move(chunk)]() mutable {
                 connection->OnStreamData(n, std::move(c));
               });
    return true;
  }

  void EndStream() override {
    if (auto connection = Get()) {
      asio::post(io_,
                 [connection = std::move(connection), n = number_] { connection->OnEndStream(n); });
    }
  }

  void OnClosed(std::function<void()> callback) override {
    {
      std::lock_guard lock(mutex_);
      if (!gone_) {
        on_closed_ = std::move(callback);
        return;
      }
      if (!cut_short_) return;
    }
    callback();
  }

  // I/O thread: the exchange is over, complete or cut short.
  void Detach(bool complete) {
    std::function<void()> callback;
    std::shared_ptr<Connection> connection;
    {
      std::lock_guard lock(mutex_);
      if (gone_) return;
      gone_ = true;
      cut_short_ = !complete;
      connection = std::move(connection_);
      callback = std::move(on_closed_);
    }
    if (!complete && callback) callback();
  }
  void OnDrained(std::size_t bytes) { queued_ -= bytes; }
  std::size_t queued() const { return queued_; }

 private:
  std::shared_ptr<Connection> Get() {
    std::lock_guard lock(mutex_);
    return connection_;
  }
  std::shared_ptr<Connection> First() {
    std::lock_guard lock(mutex_);
    if (answered_) return nullptr;
    answered_ = true;
    return connection_;
  }

  std::mutex mutex_;  // guards the four below
  std::shared_ptr<Connection> connection_;
  bool answered_ = false, gone_ = false, cut_short_ = false;
  std::function<void()> on_closed_;
  const uint64_t number_;
  asio::io_context& io_;
  const uint64_t limit_;
  std::atomic<std::size_t> queued_{0};
  std::atomic<bool> dropped_{false};
};

Connection::Connection(ConnectionContext& context, std::unique_ptr<ByteStream> stream,
                       std::string peer)
    : context_(context), stream_(std::move(stream)), peer_(std::move(peer)), timer_(context.io) {
  context_.open.insert(this);
  context_.connections = context_.open.size();
}

Connection::~Connection() {
  context_.open.erase(this);
  context_.connections = context_.open.size();
  if (context_.open.empty() && context_.on_all_closed) context_.on_all_closed();
}

void Connection::Start() {
  Deadline(context_.options.header_timeout_ms);
  stream_->Handshake([self = shared_from_this()](const error_code& ec, std::size_t) {
    if (ec) return self->Close();
    if (self->closed_) return;
    self->NextRequest();
    // A connection that says nothing at all gets the header's time, not the idle time.
    self->Deadline(self->context_.options.header_timeout_ms);
  });
}

void Connection::Drain() {
  close_after_ = true;
  if (!exchange_ && (!parser_ || !parser_->http.got_some())) Close();
}

void Connection::Close() {
  if (closed_) return;
  closed_ = true;
  deadline_generation_++;
  timer_.cancel();
  stream_->Close();
  if (exchange_) {
    auto exchange = std::move(exchange_);
    exchange->Detach(false);
  }
}

// One timer guards every phase; the generation tells a late expiry from the current one.
void Connection::Deadline(uint32_t ms) {
  const uint64_t generation = ++deadline_generation_;
  timer_.expires_after(std::chrono::milliseconds(ms));
  timer_.async_wait([weak = weak_from_this(), generation](const error_code& ec) {
    auto self = weak.lock();
    if (ec || !self || generation != self->deadline_generation_) return;
    self->Close();
  });
}

void Connection::NextRequest() {
  parser_ = std::make_unique<Parser>();
  parser_->http.header_limit(context_.options.header_bytes);
  parser_->http.body_limit(boost::none);  // decided per route once the header is known
  parser_->http.eager(false);
  answer_complete_ = streaming_ = chunked_ = false;
  Deadline(pending_.empty() ? context_.options.idle_timeout_ms
                            : context_.options.header_timeout_ms);
  if (!pending_.empty()) return Parse();
  if (!reading_) ReadMore();
}

void Connection::ReadMore() {
  reading_ = true;
  stream_->ReadSome(chunk_.data(), chunk_.size(),
                    [self = shared_from_this()](const error_code& ec, std::size_t size) {
                      self->reading_ = false;
                      if (self->closed_) return;
                      if (ec) return self->Close();
                      self->OnBytes(size);
                    });
}

void Connection::OnBytes(std::size_t size) {
  context_.bytes_in += size;
  pending_.append(chunk_.data(), size);
  // While a request is being answered, bytes are only kept (pipelining, bounded by one read).
  if (exchange_ || !parser_) return;
  if (!parser_->http.got_some()) Deadline(context_.options.header_timeout_ms);
  Parse();
}

void Connection::Parse() {
  while (!closed_ && ParseOnce()) {
  }
}

bool Connection::ParseOnce() {
  error_code ec;
  const std::size_t used = parser_->http.put(asio::buffer(pending_), ec);
  pending_.erase(0, used);
  if (ec && ec != http::error::need_more) {
    Fail(StatusOfParseError(ec), "The request is not well-formed HTTP: " + ec.message());
    return false;
  }
  if (parser_->http.is_header_done() && !parser_->header_seen && !OnHeaderDone()) return false;
  if (parser_->http.is_done()) {
    Dispatch();
    return false;
  }
  if (ec == http::error::need_more || pending_.empty()) {
    ReadMore();
    return false;
  }
  return true;
}

bool Connection::OnHeaderDone() {
  parser_->header_seen = true;
  const auto& message = parser_->http.get();
  Request& request = parser_->request;
  request.method = ToString(message.method_string());
  request.target = ToString(message.target());
  request.peer = peer_;
  for (const auto& field : message) {
    request.headers.emplace_back(Lower(ToString(field.name_string())), ToString(field.value()));
  }
  HeaderVerdict verdict = context_.handler.OnHeader(request);
  const auto length = parser_->http.content_length();
  if (!verdict.refusal && length && *length > verdict.max_body) {
    verdict.refusal = context_.handler.OnBroken(
        413, "The body has " + std::to_string(*length) + " bytes, at most " +
                 std::to_string(verdict.max_body) + " are allowed here.");
  }
  if (verdict.refusal) {
    body_unread_ = !parser_->http.is_done();
    if (body_unread_) verdict.refusal->close = true;
    exchange_ = std::make_shared<ConnectionExchange>(shared_from_this(), ++exchange_count_);
    OnSend(exchange_count_, std::move(*verdict.refusal));
    return false;
  }
  parser_->http.body_limit(verdict.max_body);
  parser_->http.eager(true);
  if (parser_->http.is_done()) return true;
  Deadline(context_.options.body_timeout_ms);
  if (Lower(std::string(request.Header("expect"))) == "100-continue" && !write_running_) {
    queued_ += "HTTP/1.1 100 Continue\r\n\r\n";
    WriteOut(false);
  }
  return true;
}

void Connection::Fail(int status, std::string_view message) {
  Response response = context_.handler.OnBroken(status, message);
  response.close = true;
  body_unread_ = true;
  exchange_ = std::make_shared<ConnectionExchange>(shared_from_this(), ++exchange_count_);
  OnSend(exchange_count_, std::move(response));
}

void Connection::Dispatch() {
  Deadline(context_.options.answer_timeout_ms);
  Request request = std::move(parser_->request);
  request.body = std::move(parser_->http.get().body());
  exchange_ = std::make_shared<ConnectionExchange>(shared_from_this(), ++exchange_count_);
  Watch();
  context_.handler.OnRequest(std::move(request), exchange_);
}

// Reads ahead while the answer is made: the only way to notice, with and without TLS, that the
// peer has gone.
void Connection::Watch() {
  if (!reading_ && pending_.empty()) ReadMore();
}

void Connection::OnSend(uint64_t exchange, Response response) {
  if (closed_ || exchange != exchange_count_ || !exchange_ || streaming_) return;
  if (response.close || !parser_->http.keep_alive() || context_.draining) close_after_ = true;
  queued_ += Head(response, false);
  if (response.status != 204) queued_ += response.body;
  answer_complete_ = true;
  WriteOut(close_after_);
}

void Connection::OnStartStream(uint64_t exchange, Response head) {
  if (closed_ || exchange != exchange_count_ || !exchange_ || streaming_) return;
  streaming_ = true;
  chunked_ = parser_->http.get().version() >= 11;
  if (!chunked_ || context_.draining) close_after_ = true;
  queued_ += Head(head, true);
  WriteOut(false);
}

void Connection::OnStreamData(uint64_t exchange, std::string chunk) {
  if (closed_ || exchange != exchange_count_ || !streaming_ || answer_complete_ || chunk.empty()) {
    return;
  }
  exchange_->OnDrained(chunk.size());
  // From here the bytes count as this connection's own backlog.
  if (queued_.size() + writing_.size() + chunk.size() > context_.options.stream_buffer_bytes) {
    context_.slow_streams_dropped++;
    return Close();
  }
  queued_ += chunked_ ? AsChunk(chunk) : chunk;
  WriteOut(false);
}

void Connection::OnEndStream(uint64_t exchange) {
  if (closed_ || exchange != exchange_count_ || !streaming_ || answer_complete_) return;
  if (chunked_) queued_ += "0\r\n\r\n";
  answer_complete_ = true;
  close_after_ = true;
  WriteOut(true);
}

void Connection::WriteOut(bool) {
  if (write_running_ || closed_) return;
  if (queued_.empty()) {
    if (answer_complete_) AnswerDone();
    return;
  }
  write_running_ = true;
  writing_.swap(queued_);
  queued_.clear();
  Deadline(context_.options.write_timeout_ms);
  stream_->WriteAll(writing_, [self = shared_from_this()](const error_code& ec, std::size_t size) {
    self->write_running_ = false;
    if (self->closed_) return;
    if (ec) return self->Close();
    self->OnWritten(size);
  });
}

void Connection::OnWritten(std::size_t size) {
  context_.bytes_out += size;
  writing_.clear();
  if (!queued_.empty()) return WriteOut(false);
  if (answer_complete_) return AnswerDone();
  if (streaming_) {  // an idle stream lives on its heartbeats
    deadline_generation_++;
    timer_.cancel();
  } else if (!exchange_) {  // after "100 Continue"
    Deadline(context_.options.body_timeout_ms);
  }
}

void Connection::AnswerDone() {
  auto exchange = std::move(exchange_);
  exchange_.reset();
  if (exchange) exchange->Detach(true);
  if (close_after_ || context_.draining) return Linger();
  NextRequest();
}

// Closing with unread bytes in the socket makes the kernel send RST, which can destroy the answer
// before the peer has read it (RFC 9112 §9.6): say goodbye, then read what still comes.
void Connection::Linger() {
  Deadline(body_unread_ ? kLingerMs : kGoodbyeMs);
  stream_->ShutdownSend([self = shared_from_this()](const error_code&, std::size_t) {
    if (self->closed_) return;
    // Failed or not: the peer that still sends is the one whose answer is in danger.
    if (!self->body_unread_) return self->Close();
    self->LingerRead();
  });
}

void Connection::LingerRead() {
  if (reading_) return Close();
  stream_->DrainSome(chunk_.data(), chunk_.size(),
                     [self = shared_from_this()](const error_code& ec, std::size_t size) {
                       if (self->closed_) return;
                       self->lingered_bytes_ += size;
                       if (ec || self->lingered_bytes_ > kLingerBytes) return self->Close();
                       self->LingerRead();
                     });
}

std::string Connection::Head(const Response& response, bool stream) const {
  std::string out = "HTTP/1.1 " + std::to_string(response.status) + ' ';
  out += ReasonPhrase(response.status);
  out += "\r\n";
  const auto add = [&out](std::string_view name, std::string_view value) {
    out.append(name).append(": ").append(value).append("\r\n");
  };
  if (response.status != 204) add("Content-Type", response.content_type);
  if (stream && chunked_) add("Transfer-Encoding", "chunked");
  if (!stream && response.status != 204) {
    add("Content-Length", std::to_string(response.body.size()));
  }
  add("Cache-Control", "no-store");
  add("X-Content-Type-Options", "nosniff");
  add("X-Frame-Options", "DENY");
  add("Referrer-Policy", "no-referrer");
  add("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
  if (context_.tls) add("Strict-Transport-Security", "max-age=31536000");
  for (const auto& [name, value] : response.headers) add(name, value);
  if (close_after_) add("Connection", "close");
  out += "\r\n";
  return out;
}

}  // namespace stillframe::server
