// Containers of Abseil in all their states, and what they hold as the program sees it.
#include "containers_truth.h"

#include <absl/container/fixed_array.h>
#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/container/inlined_vector.h>
#include <absl/container/node_hash_map.h>
#include <absl/container/node_hash_set.h>
#include <absl/strings/string_view.h>
#include <absl/types/optional.h>
#include <absl/types/span.h>
#include <absl/types/variant.h>

namespace shop {

using truth::Damaged;
using truth::Item;
using truth::Keep;
using truth::Name;
using truth::Word;

struct Big {
  int id = 0;
  int room[50] = {};
};

__attribute__((noinline)) void Tables() {
  absl::flat_hash_map<int, std::string> empty_map, one_map{{1, "one"}}, many_map, erased_map, moved_map,
      taken_map, cleared_map, reserved_map;
  absl::flat_hash_map<std::string, Item> text_map;
  absl::flat_hash_set<int> empty_set, one_set{7}, many_set, rehashed_set;
  absl::flat_hash_set<std::string> text_set{"x", "a text that is long enough for the heap"};
  absl::node_hash_map<int, Item> empty_nodes, one_node{{5, {5, "five"}}}, many_nodes, erased_nodes;
  absl::node_hash_set<std::string> node_set{"red", "green", "blue"};
  absl::flat_hash_map<short, char> small_map{{1, 'a'}, {2, 'b'}};
  for (int i = 0; i < 1000; ++i) {
    many_map.emplace(i, Name(i));
    erased_map.emplace(i, Name(i));
    many_set.insert(i * 7919);
    rehashed_set.insert(i);
    taken_map.emplace(i, Name(i));
    many_nodes[i] = {i, Name(i)};
    erased_nodes[i] = {i, Name(i)};
    cleared_map.emplace(i, Name(i));
  }
  for (int i = 0; i < 1000; ++i) {
    if (i % 100 != 3) erased_map.erase(i), erased_nodes.erase(i), rehashed_set.erase(i);
  }
  rehashed_set.rehash(0);
  cleared_map.clear();
  cleared_map.emplace(11, "after");
  reserved_map.reserve(500);
  reserved_map.emplace(12, "reserved");
  moved_map = std::move(taken_map);
  for (int i = 0; i < 20; ++i) text_map["key" + std::to_string(i)] = {i, Name(i)};
  Keep(empty_map, one_map, many_map, erased_map, moved_map, taken_map, cleared_map, reserved_map,
       text_map, empty_set, one_set, many_set, rehashed_set, text_set, empty_nodes, one_node,
       many_nodes, erased_nodes, node_set, small_map);
  SHOW_MAP(empty_map);  // mark-tables
  SHOW_MAP(one_map);
  SHOW_MAP(many_map);
  SHOW_MAP(erased_map);
  SHOW_MAP(moved_map);
  SHOW_MAP(taken_map);
  SHOW_MAP(cleared_map);
  SHOW_MAP(reserved_map);
  SHOW_MAP(text_map);
  SHOW(empty_set);
  SHOW(one_set);
  SHOW(many_set);
  SHOW(rehashed_set);
  SHOW(text_set);
  SHOW_MAP(empty_nodes);
  SHOW_MAP(one_node);
  SHOW_MAP(many_nodes);
  SHOW_MAP(erased_nodes);
  SHOW(node_set);
  std::printf("small_map size=2\n\n");
}

__attribute__((noinline)) void Rows() {
  absl::InlinedVector<int, 4> empty_row, one_row{1}, full_row{1, 2, 3, 4}, heap_row, shrunk_row;
  absl::InlinedVector<std::string, 2> text_row{"a", "a text that is long enough for the heap"};
  absl::InlinedVector<std::string, 2> text_heap{"x", "y", "z"}, moved_row, taken_row{"m", "n", "o"};
  absl::InlinedVector<Big, 1> big_row(1), big_heap(3);
  absl::InlinedVector<int*, 2> pointer_row{nullptr, nullptr};
  for (int i = 0; i < 100; ++i) heap_row.push_back(i), shrunk_row.push_back(i);
  shrunk_row.resize(2);
  shrunk_row.shrink_to_fit();
  moved_row = std::move(taken_row);
  big_row[0].id = 1;
  for (int i = 0; i < 3; ++i) big_heap[static_cast<size_t>(i)].id = i;
  absl::FixedArray<int> fixed(3, 7);
  absl::FixedArray<std::string> no_fixed(0);
  absl::Span<int> span(heap_row.data(), 3), no_span;
  absl::string_view view("view of text", 4), no_view;
  absl::optional<int> no_number, number(0);
  absl::optional<std::string> no_text, text("held");
  absl::optional<absl::optional<int>> holds_none(absl::in_place);
  absl::variant<int, std::string> first(5), second("second");
  absl::variant<absl::monostate, Item> third(Item{9, "nine"});
  Keep(empty_row, one_row, full_row, heap_row, shrunk_row, text_row, text_heap, moved_row, taken_row,
       big_row, big_heap, pointer_row, fixed, no_fixed, span, no_span, view, no_view, no_number,
       number, no_text, text, holds_none, first, second, third);
  SHOW(empty_row);  // mark-rows
  SHOW(one_row);
  SHOW(full_row);
  SHOW(heap_row);
  SHOW(shrunk_row);
  SHOW(text_row);
  SHOW(text_heap);
  SHOW(moved_row);
  SHOW(taken_row);
  std::printf("big_row size=1\nbig_row.[0].id 1\nbig_heap size=3\nbig_heap.[2].id 2\n");
  std::printf("pointer_row size=2\npointer_row.[1] 0x0\n");
  SHOW(fixed);
  SHOW(no_fixed);
  SHOW(span);
  SHOW(no_span);
  std::printf("view \"view\"\nno_view \"\"\n");
  std::printf("no_number absl::nullopt\nnumber 0\nno_text absl::nullopt\ntext \"held\"\n");
  std::printf("holds_none holds absl::*::optional\nholds_none.value absl::nullopt\n");
  std::printf("first index=0\nfirst.[0] 5\nsecond index=1\nsecond.[1] \"second\"\n");
  std::printf("third index=1\nthird.[1].id 9\nthird.[1].name \"nine\"\n");
}

__attribute__((noinline)) void Secrets() {
  absl::flat_hash_map<std::string, std::string> flat{{"password", "hunter2"}, {"user", "ann"}};
  absl::node_hash_map<std::string, std::string> nodes{{"password", "hunter2"}, {"user", "ann"}};
  absl::InlinedVector<std::string, 2> cards{"4111111111111111"};
  absl::InlinedVector<char, 32> letters;
  for (const char c : std::string("4111111111111111")) letters.push_back(c);
  Keep(flat, nodes, cards, letters);
  asm volatile("nop" ::: "memory");  // mark-secrets
  Keep(flat, nodes, cards, letters);
}

// What no container looks like.
__attribute__((noinline)) void Damage() {
  absl::flat_hash_map<int, int> too_full{{1, 2}, {2, 3}}, no_slots{{1, 2}}, wild_marks{{1, 2}},
      wild_slots{{1, 2}}, too_few{{1, 2}, {2, 3}, {3, 4}};
  absl::node_hash_map<int, int> wild_nodes{{1, 2}};
  absl::InlinedVector<int, 4> overfull{1};
  absl::optional<int> flag(1);
  absl::variant<int, double> index(1.5);
  // A table's words: control bytes, slots, size, capacity.
  auto* const marks = reinterpret_cast<unsigned char*>(Word(&too_few, 0));
  size_t full = 0;
  while (marks[full] > 127) ++full;
  const unsigned char mark = marks[full];
  {
    const Damaged damaged[] = {
        {&too_full, 2, 1000}, {&no_slots, 1, 0},   {&wild_marks, 0, 8},
        {&wild_slots, 1, 8},  {&overfull, 0, 18},  {&index, 1, 77},
        {&flag, 0, 9},        {&wild_nodes, 1, 8},
    };
    marks[full] = 0x80;
    Keep(too_full, no_slots, wild_marks, wild_slots, wild_nodes, too_few, overfull, flag, index);
    asm volatile("nop" ::: "memory");  // mark-damage
    marks[full] = mark;
  }
  Keep(too_full, no_slots, wild_marks, wild_slots, wild_nodes, too_few, overfull, flag, index);
}

__attribute__((noinline)) void Garbage(truth::Noise& noise) {
  static truth::Garbage<absl::flat_hash_map<int, std::string>> map;
  static truth::Garbage<absl::flat_hash_set<std::string>> set;
  static truth::Garbage<absl::node_hash_map<int, Item>> nodes;
  static truth::Garbage<absl::InlinedVector<std::string, 2>> row;
  static truth::Garbage<absl::variant<int, std::string>> variant;
  static truth::Garbage<absl::optional<std::string>> optional;
  noise.Stir();
  noise.Fill(map), noise.Fill(set), noise.Fill(nodes), noise.Fill(row), noise.Fill(variant);
  noise.Fill(optional);
  auto& a = map.object;
  auto& b = set.object;
  auto& c = nodes.object;
  auto& d = row.object;
  auto& e = variant.object;
  auto& f = optional.object;
  Keep(a, b, c, d, e, f);
  asm volatile("nop" ::: "memory");  // mark-garbage
}

}  // namespace shop

int main(int argc, char** argv) {
  shop::Tables();
  shop::Rows();
  shop::Secrets();
  shop::Damage();
  if (argc < 2) return 0;
  static truth::Noise noise(std::stoul(argv[1]));
  for (int i = 0; i < 30; ++i) shop::Garbage(noise);
}
