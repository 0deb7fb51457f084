// Iterators of every container at every position, forwards and backwards. Prints what each one shows:
// "step name text" a line. With libstdc++ or libc++.
#include <cstdio>
#include <deque>
#include <forward_list>
#include <iterator>
#include <list>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace shop {

struct Big {
  int id;
  char padding[300];
};

void Hold(const void* object) { asm volatile("" : : "r"(object) : "memory"); }

template <typename... T>
__attribute__((noinline)) void Keep(T&... objects) {
  (..., Hold(&objects));
}

__attribute__((noinline)) void Mark(int& step) { Hold(&step); }

std::string Text(int value) { return std::to_string(value); }
std::string Text(bool value) { return value ? "true" : "false"; }
std::string Text(char value) { return std::to_string(value) + " '" + value + "'"; }
std::string Text(const std::string& value) { return '"' + value + '"'; }
std::string Text(const Big& value) { return Text(value.id); }
template <typename K, typename V>
std::string Text(const std::pair<K, V>& value) {
  return Text(value.first) + "," + Text(value.second);
}

template <typename It>
void Tell(int step, const char* name, It at, It end, const char* past) {
  std::printf("%d %s %s\n", step, name, at == end ? past : Text(*at).c_str());
}
template <typename It>
void Tell(int step, const char* name, It at, It end) {
  Tell(step, name, at, end, "end()");
}

// `step` elements further, at most at the end.
template <typename It>
It Ahead(It at, It end, int step) {
  while (step-- > 0 && at != end) ++at;
  return at;
}

#define FORWARD(container) Ahead(container.begin(), container.end(), step)
#define CONSTANT(container) Ahead(container.cbegin(), container.cend(), step)
#define BACKWARD(container) Ahead(container.rbegin(), container.rend(), step)
#define TELL(name, container) Tell(step, #name, name, decltype(name)(container.end()))
#define TELL_BACK(name, container) Tell(step, #name, name, container.rend(), "rend()")

constexpr int kElements = 9;
constexpr const char* kWords[] = {"zero", "one",
                                  "two, which is too long for the short form of any library"};
std::string Word(int i) { return kWords[i % 3] + std::string(i / 3, '+'); }

__attribute__((noinline)) void Arrays(int step) {
  std::vector<int> numbers;
  std::vector<std::string> words;
  std::vector<bool> bits;
  std::string text;
  std::vector<int> reserved;
  reserved.reserve(100);
  for (int i = 0; i < kElements; ++i) {
    numbers.push_back(i * 11);
    words.push_back(Word(i));
    text += static_cast<char>('a' + i);
    if (i < 3) reserved.push_back(i);
  }
  for (int i = 0; i < 64 + kElements; ++i) bits.push_back(i % 3 == 1);
  int row[] = {3, 6, 9, 12, 15};
  std::span<int> view(row + 1, 3);
  std::vector<int> none;

  auto number = FORWARD(numbers);
  auto constant = CONSTANT(numbers);
  auto back = BACKWARD(numbers);
  auto word = FORWARD(words);
  auto word_back = BACKWARD(words);
  auto bit = Ahead(bits.begin(), bits.end(), step + 60);
  auto bit_back = Ahead(bits.rbegin(), bits.rend(), step + 5);
  auto bit_end = Ahead(bits.begin(), bits.end(), step + 64);
  auto letter = FORWARD(text);
  auto letter_back = BACKWARD(text);
  auto cut = FORWARD(reserved);
  auto viewed = FORWARD(view);
  auto moved = std::make_move_iterator(word);
  auto nothing = none.begin();
  std::vector<int>::iterator unset{};
  Keep(number, constant, back, word, word_back, bit, bit_back, bit_end, letter, letter_back, cut,
       viewed, moved, nothing, unset, numbers, words, bits, text, reserved, view, none);
  Mark(step);  // mark-arrays
  TELL(number, numbers);
  TELL(constant, numbers);
  TELL_BACK(back, numbers);
  TELL(word, words);
  TELL_BACK(word_back, words);
  TELL(bit, bits);
  TELL_BACK(bit_back, bits);
  TELL(bit_end, bits);
  TELL(letter, text);
  TELL_BACK(letter_back, text);
  TELL(cut, reserved);
  TELL(viewed, view);
  std::printf("%d moved %s\n", step, word == words.end() ? "end()" : Text(*word).c_str());
  std::printf("%d nothing no element\n%d unset no element\n", step, step);
}

