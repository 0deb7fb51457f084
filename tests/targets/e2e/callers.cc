// Callers that nothing prepares: they are reached through pointers, and each is met once. What they
// hold on the heap is changed or gone soon after the tracepoint was hit.
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace shop {

struct Item {
  std::string name;
  int count;
};

struct Basket {
  std::string owner;
  std::vector<Item> items;
  std::map<int, std::string> notes;
  Basket* next;
};

__attribute__((noinline)) int Leaf(int number) {
  std::printf("leaf %d\n", number);
  return number + 1;  // mark-leaf
}

int (*volatile leaf)(int) = Leaf;

struct Till {
  virtual ~Till() = default;
  virtual int Ring(const Basket& basket, int number) {
    std::vector<std::string> words = {"a first word that is long", "a second one"};
    const int result = leaf(number + static_cast<int>(words.size()));
    words[0] = "changed after the call, and long";
    return result + static_cast<int>(basket.items.size()) + drawer;
  }
  int drawer = 7;
};

int Serve(std::unique_ptr<Basket> basket, Till* till) {
  const std::string greeting = "good morning to " + basket->owner;
  const int result = till->Ring(*basket, 40);
  basket->owner = "nobody at all, and that is a long text";
  basket.reset();
  return result + static_cast<int>(greeting.size());
}

int (*volatile serve)(std::unique_ptr<Basket>, Till*) = Serve;

// GCC writes the blocks of such a destructor twice, the first time without addresses.
class List {
 public:
  List() {
    for (int i = 0; i < 3; ++i) head_ = new Node{head_, i * 100};
  }
  ~List() {
    for (Node* node = head_; node != nullptr;) {
      Node* next = node->next;
      const int seen = node->number;
      std::printf("seen %d\n", seen);
      delete node;  // mark-block
      node = next;
    }
  }

 private:
  struct Node {
    Node* next;
    int number;
  };
  Node* head_ = nullptr;
};

}  // namespace shop

int main() {
  using namespace shop;
  auto basket = std::make_unique<Basket>();
  basket->owner = "somebody with a long name";
  basket->items = {{"a very long name of an apple", 3}, {"pear", 5}};
  basket->notes = {{1, "one"}, {2, "a note that is longer than the others"}};
  basket->next = nullptr;
  auto till = std::make_unique<Till>();
  int total = serve(std::move(basket), till.get());
  { List list; }
  int offset = 3;
  const auto add = [&offset, total](int x) {
    std::printf("add %d\n", x);
    return x + offset + total;  // mark-lambda
  };
  std::printf("%d\n", add(4));
  return 0;
}
