// Connection against a server that misbehaves in every way a network knows.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "stillframe/v1/agent.pb.h"
#include "transport/transport.h"

namespace stillframe::transport {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Answers each request by `answer`: the bytes to send; the connection is closed afterwards when
// `close_after`, and nothing is sent when they are empty.
class FakeServer {
 public:
  explicit FakeServer(std::string answer, bool close_after = false)
      : answer_(std::move(answer)), close_after_(close_after) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener_, 8), 0);
    socklen_t size = sizeof address;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~FakeServer() {
    stopping_ = true;
    thread_.join();
    close(listener_);
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  int connections() const { return connections_; }
  int requests() const { return requests_; }
  std::string last_request() {
    const std::lock_guard lock(mutex_);
    return last_request_;
  }

 private:
  bool Readable(int fd) {
    while (!stopping_) {
      pollfd wait{fd, POLLIN, 0};
      if (poll(&wait, 1, 10) > 0) return true;
    }
    return false;
  }

  void Serve() {
    while (Readable(listener_)) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      ++connections_;
      while (Readable(fd) && Answer(fd)) {
      }
      close(fd);
    }
  }

  // One request; false when the connection is over.
  bool Answer(int fd) {
    std::string request;
    while (!Complete(request)) {
      char buffer[65536];
      if (!Readable(fd)) return false;
      const ssize_t got = read(fd, buffer, sizeof buffer);
      if (got <= 0) return false;
      request.append(buffer, static_cast<size_t>(got));
    }
    {
      const std::lock_guard lock(mutex_);
      last_request_ = request;
    }
    ++requests_;
    for (size_t sent = 0; sent < answer_.size();) {
      const ssize_t done = send(fd, answer_.data() + sent, answer_.size() - sent, MSG_NOSIGNAL);
      if (done <= 0) return false;
      sent += static_cast<size_t>(done);
    }
    return !close_after_;
  }

  static bool Complete(const std::string& request) {
    const size_t end = request.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const size_t at = request.find("Content-Length: ");
    const size_t length = at < end ? std::stoul(request.substr(at + 16)) : 0;
    return request.size() >= end + 4 + length;
  }

  const std::string answer_;
  const bool close_after_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> connections_{0}, requests_{0};
  std::mutex mutex_;
  std::string last_request_;
};

std::string Http(const std::string& status, const std::string& headers, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\n" + headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::unique_ptr<Connection> Connect(const std::string& url) {
  auto connection = Connection::Create({url, "sfk_key"});
  EXPECT_TRUE(connection.ok());
  return std::move(*connection);
}

Result<model::PollResponse> Poll(Connection& connection, uint32_t hold_ms = 1000) {
  model::PollRequest request;
  request.hold_ms = hold_ms;
  connection.StartPoll(request);
  const auto deadline = Clock::now() + std::chrono::seconds(20);
  while (Clock::now() < deadline) {
    if (auto outcome = connection.TakePoll()) return std::move(*outcome);
    connection.Wait(50);
  }
  return Status(Code::kInternal, "no outcome");
}

TEST(Connection, AnAnswerIsDecodedAndTheKeyIsSent) {
  v1::PollResponse response;
  response.set_revision(7);
  FakeServer server(Http("200 OK", "", response.SerializeAsString()));
  const auto connection = Connect(server.url());
  const auto outcome = Poll(*connection);
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  EXPECT_EQ(outcome->desired.revision, 7u);
  EXPECT_NE(server.last_request().find("Authorization: Bearer sfk_key"), std::string::npos);
  EXPECT_NE(server.last_request().find("POST /v1/agent/poll "), std::string::npos);
}

TEST(Connection, RefusalsSayWhetherARetryHelps) {
  const std::pair<const char*, Code> cases[] = {{"401 Unauthorized", Code::kUnauthorized},
                                                {"403 Forbidden", Code::kUnauthorized},
                                                {"400 Bad Request", Code::kInvalidArgument},
                                                {"413 Too Large", Code::kInvalidArgument},
                                                {"408 Request Timeout", Code::kUnavailable},
                                                {"429 Slow Down", Code::kUnavailable},
                                                {"500 Oops", Code::kUnavailable},
                                                {"503 Gone", Code::kUnavailable},
                                                {"302 Found", Code::kUnavailable}};
  for (const auto& [status, code] : cases) {
    FakeServer server(Http(status, "Location: http://127.0.0.1:1/\r\n", "because"));
    const auto connection = Connect(server.url());
    const auto outcome = Poll(*connection);
    ASSERT_FALSE(outcome.ok()) << status;
    EXPECT_EQ(outcome.status().code(), code) << status;
    EXPECT_NE(outcome.status().message().find("because"), std::string::npos) << status;
    EXPECT_EQ(connection->retry_after_ms(), 0u);
  }
}