__attribute__((noinline)) void Nodes(int step) {
  std::deque<int> queue;
  std::deque<Big> bigs;
  std::list<std::string> list;
  std::forward_list<int> chain;
  std::map<int, std::string> map;
  std::multimap<std::string, int> multi;
  std::set<std::string> set;
  std::map<int, int> no_map;
  std::set<int> one{7};
  std::list<int> no_list;
  for (int i = 0; i < 127; ++i) queue.push_front(-1);
  for (int i = 0; i < kElements; ++i) {
    queue.push_back(i * 7);
    bigs.push_front({i, {}});
    list.push_back(Word(i));
    chain.push_front(i);
    map.emplace(i * i % 11 * 100 + i, Word(i));
    multi.emplace(Word(i / 2), i);
    set.insert(Word(i));
  }

  auto queued = Ahead(queue.begin(), queue.end(), 127 + step);
  auto queued_back = Ahead(queue.rbegin(), queue.rend(), 127 + step);
  auto queued_front = Ahead(queue.crbegin(), queue.crend(), step);
  auto big = FORWARD(bigs);
  auto big_back = BACKWARD(bigs);
  auto listed = FORWARD(list);
  auto listed_constant = CONSTANT(list);
  auto listed_back = BACKWARD(list);
  auto chained = FORWARD(chain);
  auto chained_constant = CONSTANT(chain);
  auto before = chain.before_begin();
  auto mapped = FORWARD(map);
  auto mapped_constant = CONSTANT(map);
  auto mapped_back = BACKWARD(map);
  auto many = FORWARD(multi);
  auto many_back = Ahead(multi.crbegin(), multi.crend(), step);
  auto key = FORWARD(set);
  auto key_back = BACKWARD(set);
  auto unmapped = no_map.begin();
  auto unmapped_back = no_map.rbegin();
  auto single = FORWARD(one);
  auto single_back = BACKWARD(one);
  auto unlisted = no_list.begin();
  Keep(queued, queued_back, queued_front, big, big_back, listed, listed_constant, listed_back,
       chained, chained_constant, before, mapped, mapped_constant, mapped_back, many, many_back, key,
       key_back, unmapped, unmapped_back, single, single_back, unlisted, queue, bigs, list, chain,
       map, multi, set, no_map, one, no_list);
  Mark(step);  // mark-nodes
  TELL(queued, queue);
  TELL_BACK(queued_back, queue);
  Tell(step, "queued_front", queued_front, queue.crend(), "rend()");
  TELL(big, bigs);
  TELL_BACK(big_back, bigs);
  TELL(listed, list);
  TELL(listed_constant, list);
  TELL_BACK(listed_back, list);
  TELL(chained, chain);
  TELL(chained_constant, chain);
  std::printf("%d before before_begin()\n", step);
  TELL(mapped, map);
  TELL(mapped_constant, map);
  TELL_BACK(mapped_back, map);
  TELL(many, multi);
  Tell(step, "many_back", many_back, multi.crend(), "rend()");
  TELL(key, set);
  TELL_BACK(key_back, set);
  std::printf("%d unmapped end()\n%d unmapped_back rend()\n", step, step);
  TELL(single, one);
  TELL_BACK(single_back, one);
  std::printf("%d unlisted end()\n", step);
}

__attribute__((noinline)) void Hashes(int step) {
  std::unordered_map<std::string, int> map;
  std::unordered_multimap<int, std::string> multi;
  std::unordered_set<int> set;
  for (int i = 0; i < kElements; ++i) {
    map.emplace(Word(i), i);
    multi.emplace(i / 2, Word(i));
    set.insert(i * 13);
  }
  auto hash_mapped = FORWARD(map);
  auto hash_mapped_constant = CONSTANT(map);
  auto hash_many = FORWARD(multi);
  auto hash_key = FORWARD(set);
  auto hash_key_constant = CONSTANT(set);
  const auto bucket = set.bucket(13);
  auto local = set.begin(bucket);
  auto found = map.find("absent");
  Keep(hash_mapped, hash_mapped_constant, hash_many, hash_key, hash_key_constant, local, found, map,
       multi, set);
  Mark(step);  // mark-hashes
  TELL(hash_mapped, map);
  TELL(hash_mapped_constant, map);
  TELL(hash_many, multi);
  TELL(hash_key, set);
  TELL(hash_key_constant, set);
  Tell(step, "local", local, set.end(bucket));
  std::printf("%d found end()\n", step);
}

// Nothing in sight says where the containers end.
template <typename It, typename ListIt, typename MapIt, typename HashIt>
__attribute__((noinline)) void Alone(It first, It last, ListIt listed, MapIt mapped, MapIt map_end,
                                     HashIt hashed) {
  int step = 0;
  Keep(first, last, listed, mapped, map_end, hashed);
  Mark(step);  // mark-alone
  std::printf("alone first %s\n", Text(*first).c_str());
  std::printf("alone listed %s\n", Text(*listed).c_str());
  std::printf("alone mapped %s\n", Text(*mapped).c_str());
  std::printf("alone hashed %s\n", Text(*hashed).c_str());
}

// What iterators must not be believed: freed nodes, other memory.
__attribute__((noinline)) void Damaged() {
  std::map<int, int> map{{1, 10}, {2, 20}};
  std::list<int> list{1, 2};
  std::deque<int> queue{1, 2};
  std::vector<int> vector{1, 2};
  auto mapped = map.begin();
  auto listed = list.begin();
  auto queued = queue.begin();
  auto at = vector.begin();
  auto reversed = map.rbegin();
  static long nowhere[16] = {1, 8, 16, 24};
  long* const wild = reinterpret_cast<long*>(0x10);
  long* const words = nowhere;
  __builtin_memcpy(static_cast<void*>(&mapped), &words, sizeof words);
  __builtin_memcpy(static_cast<void*>(&reversed), &wild, sizeof wild);
  __builtin_memcpy(static_cast<void*>(&listed), &wild, sizeof wild);
  __builtin_memcpy(static_cast<void*>(&queued), &words, sizeof words);
  __builtin_memcpy(static_cast<void*>(&at), &wild, sizeof wild);
  Keep(mapped, listed, queued, at, reversed, map, list, queue, vector);
  std::puts("damaged");  // mark-damaged
}

}  // namespace shop

int main() {
  for (int step = 0; step <= shop::kElements; ++step) {
    shop::Arrays(step);
    shop::Nodes(step);
    shop::Hashes(step);
  }
  std::vector<int> numbers{5, 6, 7};
  std::list<std::string> list{"alpha", "beta"};
  std::map<int, std::string> map{{1, "one"}, {2, "two"}};
  std::unordered_map<int, int> hash{{3, 30}};
  shop::Alone(numbers.begin(), numbers.end(), list.begin(), map.find(2), map.end(), hash.begin());
  shop::Damaged();
}
