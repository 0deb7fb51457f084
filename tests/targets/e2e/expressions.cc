// Says what expressions are worth, by its own compiler, and then stands where they are evaluated.
// Lines of output: expression, tab, value as Stillframe shows it.
#include <array>
#include <atomic>
#include <bitset>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <forward_list>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

namespace shop {

enum class Tier : uint8_t { kBasic, kGold = 2 };
enum Plain { kNone, kSome = 5 };

struct Item {
  long price = 0;
  std::string name;
  bool rare = false;
};

struct Left {
  int left = 1;
};
struct Right {
  int right = 2;
};
struct Both : Left, Right {
  int both = 3;
};

int g_count = 41;
const long kLimit = 1000;
static unsigned g_mask = 0xf0;

struct Class {
  static int s_static;
  static constexpr int kConstant = 77;
};
int Class::s_static = 9;

using OrderId = unsigned short;

struct State {
  OrderId order_id = 3;
  int number = -7;
  unsigned positive = 4000000000u;
  long big = 0x1234567890;
  signed char small = -3;
  double real = 2.75;
  float narrow = 0.1f;
  double huge = 1e300;
  double not_a_number = std::numeric_limits<double>::quiet_NaN();
  int zero = 0;
  int lowest = std::numeric_limits<int>::min();
  Tier tier = Tier::kGold;
  Plain plain = kSome;
  bool flag = true;
  std::string word = "hello, world";
  std::string long_word = "a text that does not fit into the short form of any library, at all";
  std::string empty_word;
  std::string_view view = "hello";
  char array[16] = "hello";
  char full[4] = {'a', 'b', 'c', 'd'};
  const char* pointer_text = "hello";
  const char* other_text = "help";
  const char* no_text = nullptr;
  std::vector<int> numbers = {3, 1, 4, 1, 5, 9, 2, 6};
  std::vector<Item> items = {{5, "nut", false}, {70, "bolt", true}, {12, "washer", false}};
  std::vector<int> none;
  std::vector<int> many = std::vector<int>(250, 1);
  std::vector<bool> bits = {true, false, true, true};
  std::vector<std::vector<int>> nested = {{1, 2}, {3}, {}};
  std::array<int, 3> fixed = {10, 20, 30};
  std::deque<int> queue;
  std::deque<Item> item_queue;
  std::list<std::string> list = {"alpha", "beta", "gamma"};
  std::forward_list<int> forward = {7, 8, 9};
  std::set<int> set = {2, 4, 8};
  std::set<std::string> names_set = {"ada", "grace"};
  std::map<int, Item> orders;
  std::map<std::string, int> ages = {{"ada", 36}, {"grace", 85}, {"edsger", 72}};
  std::map<Tier, int> by_tier = {{Tier::kBasic, 1}, {Tier::kGold, 2}};
  std::map<int, int, std::greater<int>> falling = {{1, 10}, {2, 20}, {3, 30}};
  std::map<uint64_t, int> unsigned_keys = {{1, 1}, {~uint64_t{0}, 2}};
  struct ByLength {
    bool operator()(const std::string& a, const std::string& b) const {
      return a.size() < b.size();
    }
  };
  std::map<std::string, int, ByLength> odd = {{"a", 1}, {"bb", 2}};
  std::multimap<int, int> multi = {{1, 1}, {1, 2}};
  std::unordered_map<int, long> hashed = {{1, 100}, {2, 200}, {33, 3300}};
  std::unordered_map<std::string, Item> by_name = {{"nut", {5, "nut", false}}};
  std::unordered_set<int> hashed_set = {10, 20};
  std::unordered_map<int, long> crowded = [] {
    std::unordered_map<int, long> out;
    for (int i = -5000; i < 5000; ++i) out[i * 3] = i;
    return out;
  }();
  std::unordered_set<uint64_t> far_apart = [] {
    std::unordered_set<uint64_t> out;
    for (uint64_t i = 0; i < 3000; ++i) out.insert(~(i * 0x9e3779b97f4a7c15u));
    return out;
  }();
  std::optional<int> some = 12;
  std::optional<Item> item = Item{99, "engine", true};
  std::optional<int> nothing;
  std::chrono::milliseconds took{1500};
  std::chrono::duration<double> exact{0.25};
  std::variant<int, std::string, Item> variant = std::string("text");
  std::tuple<int, std::string> tuple = {4, "four"};
  std::unique_ptr<Item> unique = std::make_unique<Item>(Item{6, "six", false});
  std::shared_ptr<Item> shared = std::make_shared<Item>(Item{8, "eight", true});
  std::unique_ptr<Item> no_unique;
  std::atomic<int> atomic = 17;
  std::bitset<70> bitset;
  std::span<const int> span;
  Both both;
  Both* both_pointer = &both;
  Right* right_pointer = &both;
  Item* item_pointer = nullptr;
  Item* null_item = nullptr;
  void* opaque = &number;
  std::string password = "hunter2";
};

template <typename T>
std::string Show(const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_floating_point_v<T>) {
    char text[64];
    return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
  } else if constexpr (std::is_same_v<T, char> || std::is_same_v<T, signed char>) {
    return std::to_string(int{value}) + " '" + std::string(1, static_cast<char>(value)) + "'";
  } else if constexpr (std::is_same_v<T, unsigned char>) {
    return std::to_string(int{value});
  } else if constexpr (std::is_integral_v<T>) {
    return std::to_string(value);
  } else {
    return "\"" + std::string(value) + "\"";
  }
}

