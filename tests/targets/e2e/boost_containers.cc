// Containers of Boost in all their states, and what they hold as the program sees it.
#include "containers_truth.h"

#include <boost/array.hpp>
#include <boost/circular_buffer.hpp>
#include <boost/container/deque.hpp>
#include <boost/container/flat_map.hpp>
#include <boost/container/list.hpp>
#include <boost/container/map.hpp>
#include <boost/container/set.hpp>
#include <boost/container/slist.hpp>
#include <boost/container/static_vector.hpp>
#include <boost/container/string.hpp>
#include <boost/make_shared.hpp>
#include <boost/optional.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>
#include <boost/unordered_map.hpp>
#include <boost/unordered_set.hpp>
#include <boost/variant.hpp>
#include <boost/weak_ptr.hpp>

namespace shop {

using truth::Address;
using truth::Damaged;
using truth::Item;
using truth::Keep;
using truth::Name;
using truth::Word;
namespace bc = boost::container;

struct alignas(32) Wide {
  int id = 0;
};

__attribute__((noinline)) void Nodes() {
  bc::list<int> empty_list, one_list{1}, many_list, moved_list, taken_list{4, 5, 6};
  bc::list<std::string> text_list{"a", "a text that is long enough for the heap"};
  bc::list<char> byte_list{'a', 'b'};
  bc::list<Wide> wide_list(2);
  wide_list.back().id = 2;
  bc::slist<int> empty_chain, one_chain{1}, many_chain;
  bc::slist<std::string> text_chain{"x", "y"};
  bc::set<int> empty_tree, one_tree{1}, many_tree, erased_tree, moved_tree, taken_tree{1, 2, 3};
  bc::multiset<std::string> text_tree{"b", "a", "b"};
  bc::map<int, std::string> empty_pairs, many_pairs;
  bc::map<std::string, Item> text_pairs;
  bc::multimap<int, int> multi_pairs{{1, 2}, {1, 3}};
  for (int i = 0; i < 300; ++i) {
    many_list.push_back(i);
    many_chain.push_front(i);
    many_tree.insert(i * 37 % 300);
    erased_tree.insert(i);
    many_pairs.emplace(i * 53 % 300, Name(i));
  }
  for (int i = 0; i < 300; ++i) {
    if (i % 9 != 0) erased_tree.erase(i);
  }
  for (int i = 0; i < 20; ++i) text_pairs["key" + std::to_string(i)] = {i, Name(i)};
  moved_list = std::move(taken_list);
  moved_tree = std::move(taken_tree);
  Keep(empty_list, one_list, many_list, moved_list, taken_list, text_list, byte_list, wide_list,
       empty_chain, one_chain, many_chain, text_chain, empty_tree, one_tree, many_tree, erased_tree,
       moved_tree, taken_tree, text_tree, empty_pairs, many_pairs, text_pairs, multi_pairs);
  SHOW(empty_list);  // mark-nodes
  SHOW(one_list);
  SHOW(many_list);
  SHOW(moved_list);
  SHOW(taken_list);
  SHOW(text_list);
  std::printf("byte_list size=2\nbyte_list.[1] 98 'b'\nwide_list size=2\nwide_list.[1].id 2\n");
  SHOW(empty_chain);
  SHOW(one_chain);
  SHOW(many_chain);
  SHOW(text_chain);
  SHOW(empty_tree);
  SHOW(one_tree);
  SHOW(many_tree);
  SHOW(erased_tree);
  SHOW(moved_tree);
  SHOW(taken_tree);
  SHOW(text_tree);
  SHOW_MAP(empty_pairs);
  SHOW_MAP(many_pairs);
  SHOW_MAP(text_pairs);
  std::printf("multi_pairs size=2\nmulti_pairs.[1] 2\n\n");
}

__attribute__((noinline)) void Tables() {
  boost::unordered_map<int, std::string> empty_map, one_map{{1, "one"}}, many_map, erased_map,
      moved_map, taken_map{{1, "a"}, {2, "b"}}, cleared_map;
  boost::unordered_map<std::string, Item> text_map;
  boost::unordered_set<std::string> text_set{"red", "green", "blue"};
  boost::unordered_multiset<int> many_same{4, 4, 4, 5};
  boost::unordered_flat_map<int, std::string> empty_flat, one_flat{{1, "one"}}, many_flat,
      erased_flat, moved_flat, taken_flat{{1, "a"}, {2, "b"}};
  boost::unordered_flat_set<std::string> flat_set{"x", "y"};
  bc::flat_map<std::string, Item> sorted;
  for (int i = 0; i < 1000; ++i) {
    many_map.emplace(i, Name(i));
    erased_map.emplace(i, Name(i));
    cleared_map.emplace(i, Name(i));
    many_flat.emplace(i, Name(i));
    erased_flat.emplace(i, Name(i));
  }
  for (int i = 0; i < 1000; ++i) {
    if (i % 100 != 3) erased_map.erase(i), erased_flat.erase(i);
  }
  cleared_map.clear();
  cleared_map.emplace(11, "after");
  moved_map = std::move(taken_map);
  moved_flat = std::move(taken_flat);
  for (int i = 0; i < 20; ++i) text_map["key" + std::to_string(i)] = {i, Name(i)};
  for (int i = 0; i < 3; ++i) sorted["key" + std::to_string(i)] = {i, Name(i)};
  Keep(empty_map, one_map, many_map, erased_map, moved_map, taken_map, cleared_map, text_map,
       text_set, many_same, empty_flat, one_flat, many_flat, erased_flat, moved_flat, taken_flat,
       flat_set, sorted);
  SHOW_MAP(empty_map);  // mark-tables
  SHOW_MAP(one_map);
  SHOW_MAP(many_map);
  SHOW_MAP(erased_map);
  SHOW_MAP(moved_map);
  SHOW_MAP(taken_map);
  SHOW_MAP(cleared_map);
  SHOW_MAP(text_map);
  SHOW(text_set);
  SHOW(many_same);
  SHOW_MAP(empty_flat);
  SHOW_MAP(one_flat);
  SHOW_MAP(many_flat);
  SHOW_MAP(erased_flat);
  SHOW_MAP(moved_flat);
  SHOW_MAP(taken_flat);
  SHOW(flat_set);
  SHOW_MAP(sorted);
  std::printf("\n");
}

__attribute__((noinline)) void Rows() {
  bc::deque<int> empty_deque, one_deque{1}, many_deque, moved_deque, taken_deque{7, 8};
  bc::deque<std::string> text_deque{"a", "b"};
  bc::static_vector<int, 5> empty_static, one_static{1}, full_static{1, 2, 3, 4, 5};
  bc::static_vector<std::string, 3> text_static{"in", "place"};
  bc::string empty_text, short_text("short"), long_text("a text that is too long to be in place");
  bc::string moved_text, taken_text("another text that is too long to be in place");
  bc::wstring wide_text(L"wide");
  boost::array<int, 3> three{{1, 2, 3}};
  boost::circular_buffer<int> empty_ring, no_ring(3), some_ring(5), full_ring(4), wrapped_ring(4);
  boost::circular_buffer<std::string> text_ring(2);
  boost::optional<int> no_number, number(0);
  boost::optional<std::string> no_text, text(std::string("held"));
  boost::variant<int, std::string> first(5), second(std::string("second"));
  boost::shared_ptr<Item> shared = boost::make_shared<Item>(Item{6, "six"}), other = shared, no_shared;
  boost::weak_ptr<Item> weak = shared, expired = boost::make_shared<Item>();
  for (int i = 0; i < 700; ++i) many_deque.push_back(i);
  for (int i = 0; i < 100; ++i) many_deque.pop_front(), many_deque.push_front(-i), many_deque.pop_front();
  moved_deque = std::move(taken_deque);
  moved_text = std::move(taken_text);
  for (int i = 0; i < 2; ++i) some_ring.push_back(i);
  for (int i = 0; i < 4; ++i) full_ring.push_back(i);
  for (int i = 0; i < 7; ++i) wrapped_ring.push_back(i);
  for (int i = 0; i < 3; ++i) text_ring.push_back(Name(i));
  Keep(empty_deque, one_deque, many_deque, moved_deque, taken_deque, text_deque, empty_static,
       one_static, full_static, text_static, empty_text, short_text, long_text, moved_text,
       taken_text, wide_text, three, empty_ring, no_ring, some_ring, full_ring, wrapped_ring,
       text_ring, no_number, number, no_text, text, first, second, shared, other, no_shared, weak,
       expired);
  SHOW(empty_deque);  // mark-rows
  SHOW(one_deque);
  SHOW(many_deque);
  SHOW(moved_deque);
  SHOW(taken_deque);
  SHOW(text_deque);
  SHOW(empty_static);
  SHOW(one_static);
  SHOW(full_static);
  SHOW(text_static);
  std::printf("empty_text \"%s\"\nshort_text \"%s\"\nlong_text \"%s\"\nmoved_text \"%s\"\n",
              empty_text.c_str(), short_text.c_str(), long_text.c_str(), moved_text.c_str());
  std::printf("taken_text \"%s\"\nwide_text L\"wide\"\n", taken_text.c_str());
  SHOW(three);
  SHOW(empty_ring);
  SHOW(no_ring);
  SHOW(some_ring);
  SHOW(full_ring);
  SHOW(wrapped_ring);
  SHOW(text_ring);
  std::printf("no_number boost::none\nnumber 0\nno_text boost::none\ntext \"held\"\n");
  std::printf("first index=0\nfirst.[0] 5\nsecond index=1\nsecond.[1] \"second\"\n");
  std::printf("shared 0x* (use=2, weak=1)\nshared.id 6\nno_shared 0x0\n");
  std::printf("weak 0x* (use=2, weak=1)\nexpired 0x* (use=0, weak=1)\n");
}

__attribute__((noinline)) void Secrets() {
  bc::map<std::string, std::string> tree{{"password", "hunter2"}, {"user", "ann"}};
  bc::flat_map<std::string, std::string> sorted{{"password", "hunter2"}, {"user", "ann"}};
  boost::unordered_map<std::string, std::string> table{{"password", "hunter2"}, {"user", "ann"}};
  boost::unordered_flat_map<std::string, std::string> flat{{"password", "hunter2"}, {"user", "ann"}};
  bc::string in_place("4111111111111111"), on_heap("my card is 4111111111111111");
  bc::list<bc::string> cards{"4111111111111111"};
  Keep(tree, sorted, table, flat, in_place, on_heap, cards);
  asm volatile("nop" ::: "memory");  // mark-secrets
  Keep(tree, sorted, table, flat, in_place, on_heap, cards);
}

// What no container looks like.
__attribute__((noinline)) void Damage() {
  bc::list<int> ring{1, 2, 3}, overcounted_list{1};
  bc::set<int> uncounted_tree{1, 2, 3}, tree_ring{1, 2, 3};
  boost::unordered_map<int, int> overcounted{{1, 2}, {2, 3}}, wild_buckets{{1, 2}}, chain_ring{{1, 2}};
  boost::unordered_flat_map<int, int> too_full{{1, 2}};
  bc::static_vector<int, 3> overfull{1, 2, 3};
  boost::circular_buffer<int> outside(3);
  bc::deque<int> reversed{1, 2};
  boost::optional<int> flag(1);
  boost::variant<int, double> index(1.5);
  bc::string wild_text("a text that is too long to be in place");
  outside.push_back(1);
  // What a node's links are in front of.
  const auto* const list_node = &*ring.begin();
  const void* const tree_node = &Word(&*++tree_ring.begin(), 0) - 3;
  const void* const chain_node = &Word(&chain_ring.begin()->first, 0) - 1;
  const void* const first = &Word(list_node, 0) - 2;
  {
    const Damaged damaged[] = {
        {first, 0, Address(first)},
        {&overcounted_list, 0, 5},
        {&uncounted_tree, 0, 0},
        {tree_node, 2, Address(tree_node)},
        {&overcounted, 1, 5},
        {&wild_buckets, 6, 8},
        {&chain_ring, 1, 2},
        {chain_node, 0, Address(chain_node)},
        {&overfull, 2, 9},
        {&outside, 2, 8},
        {&reversed, 9, Word(&reversed, 5) - 8},
        {&index, 0, 77},
        {&flag, 0, 9},
        {&wild_text, 2, 8},
        {&too_full, 0, 1000},
    };
    Keep(ring, overcounted_list, uncounted_tree, tree_ring, overcounted, wild_buckets, chain_ring,
         too_full, overfull, outside, reversed, flag, index, wild_text);
    asm volatile("nop" ::: "memory");  // mark-damage
  }
  Keep(ring, overcounted_list, uncounted_tree, tree_ring, overcounted, wild_buckets, chain_ring,
       too_full, overfull, outside, reversed, flag, index, wild_text);
}

__attribute__((noinline)) void Garbage(truth::Noise& noise) {
  static truth::Garbage<bc::list<std::string>> list;
  static truth::Garbage<bc::map<int, std::string>> map;
  static truth::Garbage<bc::deque<int>> deque;
  static truth::Garbage<bc::string> text;
  static truth::Garbage<boost::unordered_map<int, std::string>> table;
  static truth::Garbage<boost::unordered_flat_map<int, int>> flat;
  static truth::Garbage<boost::circular_buffer<int>> ring;
  static truth::Garbage<boost::variant<int, std::string>> variant;
  static truth::Garbage<boost::weak_ptr<Item>> weak;
  noise.Stir();
  noise.Fill(list), noise.Fill(map), noise.Fill(deque), noise.Fill(text), noise.Fill(table);
  noise.Fill(flat), noise.Fill(ring), noise.Fill(variant), noise.Fill(weak);
  auto& a = list.object;
  auto& b = map.object;
  auto& c = deque.object;
  auto& d = text.object;
  auto& e = table.object;
  auto& f = flat.object;
  auto& g = ring.object;
  auto& h = variant.object;
  auto& i = weak.object;
  Keep(a, b, c, d, e, f, g, h, i);
  asm volatile("nop" ::: "memory");  // mark-garbage
}

}  // namespace shop

int main(int argc, char** argv) {
  shop::Nodes();
  shop::Tables();
  shop::Rows();
  shop::Secrets();
  shop::Damage();
  if (argc < 2) return 0;
  static truth::Noise noise(std::stoul(argv[1]));
  for (int i = 0; i < 30; ++i) shop::Garbage(noise);
}
