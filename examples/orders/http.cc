#include "http.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

namespace shop {
namespace {

constexpr size_t kMaxHead = 16 * 1024;
constexpr size_t kMaxBody = 64 * 1024;

int g_stop_fd = -1;  // an eventfd that stays readable once we shall stop

struct Connection {
  explicit Connection(int descriptor) : fd(descriptor) {}
  ~Connection() { close(fd); }
  const int fd;
  std::string in;
};

enum class Progress { kNeedMore, kReady, kBroken };

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  return out;
}

// Takes one request from the front of `in`.
Progress TakeRequest(std::string& in, Request& request) {
  const size_t end = in.find("\r\n\r\n");
  if (end == std::string::npos)
    return in.size() > kMaxHead ? Progress::kBroken : Progress::kNeedMore;
  std::string_view head(in.data(), end);
  const size_t first_space = head.find(' ');
  const size_t second_space = head.find(' ', first_space + 1);
  if (second_space == std::string_view::npos) return Progress::kBroken;
  request.method = head.substr(0, first_space);
  request.path = head.substr(first_space + 1, second_space - first_space - 1);
  size_t line = head.find("\r\n");
  while (line != std::string_view::npos) {
    const size_t start = line + 2;
    line = head.find("\r\n", start);
    const std::string_view text = head.substr(start, line - start);
    const size_t colon = text.find(':');
    if (colon == std::string_view::npos) return Progress::kBroken;
    std::string_view value = text.substr(colon + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    request.headers[Lower(text.substr(0, colon))] = value;
  }
  size_t length = 0;
  if (const auto found = request.headers.find("content-length"); found != request.headers.end()) {
    const std::string& text = found->second;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), length);
    if (error != std::errc() || stop != text.data() + text.size() || length > kMaxBody) {
      return Progress::kBroken;
    }
  }
  if (in.size() < end + 4 + length) return Progress::kNeedMore;
  request.body = in.substr(end + 4, length);
  in.erase(0, end + 4 + length);
  return Progress::kReady;
}

bool SendAll(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t sent = send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (sent <= 0) return false;
    data.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool Answer(int fd, const Response& response) {
  const char* reason = response.status == 200   ? "OK"
                       : response.status == 201 ? "Created"
                       : response.status == 404 ? "Not Found"
                                                : "Bad Request";
  return SendAll(fd, "HTTP/1.1 " + std::to_string(response.status) + " " + reason +
                         "\r\nContent-Type: application/json\r\nContent-Length: " +
                         std::to_string(response.body.size()) + "\r\n\r\n" + response.body);
}

// Serves what has arrived; false when the connection is over.
bool ServeConnection(Connection& connection, const Handler& handler) {
  char buffer[16 * 1024];
  const ssize_t count = recv(connection.fd, buffer, sizeof buffer, 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (count <= 0) return false;
  connection.in.append(buffer, static_cast<size_t>(count));
  while (true) {
    Request request;
    const Progress progress = TakeRequest(connection.in, request);
    if (progress == Progress::kNeedMore) return true;
    if (progress == Progress::kBroken) {
      Answer(connection.fd, {400, "{\"error\":\"malformed request\"}\n"});
      return false;
    }
    if (!Answer(connection.fd, handler(request))) return false;
  }
}

void Accept(int listener, int epoll) {
  const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.ptr = new Connection(fd);
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
    delete static_cast<Connection*>(event.data.ptr);
  }
}

// Marks in event.data: the two descriptors that are no connections.
int g_listener_mark, g_stop_mark;

void Worker(int epoll, int listener, const Handler& handler) {
  while (true) {
    epoll_event event{};
    if (epoll_wait(epoll, &event, 1, -1) != 1) continue;
    if (event.data.ptr == &g_stop_mark) return;
    if (event.data.ptr == &g_listener_mark) {
      Accept(listener, epoll);
      continue;
    }
    std::unique_ptr<Connection> connection(static_cast<Connection*>(event.data.ptr));
    if (!ServeConnection(*connection, handler)) continue;
    event.events = EPOLLIN | EPOLLONESHOT;
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event) == 0) {
      (void)connection.release();
    }
  }
}

void OnStop(int) {
  const uint64_t one = 1;
  [[maybe_unused]] ssize_t ignored = write(g_stop_fd, &one, sizeof one);
}

int Listen(int& port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd, 256) != 0 || getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::perror("orders: listen");
    close(fd);
    return -1;
  }
  port = ntohs(address.sin_port);
  return fd;
}

}  // namespace

int Serve(int port, int threads, const Handler& handler) {
  const int listener = Listen(port);
  if (listener < 0) return 1;
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  g_stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &g_listener_mark;
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  event.data.ptr = &g_stop_mark;
  epoll_ctl(epoll, EPOLL_CTL_ADD, g_stop_fd, &event);
  struct sigaction action {};
  action.sa_handler = OnStop;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  std::printf("listening on %d\n", port);
  std::fflush(stdout);
  std::vector<std::thread> pool;
  for (int i = 0; i < threads; ++i) {
    pool.emplace_back([&, i] {
      const std::string name = "worker-" + std::to_string(i);
      pthread_setname_np(pthread_self(), name.c_str());
      Worker(epoll, listener, handler);
    });
  }
  for (std::thread& thread : pool) thread.join();
  return 0;
}

}  // namespace shop
