#ifndef STILLFRAME_TESTS_TARGETS_VARIABLES_TYPES_H_
#define STILLFRAME_TESTS_TARGETS_VARIABLES_TYPES_H_

namespace shop {

struct Hidden;  // defined in types_other.cc only
Hidden* MakeHidden();

struct Catalogue {
  static int open_count;
  static constexpr int kPages = 64;
  enum Mode { kBrowse = 1, kBuy };
  int visits = 100;  // hides shop::visits in members
  Mode mode = kBrowse;
  int Count(int by);
};

}  // namespace shop

#endif  // STILLFRAME_TESTS_TARGETS_VARIABLES_TYPES_H_
