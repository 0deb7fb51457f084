// Library types full, empty and on the edge of what their layouts allow. Prints the truth as
// "name text" lines, as snapshots are to show it. With libstdc++ or libc++.
#include <any>
#include <array>
#include <atomic>
#include <bitset>
#include <chrono>
#include <complex>
#include <coroutine>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <filesystem>
#include <forward_list>
#include <functional>
#include <initializer_list>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <queue>
#include <set>
#include <shared_mutex>
#include <span>
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

#include "edges.h"

namespace shop {

__attribute__((noinline)) void Words() {
  const char raw[] = "a\0b";
  std::string brief_nul(raw, 3);
  std::string long_nul(40, 'x');
  long_nul[20] = '\0';
  std::string limit15(15, 'l');
  std::string limit16(16, 'm');
  std::string limit22(22, 'n');
  std::string limit23(23, 'o');
  std::string reserved;
  reserved.reserve(200);
  reserved = "short";
  std::string from("a text that is moved from, and long enough to be on the heap");
  std::string to = std::move(from);
  std::string quotes("say \"hi\"\\\n\t\x01\x7f");
  std::u16string sixteen(u"long enough for the heap: \u20ac");
  std::wstring wide_long(L"wide text on the heap: \u20ac");
  std::string_view no_view;
  std::string_view cut(to.data() + 2, 4);
  std::filesystem::path empty_path;
  std::filesystem::path relative("logs/../app.log");
  std::filesystem::path folder("/var/log/");
  std::filesystem::path joined = folder / "a much longer name than the short form has room for.txt";
  std::vector<std::string> nested{"", limit15, limit16, limit22, limit23};
  Keep(brief_nul, long_nul, limit15, limit16, limit22, limit23, reserved, from, to, quotes, sixteen,
       wide_long, no_view, cut, empty_path, relative, folder, joined, nested);
  std::puts("");  // mark-words
  Tell("brief_nul", "\"a\\000b\"");
  Tell("long_nul", '"' + std::string(20, 'x') + "\\000" + std::string(19, 'x') + '"');
  for (auto [name, text] : {std::pair("limit15", limit15), {"limit16", limit16},
                            {"limit22", limit22}, {"limit23", limit23}, {"reserved", reserved},
                            {"from", from}, {"to", to}}) {
    Tell(name, '"' + text + '"');
  }
  Tell("quotes", R"("say \"hi\"\\\n\t\001\177")");
  Tell("sixteen", "u\"long enough for the heap: \u20ac\"");
  Tell("wide_long", "L\"wide text on the heap: \u20ac\"");
  Tell("no_view", "\"\"");
  Tell("cut", '"' + std::string(cut) + '"');
  Tell("empty_path", "\"\"");
  Tell("relative", '"' + relative.native() + '"');
  Tell("folder", '"' + folder.native() + '"');
  Tell("joined", '"' + joined.native() + '"');
  Tell("nested", "size=5");
  for (int i = 0; i < 5; ++i) Tell(("nested.[" + std::to_string(i) + "]").c_str(), '"' + nested[i] + '"');
}

__attribute__((noinline)) void Sequences() {
  std::vector<bool> bits0, bits1{true}, bits64(64, true), bits65(65, true);
  bits65[3] = false;
  std::vector<int> moved_from{1, 2, 3};
  std::vector<int> moved_to = std::move(moved_from);
  std::vector<int> cleared{1, 2};
  cleared.clear();
  std::vector<Empty> empties(3);
  std::deque<int> popped;
  for (int i = 0; i < 5000; ++i) popped.push_back(i);
  for (int i = 0; i < 4000; ++i) popped.pop_front();
  std::deque<std::array<char, 600>> huge(3);
  for (int i = 0; i < 3; ++i) huge[i][0] = static_cast<char>('p' + i);
  std::deque<int> dried{1, 2, 3};
  dried.clear();
  std::deque<int> moved_deque{1};
  std::deque<int> deque_to = std::move(moved_deque);
  std::list<int> spliced{1, 2};
  std::list<int> splice_to{0};
  splice_to.splice(splice_to.end(), spliced);
  std::forward_list<std::string> chain{"x", "y"};
  std::array<int, 0> array0;
  std::array<std::array<int, 2>, 2> grid{{{1, 2}, {3, 4}}};
  std::bitset<0> set0;
  std::bitset<1> set1(1);
  std::bitset<64> set64(0x8000000000000001ull);
  std::bitset<65> set65;
  set65.set(64).set(0);
  std::vector<std::vector<std::vector<int>>> deep{{{1}, {2, 3}}, {}};
  std::span<int> no_span;
  std::span<int, 3> fixed(moved_to);
  std::span<const std::string> texts;
  std::initializer_list<std::string> initial{"in", "it"};
  std::initializer_list<int> no_initial;
  std::priority_queue<int, std::vector<int>, std::greater<int>> least;
  least.push(4);
  least.push(1);
  std::queue<int> no_queue;
  Keep(bits0, bits1, bits64, bits65, moved_from, moved_to, cleared, empties, popped, huge, dried,
       moved_deque, deque_to, spliced, splice_to, chain, array0, grid, set0, set1, set64, set65, deep,
       no_span, fixed, texts, initial, no_initial, least, no_queue);
  std::puts("");  // mark-sequences
  Tell("bits0", "size=0");
  Tell("bits1", "size=1");
  Tell("bits1.[0]", "true");
  Tell("bits64", "size=64");
  Tell("bits64.[63]", "true");
  Tell("bits65", "size=65");
  Tell("bits65.[3]", "false");
  Tell("bits65.[64]", "true");
  Tell("moved_from", "size=0");
  Tell("moved_to.[2]", "3");
  Tell("cleared", "size=0");
  Tell("empties", "size=3");
  Tell("popped", "size=1000");
  Tell("popped.[0]", "4000");
  Tell("popped.[99]", "4099");
  Tell("huge", "size=3");
  Tell("huge.[2]", "size=600");
  Tell("huge.[2].[0]", "114 'r'");
  Tell("dried", "size=0");
  Tell("moved_deque", "size=0");
  Tell("deque_to.[0]", "1");
  Tell("spliced", "size=0");
  Tell("splice_to", "size=3");
  Tell("splice_to.[2]", "2");
  Tell("chain", "size=2");
  Tell("chain.[1]", "\"y\"");
  Tell("array0", "size=0");
  Tell("grid.[1].[0]", "3");
  Tell("set0", "0b");
  Tell("set1", "0b1");
  Tell("set64", "0b" + set64.to_string());
  Tell("set65", "0b" + set65.to_string());
  Tell("deep", "size=2");
  Tell("deep.[0].[1].[1]", "3");
  Tell("deep.[1]", "size=0");
  Tell("no_span", "size=0");
  Tell("fixed", "size=3");
  Tell("fixed.[2]", "3");
  Tell("texts", "size=0");
  Tell("initial.[1]", "\"it\"");
  Tell("no_initial", "size=0");
  Tell("least", "size=2");
  Tell("least.[0]", "1");
  Tell("no_queue", "size=0");
}

__attribute__((noinline)) void Associations() {
  std::map<std::string, std::map<int, std::string>> nested{{"a", {{1, "one"}, {2, "two"}}}, {"b", {}}};
  std::map<int, int> moved_from{{1, 2}};
  std::map<int, int> moved_to = std::move(moved_from);
  std::map<Point, int, bool (*)(const Point&, const Point&)> points(
      [](const Point& a, const Point& b) { return a.x < b.x; });
  points[{1, 2}] = 3;
  std::set<std::string> erased{"x", "y", "z"};
  erased.erase("y");
  std::multimap<std::string, int> many{{"k", 1}, {"k", 2}};
  std::unordered_map<std::string, int, ByLength> hashed{{"four", 4}};
  std::unordered_map<int, std::vector<int>> lists{{7, {1, 2}}};
  std::unordered_set<std::string> moved_set{"gone"};
  std::unordered_set<std::string> set_to = std::move(moved_set);
  std::unordered_multimap<int, int> twice{{1, 10}, {1, 10}};
  std::set<int> thousand;
  for (int i = 0; i < 1000; ++i) thousand.insert(i);
  Keep(nested, moved_from, moved_to, points, erased, many, hashed, lists, moved_set, set_to, twice,
       thousand);
  std::puts("");  // mark-associations
  Tell("nested", "size=2");
  Tell("nested.[\"a\"].[2]", "\"two\"");
  Tell("nested.[\"b\"]", "size=0");
  Tell("moved_from", "size=0");
  Tell("moved_to.[1]", "2");
  Tell("points.[0].second", "3");
  Tell("points.[0].first.y", "2");
  Tell("erased", "size=2");
  Tell("erased.[1]", "\"z\"");
  Tell("many", "size=2");
  Tell("hashed.[\"four\"]", "4");
  Tell("lists.[7].[1]", "2");
  Tell("moved_set", "size=0");
  Tell("set_to.[0]", "\"gone\"");
  Tell("twice", "size=2");
  Tell("twice.[1]", "10");
  Tell("thousand", "size=1000");
  Tell("thousand.[9]", "9");
}

Task Work() { co_return; }

__attribute__((noinline)) void Wrappers() {
  std::variant<int, std::string, Throws> valueless(1);
  try {
    const Throws thrower;
    valueless.emplace<2>(thrower);
  } catch (const std::runtime_error&) {
  }
  std::variant<std::monostate, int> mono;
  std::variant<int, int> second(std::in_place_index<1>, 8);
  std::any no_any, any_int(42), any_point(Point{1, 2}), any_double(2.5);
  std::any any_text(std::string("text that is held by any, on the heap"));
  std::any any_vector(std::vector<int>{1, 2});
  std::any any_pointer(static_cast<const char*>("chars"));
  std::any any_moved(std::string("moved"));
  std::any any_to = std::move(any_moved);
  auto shared = std::make_shared<Point>(Point{3, 4});
  std::weak_ptr<Point> expired;
  {
    auto gone = std::make_shared<Point>(Point{5, 6});
    expired = gone;
  }
  std::weak_ptr<Point> weak = shared, no_weak;
  std::shared_ptr<int> alias(shared, &shared->y);
  std::shared_ptr<Point> separate(new Point{7, 8});
  std::shared_ptr<int[]> shared_array(new int[3]{1, 2, 3});
  std::shared_ptr<void> shared_void = shared;
  std::shared_ptr<Shape> shape = std::make_shared<Square>();
  std::shared_ptr<Point> no_shared;
  std::unique_ptr<int[]> unique_array(new int[2]{9, 10});
  std::unique_ptr<Point, Closer> closing(new Point{11, 12}, Closer{5});
  std::unique_ptr<Shape> unique_shape(new Square);
  std::unique_ptr<std::string> moved_unique(new std::string("unique"));
  std::unique_ptr<std::string> unique_to = std::move(moved_unique);
  std::optional<bool> maybe_false(false), maybe_none;
  std::optional<std::optional<int>> inner(std::optional<int>{});
  std::optional<Point> maybe_point(Point{1, 2});
  std::optional<std::vector<std::string>> maybe_list({"a", "b"});
  std::tuple<> tuple0;
  std::tuple<Empty, int, Empty> with_empty(Empty{}, 6, Empty{});
  std::tuple<int, std::tuple<std::string, std::pair<int, int>>> nested(1, {"in", {2, 3}});
  int number = 3;
  std::tuple<int&, const std::string&> tied(number, *unique_to);
  std::pair<Empty, int> half({}, 4);
  std::reference_wrapper<int> reference(number);
  std::function<int(int)> no_function, pointer = Twice, lambda = [](int x) { return x; };
  std::array<long, 8> big{1};
  std::function<int(int)> large = [big, number](int x) { return x + number + int(big[0]); };
  std::function<int(const Shape&, int)> member = &Shape::Area;
  std::atomic<Point> atomic_point(Point{1, 2});
  std::atomic<bool> atomic_true(true);
  std::atomic<Point*> atomic_pointer(shared.get());
  std::atomic_flag flag_set, flag_clear;
  flag_set.test_and_set();
  std::complex<float> single(1, -2);
  std::complex<double> zero;
  std::complex<long double> extended(0.5L, 0.25L);
  std::exception_ptr no_error, error = std::make_exception_ptr(std::out_of_range("range"));
  std::coroutine_handle<> no_handle;
  Task task = Work();
  std::coroutine_handle<> erased = task.handle;
  std::thread::id no_thread, self = std::this_thread::get_id();
  Keep(valueless, mono, second, no_any, any_int, any_point, any_double, any_text, any_vector,
       any_pointer, any_moved, any_to, shared, expired, weak, no_weak, alias, separate, shared_array,
       shared_void, shape, no_shared, unique_array, closing, unique_shape, moved_unique, unique_to,
       maybe_false, maybe_none, inner, maybe_point, maybe_list, tuple0, with_empty, nested, tied, half,
       reference, no_function, pointer, lambda, large, member, atomic_point, atomic_true,
       atomic_pointer, flag_set, flag_clear, single, zero, extended, no_error, error, no_handle, task, erased, no_thread,
       self, number);
  std::puts("");  // mark-wrappers
  Tell("valueless", "valueless");
  Tell("mono", "index=0");
  Tell("second", "index=1");
  Tell("second.[1]", "8");
  Tell("no_any", "no value");
  Tell("any_int.value", "42");
  Tell("any_point.value.y", "2");
  Tell("any_double.value", "2.5");
  Tell("any_text.value", "\"text that is held by any, on the heap\"");
  Tell("any_vector.value.[1]", "2");
  Tell("any_pointer.value", "* \"chars\"");  // with a symbol in between
  Tell("any_moved", "no value");
  Tell("any_to.value", "\"moved\"");
  Tell("shared", "* (use=" + std::to_string(shared.use_count()) + ", weak=1)");
  Tell("shared.y", "4");
  Tell("expired", "* (use=0, weak=1)");
  Tell("weak.x", "3");
  Tell("no_weak", "0x0");
  Tell("alias", "* (use=" + std::to_string(alias.use_count()) + ", weak=1)");
  Tell("separate", "* (use=1, weak=0)");
  Tell("separate.y", "8");
  Tell("shape.edge", "3");
  Tell("no_shared", "0x0");
  Tell("closing.y", "12");
  Tell("unique_shape.edge", "3");
  Tell("moved_unique", "0x0");
  Tell("maybe_false", "false");
  Tell("maybe_none", "std::nullopt");
  Tell("inner", "holds std::optional");
  Tell("inner.value", "std::nullopt");
  Tell("maybe_point.y", "2");
  Tell("maybe_list.[1]", "\"b\"");
  Tell("with_empty.[1]", "6");
  Tell("nested.[1].[1].second", "3");
  Tell("tied.[0]", "3");
  Tell("tied.[1]", "\"unique\"");
  Tell("half.second", "4");
  Tell("reference.*reference", 3);
  Tell("no_function", "empty");
  Tell("pointer", "* <shop::Twice(int)>");
  Tell("lambda", "shop::Wrappers()::*");
  Tell("large", "shop::Wrappers()::*");
  Tell("member", "* <shop::Shape::Area(int) const>");
  Tell("atomic_point.y", "2");
  Tell("atomic_true", "true");
  Tell("atomic_pointer.x", "3");
  Tell("flag_set", "true");
  Tell("flag_clear", "false");
  Tell("single", "1 + -2i");
  Tell("zero", "0 + 0i");
  Tell("extended", "0.5 + 0.25i");
  Tell("no_error", "0x0");
  Tell("error", "* (std::out_of_range)");
  Tell("no_handle", "0x0");
  Tell("task.handle", "* <shop::Work()>");
  Tell("erased", "* <shop::Work()>");
  task.handle.destroy();
}

__attribute__((noinline)) void Times() {
  using namespace std::chrono;
  nanoseconds ns(-1);
  microseconds us(1500);
  milliseconds ms(61'001);
  seconds s(90);
  minutes min(90);
  hours h(25);
  days d(3);
  weeks w(2);
  months mo(5);
  years y(7);
  duration<double, std::milli> fractional(2.5);
  duration<int, std::ratio<1, 30>> frames(45);
  duration<long, std::ratio<1, 1'000'000'000'000>> picos(5);
  nanoseconds largest = nanoseconds::max(), none(0);
  time_point<system_clock, seconds> epoch{};
  time_point<system_clock, days> date = sys_days{year(2024) / 2 / 29};
  time_point<system_clock, nanoseconds> before{nanoseconds(-1)};
  time_point<system_clock, milliseconds> far{milliseconds(253402300799999)};
  time_point<steady_clock, nanoseconds> steady{nanoseconds(12'345'678'900)};
  Keep(ns, us, ms, s, min, h, d, w, mo, y, fractional, frames, picos, largest, none, epoch, date,
       before, far, steady);
  std::puts("");  // mark-times
  Tell("ns.count", -1);
  Tell("us.count", 1500);
  Tell("ms.count", 61'001);
  Tell("s.count", 90);
  Tell("min.count", 90);
  Tell("h.count", 25);
  Tell("d.count", 3);
  Tell("w.count", 2);
  Tell("mo.count", 5);
  Tell("y.count", 7);
  Tell("min", "90min");
  Tell("h", "25h");
  Tell("d", "3d");
  Tell("w", "2w");
  Tell("mo", "5mo");
  Tell("y", "7y");
  Tell("fractional", "2.5ms");
  Tell("frames", "45[1/30]s");
  Tell("picos.count", 5);
  Tell("largest.count", largest.count());
  Tell("none.count", 0);
  Tell("epoch", "1970-01-01T00:00:00Z");
  Tell("date", "2024-02-29T00:00:00Z");
  Tell("before", "1969-12-31T23:59:59.999999999Z");
  Tell("far", "9999-12-31T23:59:59.999Z");
  Tell("steady", "12.3456789s");
}

__attribute__((noinline)) void Locks() {
  std::mutex mutex;
  std::timed_mutex timed;
  std::recursive_mutex recursive;
  std::recursive_timed_mutex recursive_timed;
  std::shared_mutex free_shared, read_shared, write_shared;
  std::shared_timed_mutex timed_shared;
  mutex.lock();
  timed.lock();
  recursive.lock();
  recursive.lock();
  recursive_timed.lock();
  read_shared.lock_shared();
  write_shared.lock();
  timed_shared.lock();
  std::unique_lock<std::recursive_mutex> lock(recursive), unlocked(recursive, std::defer_lock);
  std::lock_guard<std::recursive_mutex> guard(recursive);
  Keep(mutex, timed, recursive, recursive_timed, free_shared, read_shared, write_shared, timed_shared,
       lock, unlocked, guard);
  std::puts("");  // mark-locks
  const std::string owner = std::to_string(syscall(SYS_gettid));
#ifndef _LIBCPP_VERSION
  Tell("timed", "locked by thread " + owner);
  Tell("recursive_timed", "locked by thread " + owner + ", 1 times");
#else
  // Their own fields say no more.
  char self[32];
  std::snprintf(self, sizeof self, "0x%lx", pthread_self());
  Tell("timed", "locked");
  Tell("recursive_timed", "locked by pthread_t " + std::string(self) + ", 1 times");
#endif
  Tell("mutex", "locked by thread " + owner);
  Tell("recursive", "locked by thread " + owner + ", 4 times");
  Tell("free_shared", "unlocked");
  Tell("read_shared", "locked shared by 1");
#ifndef _LIBCPP_VERSION
  Tell("write_shared", "locked by thread " + owner);
  Tell("timed_shared", "locked by thread " + owner);
#else
  Tell("write_shared", "locked");
  Tell("timed_shared", "locked");
#endif
  mutex.unlock();
  timed.unlock();
  recursive_timed.unlock();
  recursive.unlock();
  recursive.unlock();
  read_shared.unlock_shared();
  write_shared.unlock();
  timed_shared.unlock();
}

// What a stray write leaves behind. Nothing here is destroyed.
__attribute__((noinline)) void Damage() {
  auto& reversed = *new std::vector<int>{1, 2, 3};
  auto& endless = *new std::vector<int>{1, 2, 3};
  auto& uneven = *new std::vector<int>{1, 2, 3};
  auto& ring = *new std::list<int>{1, 2, 3};
  auto& chain_ring = *new std::forward_list<int>{1, 2, 3};
  auto& hash_ring = *new std::unordered_set<int>{1};
  auto& overcounted = *new std::map<int, int>{{1, 2}};
  auto& wild_span = *new std::span<int>;
  auto& wild_bits = *new std::vector<bool>(5);
  auto& flag = *new std::optional<int>(5);
  auto& index = *new std::variant<int, char>(5);
  Put(&reversed, 8, reversed.data() - 1);
  Put(&endless, 8, reinterpret_cast<char*>(endless.data()) + (1L << 40));
  Put(&uneven, 8, reinterpret_cast<char*>(uneven.data()) + 7);
  char* const node = reinterpret_cast<char*>(&ring.front()) - 16;
  Put(node, kListNext, node);
  Put(&ring, 16, size_t{100'000});
  char* const link = reinterpret_cast<char*>(&chain_ring.front()) - 8;
  Put(link, 0, link);
  char* const bucket = reinterpret_cast<char*>(const_cast<int*>(&*hash_ring.begin())) - kHashHeader;
  Put(bucket, 0, bucket);
  Put(&hash_ring, 24, size_t{100'000});
  Put(&overcounted, kTreeCount, size_t{5});
  Put(&wild_span, 0, size_t{8});
  Put(&wild_span, 8, size_t{1000});
  Put(&wild_bits, 0, size_t{8});
  Put(&flag, 4, char{9});
  Put(&index, 4, 77);
  Keep(reversed, endless, uneven, ring, chain_ring, hash_ring, overcounted, wild_span, wild_bits, flag,
       index);
  std::puts("");  // mark-damage
}

}  // namespace shop

int main() {
  shop::Words();
  shop::Sequences();
  shop::Associations();
  shop::Wrappers();
  shop::Times();
  shop::Locks();
  shop::Damage();
}