template <typename T>
void Say(const char* text, const T& value) {
  std::printf("%s\t%s\n", text, Show<std::decay_t<T>>(value).c_str());
}
void Fail(const char* text, const char* reason) { std::printf("%s\t!%s\n", text, reason); }

// The text is evaluated by this compiler, too.
#define SAME(...) Say(#__VA_ARGS__, (__VA_ARGS__))

template <typename Range, typename Condition>
size_t Count(const Range& range, Condition condition) {
  size_t count = 0;
  for (const auto& x : range) count += condition(x) ? 1 : 0;
  return count;
}

__attribute__((noinline)) void SayScalars(State& s) {
  SAME((long)s.number);
  SAME((unsigned)s.number);
  SAME((unsigned char)s.big == 0x90);
  SAME((int)s.real);
  SAME(static_cast<int>(-s.real));
  SAME(static_cast<long>(s.tier));
  SAME(long(s.small) * 3);
  SAME(unsigned(s.small));
  SAME((int)s.tier + 1);
  SAME((float)s.real);
  SAME((double)s.narrow);
  SAME((bool)s.big);
  SAME((short)s.big);
  SAME((uint16_t)s.big);
  SAME((OrderId)s.big);
  SAME(static_cast<OrderId>(s.positive));
  SAME((Tier)2 == s.tier);
  SAME(Tier(2) == Tier::kGold);
  SAME(static_cast<Plain>(5) == s.plain);
  SAME(s.flag ? s.number : s.big);
  SAME(s.flag ? s.real : s.number);
  SAME(!s.flag ? 1 : s.zero ? 2 : 3);
  SAME(*&s.number);
  SAME(sizeof(int));
  SAME(sizeof(long*));
  SAME(sizeof s.real);
  SAME(sizeof(s.array));
  SAME(sizeof(Item));
  SAME(sizeof(s.items[0].price));
  SAME(sizeof(unsigned long));
  SAME(s.number / 2);
  SAME(s.number % 4);
  SAME(s.positive + 1000000000);
  SAME(s.number < s.positive);
  SAME(s.not_a_number == s.not_a_number);
  SAME(s.not_a_number != s.not_a_number);
  SAME(s.real / s.zero);
  SAME(s.huge * s.huge);
  SAME(g_count + 1);
  SAME(shop::g_count == 41);
  SAME(::shop::g_mask);
  SAME(shop::kLimit);
  SAME(Class::s_static);
  SAME(shop::Class::s_static + 1);
  SAME(Class::kConstant + 1);
  SAME(((Both*)s.right_pointer)->both);
  SAME(static_cast<Both*>(s.right_pointer)->left);
  SAME(((Right*)s.both_pointer)->right);
  SAME(static_cast<Right*>(s.both_pointer) == s.right_pointer);
  SAME((Both*)(Right*)nullptr == nullptr);
  SAME(*(int*)s.opaque);
  SAME(*reinterpret_cast<int*>(s.opaque) == s.number);
  SAME((uintptr_t)s.null_item);
  SAME(s.atomic + 1);
  SAME(s.atomic == 17);
  SAME(s.atomic.load());
  SAME(s.item_pointer->price);
  SAME((*s.item_pointer).name);
  Fail("s.number / s.zero", "BAD_EXPRESSION");
  Fail("s.number % s.zero", "BAD_EXPRESSION");
  Fail("s.lowest / -1", "BAD_EXPRESSION");
  Fail("(int)s.huge", "BAD_EXPRESSION");
  Fail("(unsigned)s.not_a_number", "BAD_EXPRESSION");
  Fail("(unsigned char)(s.real - 10)", "BAD_EXPRESSION");
  Fail("s.null_item->price", "UNREADABLE");
  Fail("s.no_unique->price", "UNREADABLE");
  Say("s.lowest - 1", std::numeric_limits<int>::max());  // wraps
}

