// The shop's work: prices, discounts, stock.
#ifndef STILLFRAME_EXAMPLES_ORDERS_CHECKOUT_H_
#define STILLFRAME_EXAMPLES_ORDERS_CHECKOUT_H_

#include <atomic>
#include <mutex>
#include <string>
#include <unordered_map>

#include "order.h"

namespace shop {

// Threads: any.
class Inventory {
 public:
  explicit Inventory(int products);
  // Price of one piece; 0 for a product that does not exist.
  double PriceOf(const std::string& sku) const;
  // Takes the pieces out of stock, all or none. Stock refills itself.
  bool Reserve(const Order& order);

 private:
  struct Product {
    double price;
    int stock;
  };
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Product> products_;
};

struct Receipt {
  double subtotal = 0;
  double discount = 0;
  double tax = 0;
  double total = 0;
};

// Prices the order and reserves its items; fills order.total and order.status.
Receipt Checkout(Order& order, Inventory& inventory);

}  // namespace shop

#endif  // STILLFRAME_EXAMPLES_ORDERS_CHECKOUT_H_
