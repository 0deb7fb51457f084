// Functions that return every class of value of the System V ABI; each call prints what it got.
#include <cstdint>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace shop {

enum class Tier { kBronze, kGold };
struct Small {
  int id;
  char letter;
};
struct Pair {
  long id;
  double price;
};
struct Doubles {
  double x, y;
};
struct Floats {
  float x, y, z;
};
struct Mixed {
  float ratio;
  int count;
  double total;
};
struct Large {
  long numbers[5];
};
struct Empty {};
struct Wide {
  long double number;
};
struct Bits {
  unsigned low : 3;
  unsigned high : 9;
  short rest;
};
class Owner {  // passed by reference however small
 public:
  explicit Owner(int id) : id_(id) {}
  Owner(const Owner& other) : id_(other.id_) {}
  ~Owner() { id_ = -1; }
  int id() const { return id_; }

 private:
  int id_;
};
struct HoldsOwner {
  Owner owner;
};
struct Base {
  long first;
};
struct Derived : Base {
  int second;
};
struct Moved {
  long id = 0;
  Moved() = default;
  Moved(Moved&&) = default;
  Moved(const Moved&) = delete;
};
class Shape {
 public:
  virtual ~Shape() = default;
  long sides = 4;
};

int global_number = 31;

#ifdef __clang__
#define SHOP [[gnu::noinline]]
#else
#define SHOP [[gnu::noinline, gnu::noclone]]
#endif
SHOP int Int(int n) { return n * 3 - 1000; }
SHOP unsigned char Byte(int n) { return static_cast<unsigned char>(n + 60); }
SHOP short Short(int n) { return static_cast<short>(-n); }
SHOP bool Bool(int n) { return n > 3; }
SHOP Tier Enum(int n) { return n > 3 ? Tier::kGold : Tier::kBronze; }
SHOP unsigned long Unsigned(int n) { return ~0ul - static_cast<unsigned long>(n); }
SHOP float Float(int n) { return static_cast<float>(n) / 4; }
SHOP double Double(int n) { return n * 1.5; }
SHOP long double LongDouble(int n) { return static_cast<long double>(n) / 3; }
SHOP __int128 Huge(int n) { return (static_cast<__int128>(n) << 80) + 7; }
SHOP const char* Text(int n) { return n > 3 ? "many" : "few"; }
SHOP int& Reference(int n) { return global_number += n; }
SHOP Small GetSmall(int n) { return {n, 'q'}; }
SHOP Pair GetPair(int n) { return {n * 100L, n / 8.0}; }
SHOP Doubles GetDoubles(int n) { return {n + 0.5, n - 0.5}; }
SHOP Floats GetFloats(int n) { return {n + 0.5f, n + 1.5f, n + 2.5f}; }
SHOP Mixed GetMixed(int n) { return {n / 2.0f, n, n * 2.5}; }
SHOP Large GetLarge(int n) { return {{n, n + 1L, n + 2L, n + 3L, n + 4L}}; }
SHOP Empty GetEmpty(int) {
  asm volatile("");
  return {};
}
SHOP Wide GetWide(int n) { return {static_cast<long double>(n) * 2}; }
SHOP Bits GetBits(int n) { return {5, static_cast<unsigned>(n * 11), static_cast<short>(n)}; }
SHOP Owner GetOwner(int n) { return Owner(n + 70); }
SHOP HoldsOwner GetHolder(int n) { return {Owner(n + 80)}; }
SHOP Derived GetDerived(int n) { return {{n + 1L}, n + 2}; }
SHOP Moved GetMoved(int n) {
  Moved moved;
  moved.id = n + 9;
  return moved;
}
SHOP Shape GetShape(int n) {
  Shape shape;
  shape.sides = n;
  return shape;
}
SHOP std::string String(int n) { return "order " + std::to_string(n) + " of a longer text"; }
SHOP std::vector<int> Vector(int n) { return {n, n * 2, n * 3}; }
SHOP std::unique_ptr<Pair> Unique(int n) { return std::make_unique<Pair>(GetPair(n)); }
SHOP float _Complex ComplexFloat(int n) {
  float _Complex value;
  __real__ value = static_cast<float>(n) + 0.25f;
  __imag__ value = 2;
  return value;
}
SHOP double _Complex ComplexDouble(int n) {
  double _Complex value;
  __real__ value = n + 0.25;
  __imag__ value = 3;
  return value;
}
SHOP void Nothing(int n) { global_number += n; }
SHOP std::string ApiToken(int n) { return "hunter2-" + std::to_string(n); }

