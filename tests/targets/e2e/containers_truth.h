// Prints what a snapshot should show of containers: a line "path value" for each thing shown.
#ifndef TESTS_TARGETS_E2E_CONTAINERS_TRUTH_H_
#define TESTS_TARGETS_E2E_CONTAINERS_TRUTH_H_

#include <cstdio>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace truth {

inline std::string Text(std::string_view text) { return '"' + std::string(text) + '"'; }
template <typename T>
std::string Text(const T& value) requires std::is_arithmetic_v<T> {
  return std::to_string(value);
}

struct Item {
  int id = 0;
  std::string name;
};

inline void Value(const std::string& path, const Item& item) {
  std::printf("%s.id %d\n%s.name \"%s\"\n", path.c_str(), item.id, path.c_str(), item.name.c_str());
}
template <typename T>
void Value(const std::string& path, const T& value) requires requires { Text(value); } {
  std::printf("%s %s\n", path.c_str(), Text(value).c_str());
}

template <typename C>
void Elements(const std::string& name, const C& container) {
  size_t count = 0;
  for (const auto& element : container) {
    Value(name + ".[" + std::to_string(count++) + "]", element);
  }
  std::printf("%s size=%zu\n", name.c_str(), count);
}

template <typename C>
void Map(const std::string& name, const C& container) {
  size_t count = 0;
  for (const auto& [key, value] : container) {
    Value(name + ".[" + Text(key) + "]", value);
    ++count;
  }
  std::printf("%s size=%zu\n", name.c_str(), count);
}

inline void Hold(const void* object) { asm volatile("" : : "r"(object) : "memory"); }
template <typename... T>
__attribute__((noinline)) void Keep(T&... objects) {
  (..., Hold(&objects));
}

// What comes with a number: in place and on the heap.
inline std::string Name(int number) {
  return number % 2 == 0 ? "n" + std::to_string(number)
                         : "a name that is long enough for the heap " + std::to_string(number);
}

inline unsigned long& Word(const void* object, size_t index) {
  return const_cast<unsigned long*>(static_cast<const unsigned long*>(object))[index];
}
inline unsigned long Address(const void* object) { return reinterpret_cast<unsigned long>(object); }

// A word of an object is `to`, until it is put right again.
class Damaged {
 public:
  Damaged(const void* object, size_t index, unsigned long to)
      : place_(&Word(object, index)), was_(*place_) {
    *place_ = to;
  }
  ~Damaged() { *place_ = was_; }
  Damaged(const Damaged&) = delete;
  Damaged& operator=(const Damaged&) = delete;

 private:
  unsigned long* place_;
  unsigned long was_;
};

// Objects of which every word is garbage: numbers, and addresses of what is there.
template <typename T>
union Garbage {
  T object;
  unsigned long words[(sizeof(T) + 7) / 8];
  Garbage() {}
  ~Garbage() {}
};

class Noise {
 public:
  explicit Noise(unsigned long seed) : state_(seed) {}
  template <typename T>
  void Fill(Garbage<T>& garbage) {
    for (unsigned long& word : garbage.words) word = Word();
  }
  unsigned long Word() {
    const auto pool = reinterpret_cast<unsigned long>(pool_);
    switch (Next() % 9) {
      case 0: return 0;
      case 1: return Next() % 4;
      case 2: return Next() % 100;
      case 3: return 8;
      case 4: return ~0ul >> Next() % 64;
      case 5: return pool + Next() % sizeof pool_;
      default: return pool + Next() % (sizeof pool_ / 8) * 8;
    }
  }
  // What garbage points to is garbage, too.
  void Stir() {
    for (unsigned long& word : pool_) word = Word();
  }

 private:
  unsigned long Next() {
    state_ = state_ * 6364136223846793005ul + 1442695040888963407ul;
    return state_ >> 33;
  }
  unsigned long state_;
  unsigned long pool_[256] = {};
};

}  // namespace truth

#define SHOW(container) truth::Elements(#container, container)
#define SHOW_MAP(container) truth::Map(#container, container)

#endif  // TESTS_TARGETS_E2E_CONTAINERS_TRUTH_H_
