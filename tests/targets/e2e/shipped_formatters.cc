// Containers of Boost and Abseil, filled with values that the test knows.
#include <cstdio>
#include <string>
#include <vector>

#include <absl/container/fixed_array.h>
#include <absl/types/span.h>
#include <boost/circular_buffer.hpp>
#include <boost/container/flat_map.hpp>
#include <boost/container/flat_set.hpp>
#include <boost/container/small_vector.hpp>
#include <boost/container/vector.hpp>
#include <boost/intrusive_ptr.hpp>
#include <boost/make_shared.hpp>
#include <boost/scoped_ptr.hpp>
#include <boost/shared_ptr.hpp>
#include <boost/utility/string_view.hpp>

namespace shop {

struct Item {
  int id = 0;
  int users = 0;
};
void intrusive_ptr_add_ref(Item* item) { ++item->users; }
void intrusive_ptr_release(Item* item) {
  if (--item->users == 0) delete item;
}

void Hold(const void* object) { asm volatile("" : : "r"(object) : "memory"); }
template <typename... T>
__attribute__((noinline)) void Keep(T&... objects) {
  (..., Hold(&objects));
}

__attribute__((noinline)) void Show() {
  boost::container::vector<int> vector{1, 2, 3}, no_vector;
  boost::container::small_vector<std::string, 2> in_place{"in", "place"}, on_heap{"a", "b", "c"};
  boost::container::flat_set<int> flat_set{9, 7, 8};
  boost::container::flat_multiset<int> flat_multiset{4, 4};
  boost::container::flat_map<std::string, int> flat_map{{"one", 1}, {"two", 2}};
  boost::container::flat_multimap<int, int> flat_multimap{{1, 2}, {1, 3}};
  boost::circular_buffer<int> ring(4);
  for (int i = 0; i < 6; ++i) ring.push_back(i);
  boost::intrusive_ptr<Item> counted(new Item{5});
  boost::shared_ptr<Item> shared = boost::make_shared<Item>(Item{6}), no_shared;
  boost::scoped_ptr<Item> scoped(new Item{7});
  boost::string_view view("view of text", 4);
  std::vector<int> numbers{10, 20, 30};
  absl::Span<int> span(numbers);
  absl::Span<const int> part(numbers.data(), 2), no_span;
  absl::FixedArray<int> fixed(3, 7);
  Keep(vector, no_vector, in_place, on_heap, flat_set, flat_multiset, flat_map, flat_multimap, ring,
       counted, shared, no_shared, scoped, view, span, part, no_span, fixed);
  std::puts("shown");  // mark-shipped
}

}  // namespace shop

int main() { shop::Show(); }