SHOP int Several(int n) {  // several returns
  if (n < 2) return -1;
  if (n == 3) return Int(n) + 5;
  std::string text = String(n);
  if (text.size() > 400) return 0;
  return static_cast<int>(text.size()) + n;
}
SHOP long Deep(int n) { return n <= 0 ? 1 : n * Deep(n - 1); }  // recursive
SHOP int Jumps(int n) { return Int(n + 1); }                     // a tail call, where optimized
SHOP int Throws(int n) {
  if (n > 3) throw std::runtime_error("no");
  return n + 40;
}

}  // namespace shop

namespace {

// Nobody wants its result: an optimizing compiler may leave it out.
[[gnu::noinline]] int Ignored(int n) {
  shop::global_number += n;
  return shop::global_number * 2;
}
[[gnu::noinline]] int Local(int n) { return n * 7 + shop::global_number % 2 * 0; }

void PrintHuge(__int128 value) {
  std::printf("Huge %#llx %#llx\n", static_cast<unsigned long long>(value >> 64),
              static_cast<unsigned long long>(value));
}

}  // namespace

int main(int argc, char**) {
  using namespace shop;
  const int n = argc + 4;
  std::printf("Int %d\nByte %d\nShort %d\nBool %d\nEnum %d\nUnsigned %lu\n", Int(n), Byte(n),
              Short(n), Bool(n), static_cast<int>(Enum(n)), Unsigned(n));
  std::printf("Float %.9g\nDouble %.17g\nLongDouble %.21Lg\nText %s\nReference %d\n",
              static_cast<double>(Float(n)), Double(n), LongDouble(n), Text(n), Reference(n));
  PrintHuge(Huge(n));
  const Small small = GetSmall(n);
  const Pair pair = GetPair(n);
  const Doubles doubles = GetDoubles(n);
  const Floats floats = GetFloats(n);
  const Mixed mixed = GetMixed(n);
  const Large large = GetLarge(n);
  GetEmpty(n);
  const Wide wide = GetWide(n);
  const Bits bits = GetBits(n);
  const Owner owner = GetOwner(n);
  const HoldsOwner holder = GetHolder(n);
  const Derived derived = GetDerived(n);
  const Moved moved = GetMoved(n);
  const Shape shape = GetShape(n);
  std::printf("GetSmall %d %c\nGetPair %ld %.17g\nGetDoubles %.17g %.17g\n", small.id, small.letter,
              pair.id, pair.price, doubles.x, doubles.y);
  std::printf("GetFloats %g %g %g\nGetMixed %g %d %.17g\nGetLarge %ld %ld\n",
              static_cast<double>(floats.x), static_cast<double>(floats.y),
              static_cast<double>(floats.z), static_cast<double>(mixed.ratio), mixed.count,
              mixed.total, large.numbers[0], large.numbers[4]);
  std::printf("GetWide %.21Lg\nGetBits %u %u %d\nGetOwner %d\nGetHolder %d\n", wide.number, bits.low,
              bits.high, bits.rest, owner.id(), holder.owner.id());
  std::printf("GetDerived %ld %d\nGetMoved %ld\nGetShape %ld\n", derived.first, derived.second,
              moved.id, shape.sides);
  std::printf("String %s\nVector %d\nUnique %ld\n", String(n).c_str(), Vector(n)[2],
              Unique(n)->id);
  const float _Complex cf = ComplexFloat(n);
  const double _Complex cd = ComplexDouble(n);
  std::printf("ComplexFloat %g %g\nComplexDouble %g %g\n", static_cast<double>(__real__ cf),
              static_cast<double>(__imag__ cf), __real__ cd, __imag__ cd);
  Nothing(n);
  Ignored(n);
  std::printf("Local %d\nApiToken %zu\n", Local(n), ApiToken(n).size());
  std::printf("Several %d %d %d\nDeep %ld\nJumps %d\n", Several(1), Several(3), Several(n), Deep(4),
              Jumps(n));
  std::printf("Throws %d\n", Throws(2));
  try {
    Throws(n);
  } catch (const std::exception& error) {
    std::printf("caught %s\n", error.what());
  }
}
