#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

#include "base/log.h"
#include "server/http_connection.h"

namespace stillframe::server {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;

class PlainStream : public ByteStream {
 public:
  explicit PlainStream(tcp::socket socket) : socket_(std::move(socket)) {}
  void Handshake(IoHandler done) override { done({}, 0); }
  void ReadSome(void* data, std::size_t size, IoHandler done) override {
    socket_.async_read_some(asio::buffer(data, size), std::move(done));
  }
  void WriteAll(const std::string& data, IoHandler done) override {
    asio::async_write(socket_, asio::buffer(data), std::move(done));
  }
  void ShutdownSend(IoHandler done) override {
    error_code ec;
    socket_.shutdown(tcp::socket::shutdown_send, ec);
    done(ec, 0);
  }
  void DrainSome(void* data, std::size_t size, IoHandler done) override {
    socket_.async_read_some(asio::buffer(data, size), std::move(done));
  }
  void Close() override {
    error_code ignored;
    socket_.close(ignored);
  }

 private:
  tcp::socket socket_;
};

class TlsStream : public ByteStream {
 public:
  TlsStream(tcp::socket socket, ssl::context& context) : stream_(std::move(socket), context) {}
  void Handshake(IoHandler done) override {
    stream_.async_handshake(ssl::stream_base::server,
                            [done = std::move(done)](const error_code& ec) { done(ec, 0); });
  }
  void ReadSome(void* data, std::size_t size, IoHandler done) override {
    stream_.async_read_some(asio::buffer(data, size), std::move(done));
  }
  void WriteAll(const std::string& data, IoHandler done) override {
    asio::async_write(stream_, asio::buffer(data), std::move(done));
  }
  void ShutdownSend(IoHandler done) override {
    // close_notify; the peer's own is awaited until the caller's deadline closes the socket. A
    // record that comes instead is an error to OpenSSL, and the session decrypts nothing from then
    // on.
    stream_.async_shutdown([this, done = std::move(done)](const error_code& ec) {
      error_code ignored;
      stream_.next_layer().shutdown(tcp::socket::shutdown_send, ignored);
      done(ec, 0);
    });
  }
  void DrainSome(void* data, std::size_t size, IoHandler done) override {
    stream_.next_layer().async_read_some(asio::buffer(data, size), std::move(done));
  }
  void Close() override {
    error_code ignored;
    stream_.lowest_layer().close(ignored);
  }

 private:
  ssl::stream<tcp::socket> stream_;
};

class HttpServerImpl : public HttpServer {
 public:
  HttpServerImpl(const HttpOptions& options, HttpHandler& handler)
      : options_(options),
        acceptor_(io_),
        retry_(io_),
        drain_timer_(io_),
        context_{io_, options_, handler} {}

  ~HttpServerImpl() override {
    context_.on_all_closed = nullptr;
    CloseAll();
    io_.restart();
    io_.poll();  // runs the cancelled handlers, which own the connections
  }

  Status Open() {
    if (!options_.tls_cert.empty()) SF_RETURN_IF_ERROR(LoadTls());
    error_code ec;
    tcp::resolver resolver(io_);
    const auto found =
        resolver.resolve(options_.host, std::to_string(options_.port),
                         tcp::resolver::passive | tcp::resolver::numeric_service, ec);
    if (ec || found.empty()) {
      return {Code::kInvalidArgument, "--listen " + options_.host + ": " + ec.message()};
    }
    const tcp::endpoint endpoint = *found.begin();
    acceptor_.open(endpoint.protocol(), ec);
    if (!ec) acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
    if (!ec) acceptor_.bind(endpoint, ec);
    if (!ec) acceptor_.listen(1024, ec);
    if (!ec) port_ = acceptor_.local_endpoint(ec).port();
    if (ec) {
      return {Code::kIoError, "listen on " + options_.host + ":" + std::to_string(options_.port) +
                                  ": " + ec.message()};
    }
    return {};
  }

  uint16_t port() const override { return port_; }

  void Every(uint32_t period_ms, std::function<void()> tick) override {
    ticks_.push_back(std::make_unique<Tick>(Tick{asio::steady_timer(io_), period_ms, tick}));
    Arm(*ticks_.back());
  }

  void Run() override {
    context_.on_all_closed = [this] {
      if (context_.draining) Finish();
    };
    auto guard = asio::make_work_guard(io_);
    Accept();
    while (!io_.stopped()) {
      try {
        io_.run();
      } catch (const std::exception& e) {  // a handler's bug or bad_alloc: that request is lost
        LogError(std::string("unexpected exception while serving: ") + e.what());
      }
    }
  }

