// Scalars and objects of every kind: bit-fields, bases, dynamic types, pointers to members.
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace shop {

struct Shape {
  virtual ~Shape() = default;
  virtual double Area() const { return 0; }
  int sides = 0;
};
struct Circle : Shape {
  double Area() const override { return 3 * radius * radius; }
  double radius = 2.5;
  std::string label = "a circle with a label that is on the heap";
};
struct Square : Shape {
  double Area() const override { return edge * edge; }
  int edge = 4;
};
struct BigSquare : Square {
  long extra = 77;
};
struct Priced {
  virtual ~Priced() = default;
  int cents = 199;
};
struct Product : Shape, Priced {
  std::string sku = "sku-9";
};
struct Entity {
  virtual ~Entity() = default;
  int id = 11;
};
struct Named : virtual Entity {
  std::string name = "named";
};
struct Dated : virtual Entity {
  int year = 2026;
};
struct Document : Named, Dated {
  int pages = 3;
};
struct Lonely {
  virtual ~Lonely() = default;
  int value = 1;
};

struct Bits {
  unsigned low : 3;
  int middle : 7;
  unsigned long wide : 40;
  bool flag : 1;
};
struct Anonymous {
  int kind;
  union {
    int number;
    float real;
    struct {
      short first;
      short second;
    };
  };
};
enum Flags : unsigned { kNone = 0, kRead = 1, kWrite = 2, kExecute = 4 };
enum class Level { kLow = -1, kHigh = 7 };

struct Counter {
  int Add(int by) { return total += by; }
  virtual int Virtual(int by) { return by; }
  int total = 0;
  int other = 0;
};

struct Base {
  virtual ~Base() = default;
  virtual int Second(double by) { return static_cast<int>(by); }
  int inherited = 0;
};
struct Heir : Counter, Base {
  int own = 0;
};
struct Flexible {
  int count;
  int data[];
};

int Twice(int value) { return value * 2; }

void Hold(const void* object) { asm volatile("" : : "r"(object) : "memory"); }
template <typename... T>
__attribute__((noinline)) void Keep(T&... objects) {
  (..., Hold(&objects));
}

__attribute__((noinline)) double Dynamic(const Shape& reference, Shape* pointer, const Priced* second,
                                         const Entity* virtual_base, const Named* middle,
                                         std::unique_ptr<Shape> owner,
                                         const std::vector<std::unique_ptr<Shape>>& all,
                                         Lonely* lonely, Document& document) {
  Keep(reference, pointer, second, virtual_base, middle, owner, all, lonely, document);  // mark-dynamic
  return reference.Area();
}

__attribute__((noinline)) int Scalars(int count) {
  Bits bits{5, -3, 1099511627775UL, true};
  Anonymous anonymous{2, {.number = 65537}};
  Flags both = static_cast<Flags>(kRead | kExecute);
  Flags none = kNone;
  Flags unknown = static_cast<Flags>(9);
  Level level = Level::kHigh;
  __int128 huge = static_cast<__int128>(-1000000000000000000) * 1000;
  unsigned __int128 unsigned_huge = static_cast<unsigned __int128>(1) << 100;
  long double extended = 0.1L;
  char8_t c8 = u8'x';
  char16_t c16 = u'\u00e9';
  char32_t c32 = U'\U0001F600';
  wchar_t wide = L'w';
  int grid[2][3] = {{1, 2, 3}, {4, 5, 6}};
  int (*function)(int) = Twice;
  int (Counter::*method)(int) = &Counter::Add;
  int (Counter::*virtual_method)(int) = &Counter::Virtual;
  Counter counter;
  int Counter::*field = &Counter::other;
  int Counter::*no_field = nullptr;
  int (Counter::*no_method)(int) = nullptr;
#ifdef __FLT16_MAX__
  _Float16 half = static_cast<_Float16>(1.5f);
#else
  float half = 1.5f;
#endif
  std::nullptr_t null = nullptr;
  int (&function_reference)(int) = Twice;
  int (Heir::*second_method)(double) = &Base::Second;
  Heir heir;
  int Heir::*inherited_field = &Base::inherited;
  int Counter::*null_free = &Heir::total;
  const wchar_t* wide_text = L"w\u00e9\n\U0001F600";
  const char16_t* text16 = u"sixteen";
  const char32_t* text32 = U"thirty-two \u2028";
  const char8_t* text8 = u8"eight";
  const wchar_t* no_text = nullptr;
  wchar_t wide_array[6] = L"w\u00e9";
  char16_t array16[3] = {u'a', u'b', u'c'};
  char8_t array8[4] = u8"abc";
  enum class Local { kOne = 1 } local = Local::kOne;
  enum { kLocalRead = 1, kLocalWrite = 2 } local_flags{};
  local_flags = static_cast<decltype(local_flags)>(3);
  alignas(Flexible) static char storage[64];
  Flexible* flexible = reinterpret_cast<Flexible*>(storage);
  flexible->count = 2;
  const char* control = "\u0085\u2028";
  Keep(bits, anonymous, both, none, unknown, level, huge, unsigned_huge, extended, c8, c16, c32, wide, grid, function, method, virtual_method, counter, field, no_field, no_method, half, null, heir, second_method, inherited_field, null_free, wide_text, text16, text32, text8, no_text, wide_array, array16, array8, local, local_flags, flexible, control);  // mark-scalars
  return count;
}

__attribute__((noinline)) int Lengths(int rows, int columns) {
  int line[rows];
  short table[rows][columns];
  for (int i = 0; i < rows; ++i) {
    line[i] = i * i;
    for (int j = 0; j < columns; ++j) table[i][j] = static_cast<short>(10 * i + j);
  }
  Keep(line[0], table[0][0]);  // mark-lengths
  return line[rows - 1] + table[0][columns - 1];
}

}  // namespace shop

int main() {
  shop::Circle circle;
  shop::BigSquare square;
  shop::Product product;
  shop::Document document;
  shop::Lonely lonely;
  std::vector<std::unique_ptr<shop::Shape>> all;
  all.push_back(std::make_unique<shop::Circle>());
  all.push_back(std::make_unique<shop::Square>());
  all.push_back(std::make_unique<shop::Shape>());
  std::printf("%g\n", shop::Dynamic(circle, &square, &product, &document, &document,
                                    std::make_unique<shop::Product>(), all, &lonely, document));
  std::printf("%d %d\n", shop::Scalars(1), shop::Lengths(4, 3));
  return 0;
}
