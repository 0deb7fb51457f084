#include "order.h"

#include <charconv>
#include <cstdio>

namespace shop {
namespace {

bool ParseInt(std::string_view text, int& out, int low, int high) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && out >= low && out <= high;
}

bool ParseItem(std::string_view text, Item& item) {
  const size_t colon = text.find(':');
  if (colon == 0 || colon == std::string_view::npos || colon > 64) return false;
  item.sku = text.substr(0, colon);
  return ParseInt(text.substr(colon + 1), item.quantity, 1, 1000);
}

bool ParseTier(std::string_view text, Tier& tier) {
  if (text == "basic") {
    tier = Tier::kBasic;
  } else if (text == "silver") {
    tier = Tier::kSilver;
  } else if (text == "gold") {
    tier = Tier::kGold;
  } else {
    return false;
  }
  return true;
}

// One "key=value" of the form.
bool ApplyField(std::string_view key, std::string_view value, Order& order) {
  if (key == "customer") {
    order.customer->name = value;
    order.customer->email = std::string(value) + "@example.com";
    order.customer->apiToken = "tok-" + std::string(value);
  } else if (key == "tier") {
    return ParseTier(value, order.customer->tier);
  } else if (key == "item") {
    Item item;
    if (order.items.size() >= 100 || !ParseItem(value, item)) return false;
    order.items.push_back(std::move(item));
  } else if (key == "city") {
    order.shipping = Address{"1 Main Street", std::string(value), "FR"};
  } else if (key == "company") {
    order.payment = Invoice{std::string(value), 30};
  } else {
    order.tags[std::string(key)] = value;
  }
  return true;
}

std::string Escape(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out;
}

}  // namespace

const char* StatusName(Status status) {
  switch (status) {
    case Status::kReceived:
      return "received";
    case Status::kPriced:
      return "priced";
    case Status::kReserved:
      return "reserved";
    case Status::kRejected:
      return "rejected";
  }
  return "?";
}

std::optional<Order> ParseOrder(std::string_view form, int64_t id, std::string& error) {
  Order order;
  order.id = id;
  order.customer = std::make_shared<Customer>();
  order.payment = Card{"4242", 2029};
  while (!form.empty()) {
    const size_t end = form.find('&');
    const std::string_view field = form.substr(0, end);
    form.remove_prefix(end == std::string_view::npos ? form.size() : end + 1);
    const size_t equals = field.find('=');
    if (equals == std::string_view::npos || order.tags.size() > 50 ||
        !ApplyField(field.substr(0, equals), field.substr(equals + 1), order)) {
      error = "bad field '" + std::string(field.substr(0, 80)) + "'";
      return std::nullopt;
    }
  }
  if (order.customer->name.empty() || order.items.empty()) {
    error = "an order needs a customer and an item";
    return std::nullopt;
  }
  return order;
}

std::string OrderToJson(const Order& order) {
  char head[128];
  std::snprintf(head, sizeof head, "{\"id\":%lld,\"total\":%.2f,\"status\":\"%s\",\"items\":%zu",
                static_cast<long long>(order.id), order.total, StatusName(order.status),
                order.items.size());
  return std::string(head) + ",\"customer\":\"" + Escape(order.customer->name) + "\"}\n";
}

}  // namespace shop
