// Types that only their authors' formatters can show.
#include <cstdio>
#include <string>

#include <boost/container/flat_map.hpp>
#include <boost/container/small_vector.hpp>
#include <boost/container/vector.hpp>

namespace shop {

template <typename T>
struct Ring {
  struct Storage {
    T* data_;
    unsigned capacity_;
  } storage_;
  unsigned short count_;
};
struct Chain {
  struct Node {
    Node* next;
    int weight;
    std::string name;
  };
  Node* head = nullptr;
  unsigned length = 0;
};
struct Flags {
  unsigned low : 3;
  unsigned high : 5;
  std::string password;
};
struct Tree {
  struct Node {
    Node *left, *right, *up;
    int value;
  };
  Node header{};
  Node* first = nullptr;
  unsigned long size = 0;
};
struct Sorted {  // without links upwards
  struct Node {
    Node *low, *high;
    int value;
  };
  Node* root = nullptr;
  int size = 0;
};
struct Small {  // in place or on the heap
  unsigned count_and_heap;
  union {
    int room[4];
    int* data;
  };
};
struct Label {
  char text[12];
  unsigned char length;
};
struct Named {
  int id;
  const char* title;
};

void Hold(const void* object) { asm volatile("" : : "r"(object) : "memory"); }
template <typename... T>
__attribute__((noinline)) void Keep(T&... objects) {
  (..., Hold(&objects));
}

__attribute__((noinline)) int Show(int size) {
  int cells[5] = {7, 8, 9, 10, 11};
  Ring<int> ring{{cells, 5}, 3};
  Chain::Node second{nullptr, 20, "second"}, first{&second, 10, "first"};
  Chain chain{&first, 2};
  Flags flags{5, 17, "hunter2"};
  Tree tree;
  Tree::Node two{}, one{}, three{};
  two.value = 2, one.value = 1, three.value = 3;
  two.left = &one, two.right = &three, two.up = &tree.header;
  one.up = three.up = &two;
  tree.header.left = &one, tree.header.up = &two, tree.header.right = &three;
  tree.first = &one, tree.size = 3;
  Named named{4, "four"};
  Sorted::Node low{nullptr, nullptr, 1}, high{nullptr, nullptr, 9}, middle{&low, &high, 5};
  Sorted sorted{&middle, 3}, unsorted{&middle, 2}, knot{&middle, 7};
  Sorted::Node self{nullptr, nullptr, 3};
  self.high = &self;
  knot.root = &self;
  Small in_place{2 << 1, {{4, 5}}}, on_heap{3 << 1 | 1, {}};
  on_heap.data = cells;
  Label label{"labelled", 5};
  boost::container::vector<int> boost_vector{1, 2, 3};
  boost::container::small_vector<int, 4> boost_small{4, 5};
  boost::container::flat_map<int, int> boost_map{{1, 10}, {2, 20}};
  Ring<int> broken{{reinterpret_cast<int*>(16), 5}, 60000};
  Keep(ring, chain, flags, tree, named, boost_vector, boost_small, boost_map, broken,  // mark-formatted
       sorted, unsorted, knot, in_place, on_heap, label);
  return size;
}

}  // namespace shop

int main() {
  std::printf("%d\n", shop::Show(1));
  return 0;
}
