// Throws exceptions of several types from known places, and catches all of them.
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace shop {

class Error : public std::runtime_error {
 public:
  Error(const std::string& text, int code) : std::runtime_error(text), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};
class NotFound : public Error {
 public:
  explicit NotFound(long id) : Error("no order " + std::to_string(id), 404) {}
};
struct Plain {
  int number;
};
struct Order {
  long id;
  std::string name;
};

[[gnu::noinline]] long Find(const std::vector<Order>& orders, long id) {
  for (const Order& order : orders) {
    if (order.id == id) return order.id;
  }
  throw NotFound(id);  // mark-throw
}

// What is destroyed when this is thrown is inlined: at -O2 GCC's rows for the call begin with its.
[[gnu::noinline]] long Deep(const std::vector<Order>& orders, long depth) {
  if (depth > 3) throw Error("too deep for " + std::to_string(orders[0].id), 500);  // mark-deep
  return depth + static_cast<long>(orders[1].name.size());
}

[[gnu::noinline]] long Handle(int kind, const std::vector<Order>& orders) {
  long step = kind * 10;
  asm volatile("" : "+r"(step));
  switch (kind) {
    case 0:
      return Find(orders, 77) + step;
    case 1:
      return static_cast<long>(orders.at(99).id) + step;
    case 2:
      throw Plain{5};
    case 3:
      throw Error("declined", 402);
    default:
      throw std::string("text");
  }
}

}  // namespace shop

int main(int argc, char** argv) {
  const std::vector<shop::Order> orders{{1, "one"}, {2, "two"}};
  int caught = 0;
  for (int kind = 0; kind < 5; ++kind) {
    try {
      std::printf("%ld\n", shop::Handle(kind, orders));
    } catch (const std::exception& error) {
      std::printf("%s\n", error.what());
      ++caught;
    } catch (...) {
      ++caught;
    }
  }
  std::printf("caught %d\n", caught);
  // A hot throw, from two places.
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 0;
  for (int i = 0; i < rounds; ++i) {
    try {
      if (i % 10 == 9) {
        shop::Handle(0, orders);
      } else {
        shop::Handle(3, orders);
      }
    } catch (const std::exception&) {
    }
  }
  if (argc > 2) {
    try {
      std::printf("%ld\n", shop::Deep(orders, argc + 1));
    } catch (const shop::Error&) {
    }
  }
}
