// One connection and its requests, one after the other. Internal to the HTTP layer.
//
// Threads: everything runs on the I/O thread, except ConnectionExchange, which posts to it.
#ifndef STILLFRAME_SERVER_HTTP_CONNECTION_H_
#define STILLFRAME_SERVER_HTTP_CONNECTION_H_

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <unordered_set>

#include "server/http.h"

namespace stillframe::server {

using IoHandler = std::function<void(const boost::system::error_code&, std::size_t)>;

// Bytes in and out, with or without TLS. One read and one write may be under way at once.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  virtual void Handshake(IoHandler done) = 0;
  virtual void ReadSome(void* data, std::size_t size, IoHandler done) = 0;
  virtual void WriteAll(const std::string& data, IoHandler done) = 0;  // data outlives the write
  // Tells the peer that nothing more comes. With TLS it may fail for no more than that the peer was
  // still sending; either way only DrainSome() may follow.
  virtual void ShutdownSend(IoHandler done) = 0;
  // After ShutdownSend: takes bytes off the socket as they are, for nobody to look at.
  virtual void DrainSome(void* data, std::size_t size, IoHandler done) = 0;
  virtual void Close() = 0;
};

class Connection;

// Shared by the acceptor and its connections; I/O thread only but for the atomics.
struct ConnectionContext {
  boost::asio::io_context& io;
  const HttpOptions& options;
  HttpHandler& handler;
  bool tls = false;
  bool draining = false;
  std::unordered_set<Connection*> open{};
  std::function<void()> on_all_closed{};
  // Written on the I/O thread, read by stats().
  std::atomic<uint64_t> connections{0}, accepted{0}, refused{0}, bytes_in{0}, bytes_out{0},
      slow_streams_dropped{0};
};

class ConnectionExchange;

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(ConnectionContext& context, std::unique_ptr<ByteStream> stream, std::string peer);
  ~Connection();
  void Start();
  // Closes now when no request is under way, else after its answer.
  void Drain();
  void Close();

 private:
  friend class ConnectionExchange;
  struct Parser;  // hides the HTTP parser

  void Deadline(uint32_t ms);
  void NextRequest();
  void ReadMore();
  void OnBytes(std::size_t size);
  void Parse();
  bool ParseOnce();  // false: more bytes are needed, or the request was answered
  bool OnHeaderDone();
  void Fail(int status, std::string_view message);
  void Dispatch();
  void Watch();
  void OnSend(uint64_t exchange, Response response);
  void OnStartStream(uint64_t exchange, Response head);
  void OnStreamData(uint64_t exchange, std::string chunk);
  void OnEndStream(uint64_t exchange);
  void WriteOut(bool then_close);
  void OnWritten(std::size_t size);
  void AnswerDone();
  void Linger();
  void LingerRead();
  std::string Head(const Response& response, bool stream) const;

  ConnectionContext& context_;
  std::unique_ptr<ByteStream> stream_;
  std::string peer_;
  boost::asio::steady_timer timer_;
  uint64_t deadline_generation_ = 0;
  std::array<char, 16384> chunk_;
  std::string pending_;  // received, not yet parsed
  std::unique_ptr<Parser> parser_;
  std::shared_ptr<ConnectionExchange> exchange_;
  uint64_t exchange_count_ = 0;
  std::string writing_, queued_;
  bool reading_ = false;  // a read is under way
  bool write_running_ = false;
  bool streaming_ = false;
  bool chunked_ = false;
  bool close_after_ = false;
  bool answer_complete_ = false;
  bool body_unread_ = false;
  bool closed_ = false;
  uint64_t lingered_bytes_ = 0;
};

}  // namespace stillframe::server

#endif  // STILLFRAME_SERVER_HTTP_CONNECTION_H_
