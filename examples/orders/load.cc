// Load for the order service: keep-alive connections, a fixed rate or as fast as it goes; latency
// of every request.
//
//   orders-load --port N [--seconds S] [--connections C] [--rate R] [--interval S] [--json]
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  int port = 8080;
  double seconds = 5;
  int connections = 4;
  double rate = 0;      // requests a second in all; 0 = as fast as it goes
  double interval = 0;  // seconds between lines; 0 = only the end
  bool json = false;
};

struct Results {
  std::mutex mutex;
  std::vector<float> micros;  // latencies since the last report
  uint64_t errors = 0;
};

int Connect(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    close(fd);
    return -1;
  }
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

std::string MakeRequest(std::minstd_rand& random) {
  constexpr const char* kNames[] = {"ada", "grace", "edsger", "barbara", "donald"};
  constexpr const char* kTiers[] = {"basic", "silver", "gold"};
  std::string body = std::string("customer=") + kNames[random() % 5] +
                     "&tier=" + kTiers[random() % 3] + "&city=Paris&channel=web";
  for (unsigned i = 0, n = 1 + random() % 6; i < n; ++i) {
    body += "&item=sku-" + std::to_string(random() % 200) + ":" + std::to_string(1 + random() % 9);
  }
  char trace[64];
  std::snprintf(trace, sizeof trace, "00-%08lx%08lx%08lx%08lx-%08lx%08lx-01",
                static_cast<unsigned long>(random()), static_cast<unsigned long>(random()),
                static_cast<unsigned long>(random()), static_cast<unsigned long>(random()),
                static_cast<unsigned long>(random()), static_cast<unsigned long>(random()));
  return "POST /orders HTTP/1.1\r\nHost: localhost\r\ntraceparent: " + std::string(trace) +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// Sends and reads one whole answer; false when the connection is broken.
bool Exchange(int fd, const std::string& request, std::string& buffer) {
  if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return false;
  }
  buffer.clear();
  char chunk[4096];
  while (true) {
    const ssize_t count = recv(fd, chunk, sizeof chunk, 0);
    if (count <= 0) return false;
    buffer.append(chunk, static_cast<size_t>(count));
    const size_t end = buffer.find("\r\n\r\n");
    if (end == std::string::npos) continue;
    const size_t at = buffer.find("Content-Length: ");
    if (at == std::string::npos) return false;
    const size_t length = std::strtoul(buffer.c_str() + at + 16, nullptr, 10);
    if (buffer.size() >= end + 4 + length) return buffer.compare(9, 3, "201") == 0;
  }
}

void Run(const Options& options, int index, Clock::time_point end, Results& results) {
  std::minstd_rand random(static_cast<unsigned>(index) + 1);
  const auto period =
      std::chrono::duration<double>(options.rate > 0 ? options.connections / options.rate : 0);
  int fd = Connect(options.port);
  std::string buffer;
  auto due = Clock::now();
  while (Clock::now() < end) {
    if (options.rate > 0) {
      due += std::chrono::duration_cast<Clock::duration>(period);
      std::this_thread::sleep_until(due);
    }
    const std::string request = MakeRequest(random);
    const auto began = Clock::now();
    const bool ok = fd >= 0 && Exchange(fd, request, buffer);
    const std::chrono::duration<float, std::micro> took = Clock::now() - began;
    const std::lock_guard lock(results.mutex);
    if (ok) {
      results.micros.push_back(took.count());
    } else {
      ++results.errors;
      if (fd >= 0) close(fd);
      fd = Connect(options.port);
    }
  }
  if (fd >= 0) close(fd);
}

void Report(const Options& options, std::vector<float> micros, uint64_t errors, double seconds) {
  std::sort(micros.begin(), micros.end());
  const auto quantile = [&micros](double q) {
    if (micros.empty()) return 0.0f;
    return micros[std::min(micros.size() - 1,
                           static_cast<size_t>(q * static_cast<double>(micros.size())))];
  };
  const double rate = static_cast<double>(micros.size()) / seconds;
  const char* format =
      options.json
          ? "{\"requestsPerSecond\":%.1f,\"p50Micros\":%.1f,\"p99Micros\":%.1f,"
            "\"p999Micros\":%.1f,\"worstMicros\":%.1f,\"requests\":%zu,\"errors\":%llu}\n"
          : "%8.0f requests/s   p50 %6.0f µs   p99 %6.0f µs   p99.9 %6.0f µs   worst %6.0f µs   "
            "(%zu requests, %llu errors)\n";
  std::printf(format, rate, quantile(0.5), quantile(0.99), quantile(0.999), quantile(1),
              micros.size(), static_cast<unsigned long long>(errors));
  std::fflush(stdout);
}

bool ParseOptions(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--json") {
      options.json = true;
      continue;
    }
    if (i + 1 >= argc) return false;
    const double value = std::atof(argv[++i]);
    if (name == "--port") {
      options.port = static_cast<int>(value);
    } else if (name == "--seconds") {
      options.seconds = value;
    } else if (name == "--connections") {
      options.connections = static_cast<int>(value);
    } else if (name == "--rate") {
      options.rate = value;
    } else if (name == "--interval") {
      options.interval = value;
    } else {
      return false;
    }
  }
  return options.port > 0 && options.seconds > 0 && options.connections > 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!ParseOptions(argc, argv, options)) {
    std::fprintf(stderr,
                 "usage: orders-load --port N [--seconds S] [--connections C] [--rate R] "
                 "[--interval S] [--json]\n");
    return 2;
  }
  Results results;
  const auto began = Clock::now();
  const auto end = began + std::chrono::duration_cast<Clock::duration>(
                               std::chrono::duration<double>(options.seconds));
  std::vector<std::thread> threads;
  for (int i = 0; i < options.connections; ++i) {
    threads.emplace_back([&, i] { Run(options, i, end, results); });
  }
  std::vector<float> all;
  auto last = began;
  while (options.interval > 0 && Clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::duration<double>(options.interval));
    std::vector<float> part;
    {
      const std::lock_guard lock(results.mutex);
      part.swap(results.micros);
    }
    const auto now = Clock::now();
    Report(options, part, results.errors, std::chrono::duration<double>(now - last).count());
    last = now;
    all.insert(all.end(), part.begin(), part.end());
  }
  for (std::thread& thread : threads) thread.join();
  all.insert(all.end(), results.micros.begin(), results.micros.end());
  const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
  if (options.interval == 0) Report(options, all, results.errors, seconds);
  return results.errors == 0 ? 0 : 1;
}