__attribute__((noinline)) void SayTexts(State& s) {
  SAME(s.word == "hello, world");
  SAME(s.word != "hello");
  SAME(s.word < "help");
  SAME("help" < s.word);
  SAME(s.word > s.view);
  SAME(s.view == s.word);
  SAME(s.view <= s.pointer_text);
  SAME(s.view == s.array);
  SAME(s.array == s.view);
  SAME(s.pointer_text == s.view);
  SAME(s.word == s.word);
  SAME(s.long_word == s.word);
  SAME(s.long_word > s.word);
  SAME(s.word.starts_with("hello"));
  SAME(s.word.starts_with(s.view));
  SAME(s.word.starts_with('h'));
  SAME(s.word.starts_with("world"));
  SAME(s.word.ends_with("world"));
  SAME(s.word.ends_with(""));
  SAME(s.view.ends_with("o"));
  SAME(s.word.size() == 12 && s.word.length() == 12);
  SAME(s.long_word.size());
  SAME(s.empty_word.empty());
  SAME(s.word.empty());
  SAME(s.empty_word == "");
  SAME(s.word[4]);
  SAME(s.long_word[2]);
  SAME(s.word.front());
  SAME(s.word.back());
  Say("s.word.contains(\"lo, w\")", true);
  Say("s.word.contains(\"low\")", false);
  Say("s.long_word.contains(\"library, at all\")", true);
  Say("s.long_word.contains(\"\")", true);
  Say("s.long_word.contains(s.view)", false);
  Say("s.array.starts_with(\"he\")", true);
  Say("s.array.contains('l')", true);
  Say("s.full == \"abcd\"", true);
  Say("s.full == \"abc\"", false);
  Say("s.full == s.view", false);
  Say("s.full < s.array", true);
  Say("s.pointer_text == \"hello\"", true);
  Say("s.pointer_text.starts_with(\"hell\")", true);
  Fail("s.no_text == \"x\"", "UNREADABLE");
  Fail("s.no_text < s.word", "UNREADABLE");
}

__attribute__((noinline)) void SayContainers(State& s) {
  SAME(s.numbers.size());
  SAME(s.numbers.at(4));
  SAME(s.none.empty());
  SAME(s.bits.size());
  SAME((bool)s.bits[1]);
  SAME((bool)s.bits[3]);
  SAME(s.queue.size());
  SAME(s.queue[0]);
  SAME(s.queue[299]);
  SAME(s.queue.empty());
  SAME(s.item_queue.size());
  SAME(s.item_queue[30].price);
  SAME(s.list.size());
  SAME(s.forward.empty());
  SAME(s.set.size());
  SAME(s.span.size());
  SAME(s.span[2]);
  SAME(s.bitset.size());
  SAME((bool)s.bitset[66]);
  SAME((bool)s.bitset[65]);
  SAME(s.fixed[1]);
  SAME(s.nested[0][1]);
  SAME(s.orders[17].price);
  SAME(s.orders[17].name);
  SAME(s.orders[2].price);
  SAME(s.orders.at(150).price);
  SAME(s.ages["ada"]);
  SAME(s.ages["grace"]);
  Say("any(s.names_set, x -> s.ages[x] == 85)", true);
  SAME(s.by_tier[Tier::kGold]);
  SAME(s.falling[2]);
  SAME(s.unsigned_keys[~0ul]);
  SAME(s.hashed[33]);
  SAME(s.by_name["nut"].price);
  SAME(s.orders.contains(17));
  SAME(s.orders.contains(18));
  SAME(s.ages.count("ada"));
  SAME(s.ages.contains("bob"));
  SAME(s.set.contains(4));
  SAME(s.set.contains(5));
  SAME(s.names_set.contains("ada"));
  SAME(s.multi.contains(1));
  SAME(s.hashed_set.contains(20));
  SAME(s.hashed_set.contains(30));
#ifdef __GLIBCXX__  // by the bucket: far more of them than can be looked at one by one
  SAME(s.crowded[-15000]);
  SAME(s.crowded[14997]);
  SAME(s.crowded[0]);
  SAME(s.crowded.contains(-14999));
  SAME(s.crowded.contains(-15000));
  SAME(s.far_apart.contains(~0ul));
  SAME(s.far_apart.contains(5ul));
  Fail("s.crowded[1]", "NOT_FOUND");
#endif
  SAME(s.odd["bb"]);
  SAME(s.some.has_value());
  SAME(*s.some + 1);
  SAME(s.some.value());
  SAME(s.item->price);
  SAME((*s.item).name);
  SAME(s.nothing.has_value());
  SAME(s.nothing ? 1 : 2);
  SAME(s.unique->price);
  SAME(*&s.shared->name);
  SAME(s.shared.get() == nullptr);
  SAME(s.no_unique == nullptr);
  SAME(s.shared.get()->price);
  SAME(std::holds_alternative<std::string>(s.variant));
  SAME(std::get<std::string>(s.variant));
  SAME(std::get<1>(s.tuple));
  SAME(s.variant.index());
  Say("s.variant.holds<std::string>()", true);
  Say("s.variant.holds<Item>()", false);
  Say("s.variant.holds<int>()", false);
  Fail("std::get<int>(s.variant)", "BAD_EXPRESSION");
  Fail("*s.nothing", "BAD_EXPRESSION");
  Fail("s.numbers[8]", "BAD_EXPRESSION");
  Fail("s.queue[300]", "BAD_EXPRESSION");
  Fail("s.bits[4]", "BAD_EXPRESSION");
  Fail("s.orders[18].price", "NOT_FOUND");
  Fail("s.ages[\"bob\"]", "NOT_FOUND");
  Fail("s.hashed[34]", "NOT_FOUND");
  Fail("s.odd[\"cc\"]", "UNSUPPORTED");
}

