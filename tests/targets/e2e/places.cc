// Functions to be named by tracepoints: overloads, templates, members, copies inlined into others.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace shop {

struct Item {
  long price;
  std::string name;
};

class Cart {
 public:
  explicit Cart(int size) {
    for (int i = 0; i < size; ++i) items_.push_back({10 * i, "item-" + std::to_string(i)});
  }
  [[gnu::noinline]] long Total(int scale) const {
    long total = 0;
    for (const Item& item : items_) total += item.price * scale;
    return total;
  }
  [[gnu::noinline]] bool operator==(const Cart& other) const {
    return items_.size() == other.items_.size();
  }

 private:
  std::vector<Item> items_;
};

template <typename T>
[[gnu::noinline]] T Max(T a, T b) {
  return a > b ? a : b;
}

[[gnu::noinline]] int Scale(int by) { return by * 3; }
[[gnu::noinline]] double Scale(double by) { return by * 3; }

inline int Check(int value) {
  asm volatile("" : "+r"(value));  // or copies melt into what is around them
  if (value > 1000) std::abort();
  return value + 1;
}

namespace {
[[gnu::noinline]] int Hidden(int level) {
  const int first = Check(level);
  return Check(first * 2);
}
}  // namespace

inline namespace v2 {
[[gnu::noinline]] std::size_t Length(const std::string& text, const char* more) {
  const auto count = [](const char* at) __attribute__((noinline)) {
    std::size_t length = 0;
    while (at[length] != 0) ++length;
    return length;
  };
  return count(text.c_str()) + count(more);
}
}  // namespace v2

// Calls through the second base come by a thunk, which Clang describes as a function.
struct Priced {
  virtual ~Priced() = default;
  virtual int Price(int count) = 0;
};
struct Named {
  virtual ~Named() = default;
  virtual int Letters(int more) = 0;
};
struct Article final : Priced, Named {
  [[gnu::noinline]] int Price(int count) override { return count * 2; }
  [[gnu::noinline]] int Letters(int more) override { return more + 4; }
};
[[gnu::noinline]] int LettersOf(Named* volatile named) { return named->Letters(3); }

}  // namespace shop

int main() {
  const shop::Cart cart(4);
  static volatile int level = 20;  // or all of it is computed by the compiler
  shop::Article article;
  std::printf("%ld %d %.1f %d %.1f %d %d %zu %d\n", cart.Total(7), shop::Max(3, 4), shop::Max(1.5, 2.5),
              shop::Scale(5), shop::Scale(0.5), shop::Hidden(level), cart == cart,
              shop::Length("four", "two"), shop::LettersOf(&article));
}