TEST(Connection, RetryAfterIsHeardAndBounded) {
  for (const auto& [header, ms] : {std::pair{"7", 7'000u}, {"99999999", 300'000u}, {"-3", 0u}}) {
    FakeServer server(Http("503 Busy", "Retry-After: " + std::string(header) + "\r\n", ""));
    const auto connection = Connect(server.url());
    EXPECT_FALSE(Poll(*connection).ok());
    EXPECT_EQ(connection->retry_after_ms(), ms) << header;
  }
}

TEST(Connection, GarbageIsAnErrorNotACrash) {
  const std::string big(9u << 20, 'x');
  const std::string cases[] = {"\x16\x03\x01 not http at all\r\n\r\n",
                               Http("200 OK", "", "\xff\xff\xff\xff not protobuf"),
                               "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort",
                               Http("200 OK", "", big),
                               "",
                               "HTTP/1.1 "};
  for (const std::string& answer : cases) {
    FakeServer server(answer, true);
    const auto connection = Connect(server.url());
    const auto outcome = Poll(*connection);
    EXPECT_FALSE(outcome.ok()) << answer.substr(0, 40);
    EXPECT_NE(outcome.status().code(), Code::kInternal) << outcome.status().ToString();
  }
}

TEST(Connection, NobodyListeningIsKnownAtOnce) {
  uint16_t port = 0;
  {
    FakeServer gone("");
    port = static_cast<uint16_t>(std::stoi(gone.url().substr(gone.url().rfind(':') + 1)));
  }
  const auto connection = Connect("http://127.0.0.1:" + std::to_string(port));
  connection->StartPoll({});
  const auto start = Clock::now();
  std::optional<Result<model::PollResponse>> outcome;
  while (!(outcome = connection->TakePoll()) && Clock::now() - start < milliseconds(5000)) {
    connection->Wait(5000);
  }
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->status().code(), Code::kUnavailable);
  EXPECT_LT(Clock::now() - start, milliseconds(2000));
}

TEST(Connection, AConnectionIsKept) {
  FakeServer server(Http("200 OK", "", ""));
  const auto connection = Connect(server.url());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Poll(*connection).ok());
  EXPECT_EQ(server.connections(), 1);
  EXPECT_EQ(server.requests(), 3);
}

TEST(Connection, AConnectionThatTheServerClosedIsReplaced) {
  FakeServer server(Http("200 OK", "", ""), true);
  const auto connection = Connect(server.url());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Poll(*connection).ok());
  EXPECT_EQ(server.connections(), 3);
}

TEST(Connection, SocketsAreNotInherited) {
  FakeServer server(Http("200 OK", "", ""));
  const auto connection = Connect(server.url());
  ASSERT_TRUE(Poll(*connection).ok());
  for (int fd = 0; fd < 256; ++fd) {
    int type = 0;
    socklen_t size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) continue;
    sockaddr_in peer{};
    size = sizeof peer;
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue;
    EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << fd;
  }
}

TEST(Connection, CancelEndsAHeldPoll) {
  FakeServer server("");  // holds for ever
  const auto connection = Connect(server.url());
  connection->StartPoll({});
  for (int i = 0; i < 100 && server.requests() == 0; ++i) connection->Wait(10);
  EXPECT_TRUE(connection->poll_running());
  connection->CancelPoll();
  EXPECT_FALSE(connection->poll_running());
  EXPECT_FALSE(connection->TakePoll().has_value());
}

TEST(Connection, WakeEndsAWait) {
  FakeServer server("");
  const auto connection = Connect(server.url());
  std::thread waker([&] { connection->Wake(); });
  const auto start = Clock::now();
  connection->Wait(10'000);
  EXPECT_LT(Clock::now() - start, milliseconds(5000));
  waker.join();
}

}  // namespace
}  // namespace stillframe::transport
