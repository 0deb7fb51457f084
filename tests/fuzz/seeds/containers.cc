// The standard containers, for plans with every kind of view.
#include <any>
#include <array>
#include <bitset>
#include <chrono>
#include <complex>
#include <deque>
#include <forward_list>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

struct Base {
  virtual ~Base() = default;
  int number = 1;
};
struct Derived : Base {
  std::string name;
  Base* next = nullptr;
};

struct Everything {
  std::string text;
  std::string_view view;
  std::vector<std::string> texts;
  std::vector<bool> bits;
  std::array<int, 3> three;
  std::map<int, std::string> tree;
  std::set<long> set;
  std::unordered_map<int, Base> hash;
  std::list<int> list;
  std::forward_list<int> forward;
  std::deque<short> deque;
  std::optional<std::string> maybe;
  std::variant<int, std::string, double> variant;
  std::unique_ptr<Derived> owner;
  std::shared_ptr<Base> shared;
  std::weak_ptr<Base> weak;
  std::tuple<int, std::string> tuple;
  std::pair<int, Base*> pair;
  std::span<int> span;
  std::bitset<70> flags;
  std::any any;
  std::function<int(int)> function;
  std::complex<double> complex;
  std::chrono::system_clock::time_point when;
  Base* base;
};

void Outside(const void*);

// The plan targets set their tracepoint on the line that is marked so.
__attribute__((noinline)) long Observe(Everything& order, const Derived* derived, long count) {
  order.any = std::string("any");
  Outside(&order);  // plans: here
  return count + static_cast<long>(order.texts.size()) + derived->number;
}
