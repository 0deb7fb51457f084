#ifndef STILLFRAME_TESTS_TARGETS_VARIABLES_VALUES_H_
#define STILLFRAME_TESTS_TARGETS_VARIABLES_VALUES_H_

#include <cstdint>

namespace shop {

enum class Tier : std::uint8_t { kBasic, kGold = 7, kPlatinum = 200 };
enum class Permissions : unsigned { kNone, kRead = 1, kWrite = 2, kAll = 0x80000003u };
enum Colour { kRed = -1, kGreen, kBlue };

struct Point {
  int x;
  int y;
};
struct Pair64 {
  long first;
  long second;
};
struct Vec2 {
  float dx;
  float dy;
};
struct Big {
  long numbers[5];
  char tag;
};
struct Flags {
  unsigned ready : 1;
  unsigned level : 4;
  int offset : 6;
  unsigned long wide : 40;
};

struct Base {
  virtual ~Base() = default;
  int base_field = 11;
};
struct Item : Base {
  int quantity = 1;
  double price = 9.5;
  union {
    int code = 77;
    char letters[4];
  };
};
struct Order {
  long id;
  const char* name;
  Item items[2];
  Order* next = nullptr;
};
struct Cart {
  static int kLimit;
  static constexpr int kSlots = 2;
  int base;
  Item items[kSlots];
  int Total(int discount) const;
};

}  // namespace shop

#endif  // STILLFRAME_TESTS_TARGETS_VARIABLES_VALUES_H_