  void Shutdown(uint32_t deadline_ms) override {
    asio::post(io_, [this, deadline_ms] { Drain(deadline_ms); });
  }

  HttpStats stats() const override {
    return {context_.connections, context_.accepted,  context_.refused,
            context_.bytes_in,    context_.bytes_out, context_.slow_streams_dropped};
  }

 private:
  struct Tick {
    asio::steady_timer timer;
    uint32_t period_ms;
    std::function<void()> run;
  };

  Status LoadTls() {
    error_code ec;
    tls_.set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 |
                         ssl::context::no_sslv3 | ssl::context::no_tlsv1 |
                         ssl::context::no_tlsv1_1 | ssl::context::single_dh_use,
                     ec);
    if (!ec) tls_.use_certificate_chain_file(options_.tls_cert, ec);
    if (ec) {
      return {Code::kInvalidArgument, "--tls-cert " + options_.tls_cert + ": " + ec.message()};
    }
    tls_.use_private_key_file(options_.tls_key, ssl::context::pem, ec);
    if (ec) return {Code::kInvalidArgument, "--tls-key " + options_.tls_key + ": " + ec.message()};
    context_.tls = true;
    return {};
  }

  void Arm(Tick& tick) {
    tick.timer.expires_after(std::chrono::milliseconds(tick.period_ms));
    tick.timer.async_wait([this, &tick](const error_code& ec) {
      if (ec) return;
      tick.run();
      Arm(tick);
    });
  }

  void Accept() {
    acceptor_.async_accept([this](const error_code& ec, tcp::socket socket) {
      if (ec == asio::error::operation_aborted || context_.draining) return;
      if (ec) {  // no descriptors left, most likely: do not spin
        context_.refused++;
        retry_.expires_after(std::chrono::milliseconds(100));
        retry_.async_wait([this](const error_code& e) {
          if (!e) Accept();
        });
        return;
      }
      Serve(std::move(socket));
      Accept();
    });
  }

  void Serve(tcp::socket socket) {
    context_.accepted++;
    if (context_.open.size() >= options_.max_connections) {
      context_.refused++;
      return;  // closes it
    }
    error_code ec;
    socket.set_option(tcp::no_delay(true), ec);
    const tcp::endpoint peer = socket.remote_endpoint(ec);
    if (ec) return;
    std::string name = peer.address().to_string() + ":" + std::to_string(peer.port());
    std::unique_ptr<ByteStream> stream;
    if (context_.tls) {
      stream = std::make_unique<TlsStream>(std::move(socket), tls_);
    } else {
      stream = std::make_unique<PlainStream>(std::move(socket));
    }
    std::make_shared<Connection>(context_, std::move(stream), std::move(name))->Start();
  }

  void Drain(uint32_t deadline_ms) {
    if (context_.draining) return;
    context_.draining = true;
    error_code ignored;
    acceptor_.close(ignored);
    retry_.cancel();
    const auto open = context_.open;  // Drain may erase
    for (Connection* connection : open) {
      if (context_.open.count(connection)) connection->shared_from_this()->Drain();
    }
    if (context_.open.empty()) return Finish();
    drain_timer_.expires_after(std::chrono::milliseconds(deadline_ms));
    drain_timer_.async_wait([this](const error_code& ec) {
      if (ec) return;
      LogError("some requests were cut off at shutdown");
      CloseAll();
      Finish();
    });
  }

  void CloseAll() {
    const auto open = context_.open;
    for (Connection* connection : open) {
      if (!context_.open.count(connection)) continue;
      if (auto self = connection->weak_from_this().lock()) self->Close();
    }
  }

  void Finish() { io_.stop(); }

  const HttpOptions options_;
  asio::io_context io_{1};
  ssl::context tls_{ssl::context::tls_server};
  tcp::acceptor acceptor_;
  asio::steady_timer retry_, drain_timer_;
  ConnectionContext context_;
  std::vector<std::unique_ptr<Tick>> ticks_;
  uint16_t port_ = 0;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::Create(const HttpOptions& options,
                                                       HttpHandler& handler) {
  auto server = std::make_unique<HttpServerImpl>(options, handler);
  SF_RETURN_IF_ERROR(server->Open());
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace stillframe::server
