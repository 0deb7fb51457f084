// Library types of every kind, filled with values that the tests know. With libstdc++ or libc++.
#include <any>
#include <array>
#include <atomic>
#include <bitset>
#include <chrono>
#include <complex>
#include <coroutine>
#include <cstdio>
#include <deque>
#include <exception>
#include <filesystem>
#include <forward_list>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <queue>
#include <set>
#include <span>
#include <stack>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include <sys/syscall.h>
#include <unistd.h>

namespace shop {

struct Item {
  int id;
  std::string name;
};

int Twice(int value) { return value * 2; }

struct Tag {
  char letter;
  int Shift(int by) const { return letter + by; }
};

void Hold(const void* object) { asm volatile("" : : "r"(object) : "memory"); }

template <typename... T>
__attribute__((noinline)) void Keep(T&... objects) {
  (..., Hold(&objects));
}

__attribute__((noinline)) void Sequences() {
  std::vector<bool> bits;
  for (int i = 0; i < 75; ++i) bits.push_back(i % 3 == 0);
  std::vector<bool> no_bits;
  std::deque<int> queue;
  for (int i = 0; i < 300; ++i) queue.push_back(i);
  for (int i = 0; i < 130; ++i) queue.pop_front();
  for (int i = 0; i < 3; ++i) queue.push_front(-i);
  std::deque<Item> items{{1, "one"}, {2, "a name that is too long for the short form"}};
  std::deque<int> no_queue;
  std::forward_list<int> forward{3, 1, 4};
  std::forward_list<Item> no_forward;
  std::list<std::string> list{"alpha", "beta"};
  std::vector<Item> vector{{7, "seven"}, {8, "eight"}};
  std::array<short, 3> array{1, -2, 3};
  std::bitset<70> bitset;
  bitset.set(0).set(3).set(69);
  std::bitset<5> small_bitset(0b10110);
  const int numbers[4] = {10, 20, 30, 40};
  std::span<const int> span(numbers);
  std::span<const int, 4> fixed_span(numbers);
  std::initializer_list<double> initial{0.5, 1.5};
  std::queue<int> fifo;
  fifo.push(5);
  fifo.push(6);
  std::stack<int> lifo;
  lifo.push(9);
  std::priority_queue<int> heap;
  heap.push(2);
  heap.push(11);
  Keep(  // mark-sequences
      bits, no_bits, queue, items, no_queue, forward, no_forward, list, vector, array, bitset, small_bitset, numbers, span, fixed_span, initial, fifo, lifo, heap);
}

__attribute__((noinline)) void Associations() {
  std::map<int, std::string> map{{1, "one"}, {2, "two"}, {3, "three"}};
  std::multimap<std::string, int> multimap{{"a", 1}, {"a", 2}};
  std::set<char> set{'x', 'a'};
  std::set<int> ints{5, 1, 3, 2, 4, 9, 8, 7, 6};
  std::multiset<long> multiset{4, 4, 2};
  std::unordered_map<std::string, Item> unordered{{"k", {1, "first"}}};
  std::unordered_set<int> unordered_set{42};
  std::unordered_multimap<int, int> unordered_multi{{1, 2}};
  std::map<std::string, int> no_map;
  std::unordered_map<int, int> no_unordered;
  Keep(  // mark-associations
      map, multimap, set, ints, multiset, unordered, unordered_set, unordered_multi, no_map, no_unordered);
}

__attribute__((noinline)) void Words() {
  std::string brief = "short";
  std::string lengthy = "a text that is too long for the short form of any library";
  std::string nothing;
  std::wstring wide = L"w\u00e9";
  std::u16string utf16 = u"sixteen";
  std::u32string utf32 = U"thirty-two";
  std::u8string utf8 = u8"eight";
  std::string_view view = lengthy;
  view.remove_prefix(2);
  std::filesystem::path path = "/var/log/app.log";
  Keep(  // mark-words
      brief, lengthy, nothing, wide, utf16, utf32, utf8, view, path);
}

__attribute__((noinline)) void Wrappers() {
  std::any any_int = 42;
  std::any any_text = std::string("held by any, and long enough to be on the heap");
  std::any no_any;
  std::function<int(int)> pointer_function = Twice;
  int offset = 3;
  std::function<int(int)> closure_function = [offset](int x) { return x + offset; };
  std::function<int()> no_function;
  std::atomic<int> atomic_int{7};
  std::atomic<bool> atomic_flag{true};
  std::atomic<double> atomic_double{2.5};
  std::atomic<const char*> atomic_pointer{"text"};
  std::complex<double> complex{1.5, -2};
  std::reference_wrapper<int> reference = offset;
  std::optional<Item> item{{4, "four"}};
  std::optional<int> nothing;
  std::optional<std::optional<int>> empty_inside{std::optional<int>()};
  std::variant<int, std::string, double> variant = std::string("alternative");
  std::tuple<int, std::string, char> tuple{1, "two", '3'};
  std::tuple<> no_tuple;
  std::pair<int, double> pair{6, 0.25};
  std::unique_ptr<Item> unique = std::make_unique<Item>(Item{5, "five"});
  std::unique_ptr<int> no_unique;
  std::shared_ptr<Item> shared = std::make_shared<Item>(Item{6, "six"});
  std::shared_ptr<Item> second = shared;
  std::weak_ptr<Item> weak = shared;
  std::exception_ptr error = std::make_exception_ptr(std::out_of_range("far"));
  std::exception_ptr no_error;
  Keep(  // mark-wrappers
      any_int, any_text, no_any, pointer_function, closure_function, no_function, atomic_int, atomic_flag, atomic_double, atomic_pointer, complex, reference, item, nothing, empty_inside, variant, tuple, no_tuple, pair, unique, no_unique, shared, second, weak, error, no_error);
}

__attribute__((noinline)) void Times() {
  using namespace std::chrono;
  duration<double> seconds_double{1.5};
  milliseconds millis{250};
  milliseconds many_millis{1500};
  nanoseconds nanos{1234567890};
  hours hour{36};
  duration<int, std::ratio<1, 60>> ticks{42};
  microseconds negative{-1500};
  time_point<system_clock, milliseconds> when{milliseconds{1767323045678}};
  time_point<system_clock, nanoseconds> exact{nanoseconds{1767323045678901234}};
  time_point<steady_clock, nanoseconds> steady{nanoseconds{5'500'000'000}};
  Keep(  // mark-times
      seconds_double, millis, many_millis, nanos, hour, ticks, negative, when, exact, steady);
}

__attribute__((noinline)) void Locks() {
  std::mutex free_mutex;
  std::mutex mutex;
  std::recursive_mutex recursive;
  mutex.lock();
  recursive.lock();
  recursive.lock();
  std::thread::id self = std::this_thread::get_id();
  std::printf("tid %ld\n", syscall(SYS_gettid));
  Keep(  // mark-locks
      free_mutex, mutex, recursive, self);
  recursive.unlock();
  recursive.unlock();
  mutex.unlock();
}

__attribute__((noinline)) int Damage(int mode) {
  std::vector<int> vector{1, 2, 3};
  std::string text = "fine";
  std::map<int, int> map{{1, 1}, {2, 2}};
  std::deque<int> deque{1, 2};
  std::list<int> list{1, 2, 3};
  alignas(8) unsigned char saved[5][sizeof(std::deque<int>)];
  __builtin_memcpy(saved[0], &vector, sizeof vector);
  __builtin_memcpy(saved[1], &text, sizeof text);
  __builtin_memcpy(saved[2], &map, sizeof map);
  __builtin_memcpy(saved[3], &deque, sizeof deque);
  __builtin_memcpy(saved[4], &list, sizeof list);
  auto* words = reinterpret_cast<unsigned long*>(&vector);
  if (mode == 1) words[1] = words[0] - 4;               // end before begin
  if (mode == 2) words[1] = words[0] + (1UL << 40);     // more than is mapped
  if (mode == 3) __builtin_memset(static_cast<void*>(&deque), 0x5a, sizeof deque);
  if (mode == 3) __builtin_memset(static_cast<void*>(&text), 0x7e, sizeof text);
  unsigned char* map_bytes = reinterpret_cast<unsigned char*>(&map);
  if (mode == 4) *reinterpret_cast<long*>(map_bytes + sizeof map - 8) = 9;  // more than there are
  auto* links = reinterpret_cast<unsigned long*>(&list);
  if (mode == 4) links[2] = 90;  // the same: the ring goes round
  Keep(  // mark-damage
      vector, text, map, deque, list);
  __builtin_memcpy(static_cast<void*>(&vector), saved[0], sizeof vector);
  __builtin_memcpy(static_cast<void*>(&text), saved[1], sizeof text);
  __builtin_memcpy(static_cast<void*>(&map), saved[2], sizeof map);
  __builtin_memcpy(static_cast<void*>(&deque), saved[3], sizeof deque);
  __builtin_memcpy(static_cast<void*>(&list), saved[4], sizeof list);
  return static_cast<int>(vector.size() + text.size() + map.size() + deque.size());
}

}  // namespace shop

int main() {
  shop::Sequences();
  shop::Associations();
  shop::Words();
  shop::Wrappers();
  shop::Times();
  shop::Locks();
  int sum = 0;
  for (int mode = 0; mode < 5; ++mode) sum += shop::Damage(mode);
  std::printf("sum %d\n", sum);
  return 0;
}
