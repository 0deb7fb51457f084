// Prints what its variables hold, as the truth that snapshots are compared with, then runs the
// probed lines. noinline and `keep` stop the optimizer from removing the functions, not from
// optimizing inside them.
#include <array>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "truth.h"

namespace shop {

enum class Tier { kBasic, kSilver, kGold };
enum Flags : unsigned { kNone = 0, kFragile = 1, kExpress = 2, kGift = 4 };

struct Money {
  double amount;
  char currency[4];
};

struct Item {
  std::string sku;
  int quantity;
  Money price;
};

struct Customer {
  std::string name;
  Tier tier;
  std::string password;
};

struct Base {
  virtual ~Base() = default;
  long base_id = 7;
};

struct Order : Base {
  long id;
  std::vector<Item> items;
  std::shared_ptr<Customer> customer;
  std::unique_ptr<int> weight;
  std::optional<double> discount;
  std::optional<int> nothing;
  std::variant<int, std::string, Money> payment;
  std::map<std::string, int> tags;
  std::unordered_map<int, std::string> notes;
  std::set<int> codes;
  std::pair<int, char> pair;
  std::tuple<int, std::string, bool> tuple;
  std::array<short, 3> dims;
  unsigned fragile : 1, level : 3;
  Flags flags;
  union {
    int raw;
    float ratio;
  };
  int* counter;
  const char* source;
  void (*callback)();
};

void Callback() {}

__attribute__((noinline)) void Keep(const void* p) { asm volatile("" : : "r"(p) : "memory"); }

__attribute__((noinline)) double Total(const Order& order, double rate, std::string_view label) {
  double total = 0;
  int count = 0;
  for (const Item& item : order.items) {
    total += item.price.amount * item.quantity;
    count += item.quantity;
  }
  total *= rate;
  Keep(&label);
  Keep(&order);  // mark-total
  std::printf("total %.17g count %d label %.*s\n", total, count, (int)label.size(),
              label.data());
  TELL(total, count, rate);
  return total + count;
}

__attribute__((noinline)) int Scalars(int i, unsigned u, long long ll, char c, bool b, float f,
                                      double d, short s, unsigned char uc) {
  std::printf("i %d u %u ll %lld c %d b %d f %.9g d %.17g s %d uc %d\n", i, u, ll, c, b, f, d, s,
              uc);
  TELL(i, u, ll, c, b, f, d, s, uc);
  std::fflush(stdout);  // mark-scalars
  return i + (int)u + (int)ll + c + b + (int)f + (int)d + s + uc;
}

__attribute__((noinline)) int Outer(const Order& order, int depth) {
  if (depth > 0) {
    const int result = Outer(order, depth - 1);
    TELL(depth, result);
    return result + 1;
  }
  return (int)Total(order, 1.5, "outer");
}

}  // namespace shop

int main(int argc, char**) {
  using namespace shop;
  int counter = 41 + argc;
  Order order{};
  order.id = 1234567890123;
  for (int i = 0; i < 5; ++i) {
    order.items.push_back({"sku-" + std::to_string(i), i + 1, {9.5 * (i + 1), "EUR"}});
  }
  order.customer = std::make_shared<Customer>(
      Customer{"Ada \"Countess\" Lovelace, a name that is long enough for the heap", Tier::kGold,
               "hunter2"});
  order.weight = std::make_unique<int>(750);
  order.discount = 12.5;
  order.payment = std::string("invoice");
  order.tags = {{"gift", 1}, {"priority", 2}, {"zone", 3}};
  order.notes = {{17, "leave at door"}};
  order.codes = {3, 1, 2};
  order.pair = {-5, 'x'};
  order.tuple = {8, "eight", true};
  order.dims = {10, -20, 30};
  order.fragile = 1;
  order.level = 5;
  order.flags = static_cast<Flags>(kFragile | kGift);
  order.raw = 77;
  order.counter = &counter;
  order.source = "web";
  order.callback = &Callback;
  double sum = Outer(order, 3);
  sum += Scalars(-42, 4000000000u, -9000000000000000000ll, 'A', true, 1.5f, 2.718281828459045, -7,
                 200);
  std::printf("done %.17g\n", sum);
  return 0;
}
