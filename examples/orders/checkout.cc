#include "checkout.h"

namespace shop {
namespace {

double DiscountRate(const Customer& customer, double subtotal) {
  double rate = 0;
  if (customer.tier == Tier::kGold) {
    rate = 0.10;
  } else if (customer.tier == Tier::kSilver) {
    rate = 0.05;
  }
  if (subtotal > 500) rate += 0.02;
  return rate;
}

double TaxRate(const Order& order) {
  return order.shipping && order.shipping->country == "FR" ? 0.20 : 0.19;
}

}  // namespace

Inventory::Inventory(int products) {
  for (int i = 0; i < products; ++i) {
    products_["sku-" + std::to_string(i)] = {4.99 + i % 50, 1'000'000};
  }
}

double Inventory::PriceOf(const std::string& sku) const {
  const std::lock_guard lock(mutex_);
  const auto found = products_.find(sku);
  return found == products_.end() ? 0 : found->second.price;
}

bool Inventory::Reserve(const Order& order) {
  const std::lock_guard lock(mutex_);
  for (const Item& item : order.items) {
    const auto found = products_.find(item.sku);
    if (found == products_.end()) return false;
    if (found->second.stock < item.quantity) found->second.stock = 1'000'000;
  }
  for (const Item& item : order.items) products_[item.sku].stock -= item.quantity;
  return true;
}

Receipt Checkout(Order& order, Inventory& inventory) {
  Receipt receipt;
  int pieces = 0;
  for (Item& item : order.items) {
    item.price = inventory.PriceOf(item.sku);
    receipt.subtotal += item.price * item.quantity;
    pieces += item.quantity;
  }
  const Customer* customer = order.customer.get();
  const double rate = DiscountRate(*customer, receipt.subtotal);
  receipt.discount = receipt.subtotal * rate;
  const double net = receipt.subtotal - receipt.discount;
  receipt.tax = net * TaxRate(order);
  receipt.total = net + receipt.tax;
  order.total = receipt.total;  // demo: tracepoint here
  order.status = inventory.Reserve(order) ? Status::kReserved : Status::kRejected;
  if (pieces > 500) order.tags["bulk"] = "yes";
  return receipt;
}

}  // namespace shop
