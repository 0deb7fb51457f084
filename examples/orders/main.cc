// An order service, small but with the shape of a real one: threads, shared state, nested data.
//
//   POST /orders          body: customer=ada&tier=gold&item=sku-1:2&item=sku-7:1&city=Paris
//   GET  /orders/ID       GET /stats       GET /healthz
#include <array>
#include <atomic>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "checkout.h"
#include "http.h"
#ifdef ORDERS_WITH_STILLFRAME
#include "stillframe/trace.h"
#endif

namespace shop {
namespace {

// The last orders, in a ring.
class History {
 public:
  void Add(const Order& order) {
    const std::lock_guard lock(mutex_);
    orders_[static_cast<size_t>(order.id) % orders_.size()] = order;
  }
  std::optional<Order> Find(int64_t id) const {
    const std::lock_guard lock(mutex_);
    const Order& order = orders_[static_cast<size_t>(id) % orders_.size()];
    if (order.id != id) return std::nullopt;
    return order;
  }

 private:
  mutable std::mutex mutex_;
  std::array<Order, 1024> orders_;
};

class Service {
 public:
  Response Handle(const Request& request) {
#ifdef ORDERS_WITH_STILLFRAME
    const auto header = request.headers.find("traceparent");
    const stillframe::TraceScope scope(header == request.headers.end() ? "" : header->second);
#endif
    if (request.method == "POST" && request.path == "/orders") return Create(request);
    if (request.method == "GET" && request.path.starts_with("/orders/")) return Show(request);
    if (request.path == "/healthz") return {200, "{\"ok\":true}\n"};
    if (request.path == "/stats") {
      return {200, "{\"orders\":" + std::to_string(next_id_.load() - 1) + "}\n"};
    }
    return {404, "{\"error\":\"no such page\"}\n"};
  }

 private:
  Response Create(const Request& request) {
    std::string error;
    std::optional<Order> order = ParseOrder(request.body, next_id_.fetch_add(1), error);
    if (!order) return {400, "{\"error\":\"" + error + "\"}\n"};
    const Receipt receipt = Checkout(*order, inventory_);
    if (receipt.total <= 0) return {400, "{\"error\":\"nothing to pay\"}\n"};
    history_.Add(*order);
    return {201, OrderToJson(*order)};
  }

  Response Show(const Request& request) {
    const std::string text = request.path.substr(std::strlen("/orders/"));
    int64_t id = 0;
    std::from_chars(text.data(), text.data() + text.size(), id);
    const auto order = history_.Find(id);
    if (id <= 0 || !order) return {404, "{\"error\":\"no such order\"}\n"};
    return {200, OrderToJson(*order)};
  }

  std::atomic<int64_t> next_id_{1};
  Inventory inventory_{200};
  History history_;
};

}  // namespace
}  // namespace shop

int main(int argc, char** argv) {
  int port = 8080, threads = 4;
  for (int i = 1; i < argc; i += 2) {
    int* out = std::strcmp(argv[i], "--port") == 0      ? &port
               : std::strcmp(argv[i], "--threads") == 0 ? &threads
                                                        : nullptr;
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    const auto [end, error] = out == nullptr
                                  ? std::from_chars_result{value, std::errc::invalid_argument}
                                  : std::from_chars(value, value + std::strlen(value), *out);
    if (error != std::errc() || *end != '\0' || port < 0 || port > 65535 || threads < 1 ||
        threads > 256) {
      std::fprintf(stderr, "usage: orders [--port PORT] [--threads N]\n");
      return 2;
    }
  }
  auto service = std::make_unique<shop::Service>();
  return shop::Serve(port, threads,
                     [&service](const shop::Request& request) { return service->Handle(request); });
}
