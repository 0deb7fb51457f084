// A host whose debug file is damaged: it computes, prints and ends with a status that must not change.
#include <cstdio>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace shop {

struct Item {
  virtual ~Item() = default;
  std::string name;
  int quantity = 0;
};

struct Special : Item {
  double discount = 0.5;
};

struct Order {
  long id = 0;
  std::vector<std::unique_ptr<Item>> items;
  std::map<std::string, int> tags;
};

template <typename T>
inline T Weighted(const T& value, int weight) {
  const T part = value * weight;
  return part + weight;  // mark-inlined
}

__attribute__((noinline)) long Checkout(const Order& order, int round) {
  long total = order.id;
  for (const auto& item : order.items) total += Weighted<long>(item->quantity, round);
  const auto found = order.tags.find("bulk");
  if (found != order.tags.end()) total += found->second;  // mark-checkout
  if (total < 0) throw std::out_of_range("total");
  return total;
}

}  // namespace shop

int main() {
  long sum = 0;
  for (int round = 0; round < 200; ++round) {
    shop::Order order;
    order.id = round;
    for (int i = 0; i < 3; ++i) {
      order.items.push_back(i == 1 ? std::make_unique<shop::Special>()
                                   : std::make_unique<shop::Item>());
      order.items.back()->quantity = i + round;
    }
    order.tags["bulk"] = round % 7;
    sum += shop::Checkout(order, round);
  }
  try {
    shop::Order order;
    order.id = -1000000;
    shop::Checkout(order, 1);
  } catch (const std::out_of_range& error) {
    std::printf("caught %s\n", error.what());
  }
  std::printf("sum %ld\n", sum);
  return 42;
}