__attribute__((noinline)) void SayRanges(State& s) {
  Say("any(s.numbers, x -> x > 8)", true);
  Say("any(s.numbers, x -> x > 9)", false);
  Say("all(s.numbers, x -> x > 0)", true);
  Say("all(s.numbers, x -> x != 4)", false);
  Say("count(s.numbers, x -> x == 1)", Count(s.numbers, [](int x) { return x == 1; }));
  Say("any(s.none, x -> true)", false);
  Say("all(s.none, x -> false)", true);
  Say("any(s.items, item -> item.name == \"bolt\" && item.rare)", true);
  Say("count(s.items, item -> item.price > 5)", size_t{2});
  Say("all(s.items, x -> x.name.size() > 2)", true);
  Say("count(s.bits, b -> b)", size_t{3});
  Say("count(s.nested, v -> any(v, x -> x > 1))", size_t{2});
  Say("all(s.nested, v -> all(v, x -> count(s.numbers, y -> y == x) > 0))", true);
  Say("count(s.fixed, x -> x >= 20)", size_t{2});
  Say("any(s.queue, x -> x == 50)", true);
  Say("any(s.item_queue, x -> x.name == \"item 20\")", true);
  Say("count(s.list, x -> x.ends_with(\"a\"))", size_t{3});
  Say("any(s.list, x -> x == s.view)", false);
  Say("count(s.forward, x -> x > 7)", size_t{2});
  Say("all(s.set, x -> x % 2 == 0)", true);
  Say("count(s.ages, x -> x.second > 40)", size_t{2});
  Say("any(s.ages, x -> x.first == \"ada\" && x.second == 36)", true);
  Say("count(s.hashed, x -> x.second >= 200)", size_t{2});
  Say("count(s.span, x -> x > 1)", Count(s.span, [](int x) { return x > 1; }));
  Say("count(s.word, c -> c == 'l')", Count(s.word, [](char c) { return c == 'l'; }));
  Say("count(s.bitset, b -> b)", s.bitset.count());
  Say("any(s.multi, x -> x.second == 2)", true);
  Say("any(s.many, x -> x == 1)", true);   // decided before the limit
  Fail("any(s.many, x -> x == 2)", "LIMIT");
  Fail("all(s.many, x -> x == 1)", "LIMIT");
  Fail("count(s.many, x -> x == 1)", "LIMIT");
  Fail("any(s.items, x -> x.price / s.zero > 1)", "BAD_EXPRESSION");
  Say("any(s.orders, x -> x.first == 60)", true);
  Say("s.took.count()", s.took.count());
  Say("s.took.count() > 1000 && s.exact.count() < 1", true);
  Say("s.exact.count() * 2", s.exact.count() * 2);
}

__attribute__((noinline)) int Stand(State& s) {
  int kept = s.number;
  asm volatile("" : "+r"(kept) : "r"(&s) : "memory");
  kept += s.zero;  // mark-here
  asm volatile("" : "+r"(kept) : "r"(&s) : "memory");
  return kept;
}

}  // namespace shop

int main() {
  static shop::State state;
  for (int i = 0; i < 300; ++i) state.queue.push_back(i);
  for (int i = 0; i < 20; ++i) state.queue.pop_front(), state.queue.push_back(300 + i);
  for (int i = 0; i < 40; ++i) state.item_queue.push_back({i, "item " + std::to_string(i), false});
  for (int i = 2; i <= 200; ++i) {
    if (i != 18) state.orders[i] = {i * 10L, "order " + std::to_string(i), false};
  }
  state.item_pointer = &state.items[1];
  state.bitset.set(66).set(3);
  state.span = state.numbers;
  shop::SayScalars(state);
  shop::SayTexts(state);
  shop::SayContainers(state);
  shop::SayRanges(state);
  std::fflush(stdout);
  return shop::Stand(state) == 12345;
}
