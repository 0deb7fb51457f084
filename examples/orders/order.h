// What the shop sells and to whom: nested on purpose, as real services' data is.
#ifndef STILLFRAME_EXAMPLES_ORDERS_ORDER_H_
#define STILLFRAME_EXAMPLES_ORDERS_ORDER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace shop {

enum class Tier { kBasic, kSilver, kGold };
enum class Status { kReceived, kPriced, kReserved, kRejected };

struct Customer {
  std::string name;
  std::string email;
  Tier tier = Tier::kBasic;
  std::string apiToken;  // a debugger must not show this
};

struct Item {
  std::string sku;
  int quantity = 0;
  double price = 0;
};

struct Address {
  std::string street, city, country;
};

struct Card {
  std::string last_digits;
  int expires_year = 0;
};
struct Invoice {
  std::string company;
  int days = 30;
};

struct Order {
  int64_t id = 0;
  std::shared_ptr<Customer> customer;
  std::vector<Item> items;
  std::optional<Address> shipping;
  std::variant<Card, Invoice> payment;
  std::map<std::string, std::string> tags;
  Status status = Status::kReceived;
  double total = 0;
};

// Reads "customer=ada&tier=gold&item=sku-1:2&item=sku-7:1&city=Paris"; nullopt and `error` say what
// is wrong with it.
std::optional<Order> ParseOrder(std::string_view form, int64_t id, std::string& error);
std::string OrderToJson(const Order& order);
const char* StatusName(Status status);

}  // namespace shop

#endif  // STILLFRAME_EXAMPLES_ORDERS_ORDER_H_
